// Moves running statistics towards those of a batch: running = (1 - momentum) * running + momentum * batch.
const WG_SIZE: u32 = 64u; // tunable: power of two

struct Params {
  channels: u32, // C
  momentum: f32,
  unbias: f32,   // R / (R - 1), the factor from the biased to the unbiased variance
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> mean: array<f32>;             // [C]
@group(0) @binding(2) var<storage, read_write> variance: array<f32>;         // [C], biased
@group(0) @binding(3) var<storage, read_write> running_mean: array<f32>;     // [C]
@group(0) @binding(4) var<storage, read_write> running_variance: array<f32>; // [C], unbiased

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x;
  if (c >= params.channels) {
    return;
  }
  let keep = 1.0 - params.momentum;
  running_mean[c] = keep * running_mean[c] + params.momentum * mean[c];
  running_variance[c] = keep * running_variance[c] + params.momentum * params.unbias * variance[c];
}
