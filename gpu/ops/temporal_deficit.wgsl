// out = ½ d + ½ mean over channels of d, with d[t] = x[t] − max(x[t−1], x[t], x[t+1]) inside of the clip.
// One invocation per row of channels: C is small (20 or 32 in the published models), and the row's sum stays in it.
alias x_t = f32; // storage types: f32 or f16; sums are always f32
alias out_t = f32;
const WG_SIZE: u32 = 64u; // tunable: power of two

struct Params {
  count: u32,     // rows, B · T · P
  frames: u32,    // T
  positions: u32, // P
  channels: u32,  // C
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<x_t>;     // [B T P C]
@group(0) @binding(2) var<storage, read_write> out: array<out_t>; // [B T P C]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (row >= params.count) {
    return;
  }
  let t = (row / params.positions) % params.frames;
  let frame = params.positions * params.channels;
  let start = row * params.channels;
  // A missing neighbour is replaced by the row itself, which changes no maximum.
  let before = select(start, start - frame, t > 0u);
  let after = select(start, start + frame, t + 1u < params.frames);
  var sum = 0.0;
  for (var c = 0u; c < params.channels; c++) {
    let value = f32(x[start + c]);
    sum += value - max(max(f32(x[before + c]), value), f32(x[after + c]));
  }
  let half_mean = 0.5 * sum / f32(params.channels);
  for (var c = 0u; c < params.channels; c++) {
    let value = f32(x[start + c]);
    out[start + c] = out_t(0.5 * (value - max(max(f32(x[before + c]), value), f32(x[after + c]))) + half_mean);
  }
}
