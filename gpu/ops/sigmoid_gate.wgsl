// out = x · (½ + σ(logit)) + residual, elementwise.
alias x_t = f32; // storage types: f32 or f16; arithmetic is always f32
alias logit_t = f32;
alias residual_t = f32;
alias out_t = f32;
const WG_SIZE: u32 = 256u; // tunable: power of two

struct Params {
  count: u32,         // elements
  with_residual: u32, // 0: nothing is added
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<x_t>;               // [count]
@group(0) @binding(2) var<storage, read_write> logit: array<logit_t>;       // [count]
@group(0) @binding(3) var<storage, read_write> residual: array<residual_t>; // [count]
@group(0) @binding(4) var<storage, read_write> out: array<out_t>;           // [count]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  let z = f32(logit[i]);
  let e = exp(-abs(z)); // of a negative number only, so nothing overflows
  let cumulative = select(1.0, e, z < 0.0) / (1.0 + e);
  var value = f32(x[i]) * (0.5 + cumulative);
  if (params.with_residual == 1u) {
    value += f32(residual[i]);
  }
  out[i] = out_t(value);
}
