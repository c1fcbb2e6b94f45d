// Axes in another order, and one of them backwards: out[i, j, k, l] = x[first + i s0 + j s1 + k s2 + l s3].
// Neighbouring invocations write neighbouring elements.
alias x_t = f32; // storage types: f32 or f16
alias out_t = f32;
const WG_SIZE: u32 = 256u; // tunable: power of two

struct Params {
  count: u32,       // elements
  first: i32,       // element of x where out begins
  sizes: vec4u,     // axes of out
  strides: vec4i,   // of each of them in x; below 0 where it runs backwards
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<x_t>;
@group(0) @binding(2) var<storage, read_write> out: array<out_t>;

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  let row = i / params.sizes.w;
  let slab = row / params.sizes.z;
  let place = vec4i(vec4u(slab / params.sizes.y, slab % params.sizes.y, row % params.sizes.z, i % params.sizes.w));
  let at = params.first + dot(place, params.strides);
  out[i] = out_t(x[u32(at)]);
}
