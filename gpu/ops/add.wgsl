// Weighted sum of two tensors: out = alpha * x + beta * y, of one size, or of x with a part of every row of y.
alias x_t = f32;   // storage types: f32 or f16; arithmetic is always f32
alias y_t = f32;
alias out_t = f32;
const WG_SIZE: u32 = 256u; // tunable: power of two

struct Params {
  count: u32, // elements
  alpha: f32,
  beta: f32,
  run: u32,  // elements of a row of x, in `windowed` only
  row: u32,  // elements of a row of y
  start: u32, // where the part begins
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<x_t>;     // [count]
@group(0) @binding(2) var<storage, read_write> y: array<y_t>;     // [count], or [count / run, row]
@group(0) @binding(3) var<storage, read_write> out: array<out_t>; // [count]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  out[i] = out_t(params.alpha * f32(x[i]) + params.beta * f32(y[i]));
}

@compute @workgroup_size(WG_SIZE)
fn windowed(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  let other = y[i / params.run * params.row + params.start + i % params.run];
  out[i] = out_t(params.alpha * f32(x[i]) + params.beta * f32(other));
}
