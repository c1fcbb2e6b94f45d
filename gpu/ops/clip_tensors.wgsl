// Second stage of clipping tensors that lie one after another: each is brought down to a norm, once `clip` has been applied to it.
const WG_SIZE: u32 = 64u; // tunable: power of two
const PARTS: u32 = 32u;   // workgroups of a tensor
const STARTS: u32 = 257u; // vectors of four starts

struct Params {
  starts: array<vec4u, STARTS>, // first element of every tensor, and the end of the last
  max_norm: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> partials: array<f32>; // [tensors PARTS]
@group(0) @binding(2) var<storage, read_write> clip: array<f32>;     // [1]
@group(0) @binding(3) var<storage, read_write> grad: array<f32>;     // [R]

fn start_of(tensor: u32) -> u32 {
  return params.starts[tensor / 4u][tensor % 4u];
}

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  for (var part = group.y * PARTS; part < (group.y + 1u) * PARTS; part++) {
    sum += partials[part];
  }
  let factor = min(1.0, params.max_norm / (sqrt(sum) * clip[0] + 1e-6));
  let end = start_of(group.y + 1u);
  for (var i = start_of(group.y) + group.x * WG_SIZE + lane; i < end; i += PARTS * WG_SIZE) {
    grad[i] *= factor;
  }
}
