// Second stage of two sums per column: adds the partial sums of all chunks of rows. One invocation per column.
const WG_SIZE: u32 = 64u; // tunable: power of two

struct Params {
  chunks: u32,
  columns: u32, // C
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> partials: array<f32>; // [chunks 2 C]
@group(0) @binding(2) var<storage, read_write> first: array<f32>;    // [C]
@group(0) @binding(3) var<storage, read_write> second: array<f32>;   // [C]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x;
  if (c >= params.columns) {
    return;
  }
  var sums = vec2f();
  for (var chunk = 0u; chunk < params.chunks; chunk++) {
    let at = chunk * 2u * params.columns + c;
    sums += vec2f(partials[at], partials[at + params.columns]);
  }
  first[c] = sums.x;
  second[c] = sums.y;
}
