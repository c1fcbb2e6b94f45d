// Difference of channels a fixed distance apart: out[f, c, …] = x[f, c + lag, …] − x[f, c, …].
alias x_t = f32; // storage types: f32 or f16; arithmetic is always f32
alias out_t = f32;
const WG_SIZE: u32 = 256u; // tunable: power of two

struct Params {
  count: u32,     // elements of out
  x_frame: u32,   // elements of a frame of x
  out_frame: u32, // elements of a frame of out
  lag: u32,       // distance in elements
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<x_t>;     // [F, x_frame]
@group(0) @binding(2) var<storage, read_write> out: array<out_t>; // [F, out_frame]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  let at = (i / params.out_frame) * params.x_frame + i % params.out_frame;
  out[i] = out_t(f32(x[at + params.lag]) - f32(x[at]));
}
