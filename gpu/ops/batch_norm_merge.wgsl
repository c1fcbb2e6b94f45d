// Second stage of batch statistics: merges the means and squared deviations of all chunks (Chan, Golub and LeVeque 1979),
// one invocation per column. The variance is biased.
const WG_SIZE: u32 = 64u; // tunable: power of two

struct Params {
  rows: u32,       // R
  channels: u32,   // C
  chunk_rows: u32, // rows of every chunk but the last
  chunks: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> partials: array<f32>; // [chunks 2 C]
@group(0) @binding(2) var<storage, read_write> mean: array<f32>;     // [C]
@group(0) @binding(3) var<storage, read_write> variance: array<f32>; // [C]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x;
  if (c >= params.channels) {
    return;
  }
  var merged_mean = 0.0;
  var squares = 0.0;
  for (var chunk = 0u; chunk < params.chunks; chunk++) {
    let at = chunk * 2u * params.channels + c;
    let before = f32(chunk * params.chunk_rows);
    let count = f32(min(params.chunk_rows, params.rows - chunk * params.chunk_rows));
    let share = count / (before + count);
    let delta = partials[at] - merged_mean;
    merged_mean += delta * share;
    squares += partials[at + params.channels] + delta * delta * before * share;
  }
  mean[c] = merged_mean;
  variance[c] = squares / f32(params.rows);
}
