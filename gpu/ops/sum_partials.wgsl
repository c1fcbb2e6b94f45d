// Second stage of two sums per column: adds the partial sums of all chunks of rows. One invocation per column.
const WG_SIZE: u32 = 64u; // tunable: power of two
const OVERLAP: u32 = 1u; // tunable: 0 reads one at a time, for CPUs, which wait for none

struct Params {
  chunks: u32,
  columns: u32, // C
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> partials: array<f32>; // [chunks 2 C]
@group(0) @binding(2) var<storage, read_write> first: array<f32>;    // [C]
@group(0) @binding(3) var<storage, read_write> second: array<f32>;   // [C]

fn part(chunk: u32, c: u32) -> vec2f {
  let at = chunk * 2u * params.columns + c;
  return vec2f(partials[at], partials[at + params.columns]);
}

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x;
  if (c >= params.columns) {
    return;
  }
  var sums = vec2f();
  var chunk = 0u;
  for (; OVERLAP == 1u && chunk + 4u <= params.chunks; chunk += 4u) { // four chunks are read at a time, so that reads overlap, and summed in their order
    let p0 = part(chunk, c);
    let p1 = part(chunk + 1u, c);
    let p2 = part(chunk + 2u, c);
    let p3 = part(chunk + 3u, c);
    sums = sums + p0 + p1 + p2 + p3;
  }
  for (; chunk < params.chunks; chunk++) {
    sums += part(chunk, c);
  }
  first[c] = sums.x;
  second[c] = sums.y;
}
