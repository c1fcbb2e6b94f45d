// First stage of the gradient of the temporal convolution towards its weight: for each chunk of positions p of each clip,
// partials[b · chunks + chunk, d, k] = Σ dout[b, t, p, d] · x[b, t + k − K/2, p, d] over t and the p of the chunk.
alias x_t = f32; // storage types: f32 or f16; sums are always f32
alias dout_t = f32;
const WG_SIZE: u32 = 64u; // tunable: power of two
const OVERLAP: u32 = 1u; // tunable: 0 reads one at a time, for CPUs, which wait for none

struct Params {
  count: u32,     // B · chunks · D · K
  frames: u32,    // T
  positions: u32, // P
  channels: u32,  // D
  taps: u32,      // K, odd
  chunks: u32,    // ⌈P / chunk⌉
  chunk: u32,     // positions of a chunk
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<x_t>;        // [B T P D]
@group(0) @binding(2) var<storage, read_write> dout: array<dout_t>;  // [B T P D]
@group(0) @binding(3) var<storage, read_write> partials: array<f32>; // [B · chunks, D, K]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  let k = i % params.taps;
  let channel = (i / params.taps) % params.channels;
  let run_index = i / (params.taps * params.channels);
  let first = (run_index % params.chunks) * params.chunk;
  let last = min(first + params.chunk, params.positions);
  // Frames t whose tap k reads a frame of the clip: 0 ≤ t + k − half < T.
  let half = params.taps / 2u;
  let from_frame = max(half, k) - k;
  let to_frame = min(params.frames, max(params.frames + half, k) - k);
  let frame = params.positions * params.channels;
  let clip = (run_index / params.chunks) * params.frames;
  var sum = 0.0;
  for (var t = from_frame; t < to_frame; t++) {
    var out_at = (clip + t) * frame + first * params.channels + channel;
    var in_at = (clip + t + k - half) * frame + first * params.channels + channel;
    let step = params.channels;
    var p = first;
    for (; OVERLAP == 1u && p + 4u <= last; p += 4u) { // four positions are read at a time, so that reads overlap, and summed in their order
      let flow = vec4f(f32(dout[out_at]), f32(dout[out_at + step]), f32(dout[out_at + 2u * step]), f32(dout[out_at + 3u * step]));
      let v = vec4f(f32(x[in_at]), f32(x[in_at + step]), f32(x[in_at + 2u * step]), f32(x[in_at + 3u * step]));
      let products = flow * v;
      sum = sum + products.x + products.y + products.z + products.w;
      out_at += 4u * step;
      in_at += 4u * step;
    }
    for (; p < last; p++) {
      sum += f32(dout[out_at]) * f32(x[in_at]);
      out_at += step;
      in_at += step;
    }
  }
  partials[i] = sum;
}
