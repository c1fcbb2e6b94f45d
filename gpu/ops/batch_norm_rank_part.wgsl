// A rank's part of the statistics of a batch: its mean, its sum of squared deviations and its rows, in its own place among those of all
// ranks, and zeros in theirs, so that the sum over ranks is everybody's. Merges chunks as batch_norm_merge.wgsl does, one invocation
// per column.
const WG_SIZE: u32 = 64u; // tunable: power of two

struct Params {
  rows: u32,       // R
  channels: u32,   // C
  chunk_rows: u32, // rows of every chunk but the last
  chunks: u32,
  rank: u32,
  ranks: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> partials: array<f32>; // [chunks 2 C]
@group(0) @binding(2) var<storage, read_write> parts: array<f32>;    // [ranks 3 C]

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
  for (var rank = 0u; rank < params.ranks; rank++) {
    let own = select(0.0, 1.0, rank == params.rank);
    let to = rank * 3u * params.channels + c;
    parts[to] = own * merged_mean;
    parts[to + params.channels] = own * squares;
    parts[to + 2u * params.channels] = own * f32(params.rows);
  }
}
