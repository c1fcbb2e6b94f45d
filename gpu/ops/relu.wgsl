// ReLU, max(x, 0), and its gradient, dx = dout where x > 0; NaN stays NaN. Matrix products that end in a ReLU take its function from
// here.
alias x_t = f32; // storage types: f32 or f16; arithmetic is always f32
alias out_t = f32;
alias dout_t = f32;
const WG_SIZE: u32 = 256u; // tunable: power of two

struct Params {
  count: u32, // elements
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<x_t>;       // [count]
@group(0) @binding(2) var<storage, read_write> out: array<out_t>;   // [count], dx in the backward pass
@group(0) @binding(3) var<storage, read_write> dout: array<dout_t>; // [count], in the backward pass only

fn relu(value: f32) -> f32 {
  return select(value, 0.0, value < 0.0);
}

fn relu_slope(value: f32) -> f32 {
  return select(1.0, 0.0, value <= 0.0);
}

@compute @workgroup_size(WG_SIZE)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  out[i] = out_t(relu(f32(x[i])));
}

@compute @workgroup_size(WG_SIZE)
fn backward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  out[i] = out_t(select(f32(dout[i]), 0.0, f32(x[i]) <= 0.0));
}
