// Second stage of batch statistics: merges the means and squared deviations of all chunks (Chan, Golub and LeVeque 1979),
// one invocation per column. The variance is biased.
const WG_SIZE: u32 = 64u; // tunable: power of two
const OVERLAP: u32 = 1u; // tunable: 0 reads one at a time, for CPUs, which wait for none

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

struct Merged {
  mean: f32,
  squares: f32,
}

// Mean and sum of squared deviations of a chunk in column c.
fn part(chunk: u32, c: u32) -> vec2f {
  let at = chunk * 2u * params.channels + c;
  return vec2f(partials[at], partials[at + params.channels]);
}

fn merge(before: Merged, chunk: u32, part: vec2f) -> Merged {
  let rows_before = f32(chunk * params.chunk_rows);
  let count = f32(min(params.chunk_rows, params.rows - chunk * params.chunk_rows));
  let share = count / (rows_before + count);
  let delta = part.x - before.mean;
  return Merged(before.mean + delta * share, before.squares + part.y + delta * delta * rows_before * share);
}

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x;
  if (c >= params.channels) {
    return;
  }
  var merged = Merged(0.0, 0.0);
  var chunk = 0u;
  for (; OVERLAP == 1u && chunk + 4u <= params.chunks; chunk += 4u) { // four chunks are read at a time, so that reads overlap, and merged in their order
    let p0 = part(chunk, c);
    let p1 = part(chunk + 1u, c);
    let p2 = part(chunk + 2u, c);
    let p3 = part(chunk + 3u, c);
    merged = merge(merge(merge(merge(merged, chunk, p0), chunk + 1u, p1), chunk + 2u, p2), chunk + 3u, p3);
  }
  for (; chunk < params.chunks; chunk++) {
    merged = merge(merged, chunk, part(chunk, c));
  }
  mean[c] = merged.mean;
  variance[c] = merged.squares / f32(params.rows);
}
