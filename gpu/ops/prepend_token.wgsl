// Puts the class token before the patches of every frame and adds the positions:
// out[b, 0] = cls + position[0]; out[b, n] = x[b, n − 1] + position[n].
alias x_t = f32; // storage types: f32 or f16; arithmetic is always f32
alias cls_t = f32;
alias position_t = f32;
alias out_t = f32;
const WG_SIZE: u32 = 256u; // tunable: power of two

struct Params {
  count: u32,    // elements of out
  frame: u32,    // N · C, elements of a frame of out
  channels: u32, // C
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<x_t>;               // [B P C]
@group(0) @binding(2) var<storage, read_write> cls: array<cls_t>;           // [C]
@group(0) @binding(3) var<storage, read_write> position: array<position_t>; // [N C], N = P + 1
@group(0) @binding(4) var<storage, read_write> out: array<out_t>;           // [B N C]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  let at = i % params.frame;
  var value = f32(position[at]);
  if (at < params.channels) {
    value += f32(cls[at]);
  } else {
    value += f32(x[(i / params.frame) * (params.frame - params.channels) + at - params.channels]);
  }
  out[i] = out_t(value);
}
