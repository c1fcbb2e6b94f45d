// Statistics of a batch from those of every rank's part of it (Chan, Golub and LeVeque 1979), in the order of ranks, one invocation
// per column.
const WG_SIZE: u32 = 64u; // tunable: power of two

struct Params {
  channels: u32, // C
  ranks: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> parts: array<f32>;    // [ranks 3 C]: mean, squared deviations, rows
@group(0) @binding(2) var<storage, read_write> mean: array<f32>;     // [C]
@group(0) @binding(3) var<storage, read_write> variance: array<f32>; // [C], biased
@group(0) @binding(4) var<storage, read_write> unbiased: array<f32>; // [C]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x;
  if (c >= params.channels) {
    return;
  }
  var merged_mean = 0.0;
  var squares = 0.0;
  var before = 0.0;
  for (var rank = 0u; rank < params.ranks; rank++) {
    let at = rank * 3u * params.channels + c;
    let count = parts[at + 2u * params.channels];
    let share = count / max(before + count, 1.0);
    let delta = parts[at] - merged_mean;
    merged_mean += delta * share;
    squares += parts[at + params.channels] + delta * delta * before * share;
    before += count;
  }
  mean[c] = merged_mean;
  variance[c] = squares / before;
  unbiased[c] = squares / select(1.0, before - 1.0, before > 1.0);
}
