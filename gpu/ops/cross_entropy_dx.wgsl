// Gradient of the mean cross entropy: dx[b, k] = dloss / B · (mass[b] · softmax(logits[b])[k] − targets[b, k]).
alias logits_t = f32; // storage types: f32 or f16; arithmetic is always f32
alias dx_t = f32;
const WG_SIZE: u32 = 256u; // tunable: power of two

struct Params {
  count: u32,   // B · K
  classes: u32, // K
  factor: f32,  // 1 / B
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> logits: array<logits_t>;    // [B K]
@group(0) @binding(2) var<storage, read_write> targets: array<f32>;        // [B K]
@group(0) @binding(3) var<storage, read_write> log_normaliser: array<f32>; // [B], log Σ exp(logits)
@group(0) @binding(4) var<storage, read_write> mass: array<f32>;           // [B], Σ targets
@group(0) @binding(5) var<storage, read_write> dloss: array<f32>;          // [1]
@group(0) @binding(6) var<storage, read_write> dx: array<dx_t>;            // [B K]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  let b = i / params.classes;
  let p = exp(f32(logits[i]) - log_normaliser[b]);
  dx[i] = dx_t(dloss[0] * params.factor * (mass[b] * p - targets[i]));
}
