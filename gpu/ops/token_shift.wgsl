// Shift over time, filled with zeros: the channels before `split` come from the next frame, the others from the frame
// before; `reverse` swaps the two directions, which is the transposed map.
alias x_t = f32;
alias out_t = f32;
const WG_SIZE: u32 = 256u; // tunable: power of two

struct Params {
  count: u32,    // elements
  frames: u32,   // T
  channels: u32, // D
  split: u32,
  reverse: u32,  // 0 or 1
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<x_t>;     // [B T D]
@group(0) @binding(2) var<storage, read_write> out: array<out_t>; // [B T D]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  let t = (i / params.channels) % params.frames;
  let from_next = (i % params.channels < params.split) != (params.reverse == 1u);
  var value = out_t(0.0);
  if (from_next && t + 1u < params.frames) {
    value = out_t(x[i + params.channels]);
  } else if (!from_next && t > 0u) {
    value = out_t(x[i - params.channels]);
  }
  out[i] = value;
}
