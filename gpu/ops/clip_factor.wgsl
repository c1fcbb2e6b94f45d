// Factor that brings a norm down to a bound, as torch.nn.utils.clip_grad_norm_: out = min(1, max_norm / (norm + 1e-6)).
struct Params {
  max_norm: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> norm: array<f32>; // [1]
@group(0) @binding(2) var<storage, read_write> out: array<f32>;  // [1]

@compute @workgroup_size(1)
fn main() {
  out[0] = min(1.0, params.max_norm / (norm[0] + 1e-6));
}
