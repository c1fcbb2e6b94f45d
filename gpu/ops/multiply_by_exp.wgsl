// Multiplies by the exponential of one number: out = x · exp(s).
alias x_t = f32; // storage types: f32 or f16; arithmetic is always f32
alias out_t = f32;
const WG_SIZE: u32 = 256u; // tunable: power of two

struct Params {
  count: u32, // elements
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<x_t>;     // [count]
@group(0) @binding(2) var<storage, read_write> s: array<f32>;     // [1]
@group(0) @binding(3) var<storage, read_write> out: array<out_t>; // [count]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  out[i] = out_t(f32(x[i]) * exp(s[0]));
}
