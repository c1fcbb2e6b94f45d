// Gradient of the temporal convolution towards x: dx[b, t, p, d] = Σk weight[d, k] · dout[b, t − k + K/2, p, d].
// One invocation per (b, p, d), as in the forward pass.
alias dout_t = f32; // storage types: f32 or f16; arithmetic is always f32
alias weight_t = f32;
alias dx_t = f32;
const WG_SIZE: u32 = 64u; // tunable: power of two

struct Params {
  count: u32,    // B · frame
  frames: u32,   // T
  frame: u32,    // P · D, elements of a frame
  channels: u32, // D
  taps: u32,     // K, odd
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> dout: array<dout_t>;     // [B T P D]
@group(0) @binding(2) var<storage, read_write> weight: array<weight_t>; // [D K]
@group(0) @binding(3) var<storage, read_write> dx: array<dx_t>;         // [B T P D]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  let start = (i / params.frame) * params.frames * params.frame + i % params.frame;
  let channel = i % params.channels;
  let half = params.taps / 2u;
  for (var t = 0u; t < params.frames; t++) {
    let first = max(t + half + 1u, params.frames) - params.frames; // taps before it belong to outputs past the last frame
    let last = min(params.taps, t + half + 1u); // taps from it on, to outputs before the first frame
    var sum = 0.0;
    for (var k = first; k < last; k++) {
      sum += f32(weight[channel * params.taps + k]) * f32(dout[start + (t + half - k) * params.frame]);
    }
    dx[start + t * params.frame] = dx_t(sum);
  }
}
