// Gradient of QuickGELU: dx = dout · s (1 + 1.702 x (1 − s)), s = sigmoid(1.702 x).
alias x_t = f32; // storage types: f32 or f16; arithmetic is always f32
alias out_t = f32;
alias dout_t = f32;
const WG_SIZE: u32 = 256u; // tunable: power of two

struct Params {
  count: u32, // elements
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<x_t>;       // [count]
@group(0) @binding(2) var<storage, read_write> out: array<out_t>;   // [count], dx
@group(0) @binding(3) var<storage, read_write> dout: array<dout_t>; // [count]

fn quick_gelu_slope(value: f32) -> f32 {
  let z = 1.702 * value;
  let e = exp(-abs(z)); // of a negative number only, so nothing overflows
  let s = select(1.0, e, z < 0.0) / (1.0 + e);
  let rest = select(e, 1.0, z < 0.0) / (1.0 + e); // 1 − s without cancellation
  return s * (1.0 + z * rest);
}

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  out[i] = out_t(f32(dout[i]) * quick_gelu_slope(f32(x[i])));
}
