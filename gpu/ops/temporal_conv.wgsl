// Depth-wise convolution over time, zero padded: out[b, t, p, d] = bias[d] + Σk weight[d, k] · x[b, t + k − K/2, p, d].
// One invocation per (b, p, d), which walks through time: its index is split once, not once a frame.
alias x_t = f32; // storage types: f32 or f16; arithmetic is always f32
alias weight_t = f32;
alias bias_t = f32;
alias out_t = f32;
const WG_SIZE: u32 = 64u; // tunable: power of two

struct Params {
  count: u32,    // B · frame
  frames: u32,   // T
  frame: u32,    // P · D, elements of a frame
  channels: u32, // D
  taps: u32,     // K, odd
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<x_t>;           // [B T P D]
@group(0) @binding(2) var<storage, read_write> weight: array<weight_t>; // [D K]
@group(0) @binding(3) var<storage, read_write> bias: array<bias_t>;     // [D]
@group(0) @binding(4) var<storage, read_write> out: array<out_t>;       // [B T P D]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  let start = (i / params.frame) * params.frames * params.frame + i % params.frame;
  let channel = i % params.channels;
  let half = params.taps / 2u;
  let offset = f32(bias[channel]);
  for (var t = 0u; t < params.frames; t++) {
    let first = max(half, t) - t; // taps before it read before the first frame
    let last = min(params.taps, params.frames + half - t); // taps from it on read past the last frame
    var sum = offset;
    for (var k = first; k < last; k++) {
      sum += f32(weight[channel * params.taps + k]) * f32(x[start + (t + k - half) * params.frame]);
    }
    out[start + t * params.frame] = out_t(sum);
  }
}
