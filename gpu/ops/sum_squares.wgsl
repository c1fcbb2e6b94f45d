// First stage of a norm: partials[i] = Σ grad[i + n · count]². Neighbouring invocations read neighbouring elements.
alias grad_t = f32; // storage type: f32 or f16; sums are always f32
const WG_SIZE: u32 = 64u; // tunable: power of two

struct Params {
  count: u32, // partial sums
  size: u32,  // elements of grad
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> grad: array<grad_t>;  // [size]
@group(0) @binding(2) var<storage, read_write> partials: array<f32>; // [count]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  var sum = 0.0;
  for (var at = i; at < params.size; at += params.count) {
    let value = f32(grad[at]);
    sum += value * value;
  }
  partials[i] = sum;
}
