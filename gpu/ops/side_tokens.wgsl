// The tokens a side block attends to: out[b, t] = [shifted class token ; s[b, t]] + position, where the table of positions may
// lack the class token's. The class token takes its first `split` channels from the next frame and the others from the frame before, zeros past the ends.
// One invocation per (b, token, channel), which walks through time: position and index arithmetic are shared by frames.
alias c_t = f32; // storage types: f32 or f16; arithmetic is always f32
alias s_t = f32;
alias position_t = f32;
alias out_t = f32;
const WG_SIZE: u32 = 64u; // tunable: power of two

struct Params {
  count: u32,    // B · frame
  frames: u32,   // T
  frame: u32,    // (P + 1) · D, elements of a frame of out
  channels: u32, // D
  split: u32,    // channels taken from the next frame
  lead: u32,     // elements of the class token's position: D, or 0 where the table has none
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> c: array<c_t>;               // [B T D]
@group(0) @binding(2) var<storage, read_write> s: array<s_t>;               // [B T P D]
@group(0) @binding(3) var<storage, read_write> position: array<position_t>; // [P D], or [P + 1, D] with the class token's first
@group(0) @binding(4) var<storage, read_write> out: array<out_t>;           // [B · T, P + 1, D]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  let first_frame = (i / params.frame) * params.frames;
  let at = i % params.frame;
  if (at < params.channels) {
    var shift = 0.0;
    if (params.lead > 0u) {
      shift = f32(position[at]);
    }
    for (var t = 0u; t < params.frames; t++) {
      let here = (first_frame + t) * params.channels + at;
      var value = 0.0;
      if (at < params.split && t + 1u < params.frames) {
        value = f32(c[here + params.channels]);
      } else if (at >= params.split && t > 0u) {
        value = f32(c[here - params.channels]);
      }
      out[(first_frame + t) * params.frame + at] = out_t(value + shift);
    }
    return;
  }
  let inner = at - params.channels; // element of a frame of s
  let patches = params.frame - params.channels;
  let shift = f32(position[inner + params.lead]);
  for (var t = 0u; t < params.frames; t++) {
    out[(first_frame + t) * params.frame + at] = out_t(f32(s[(first_frame + t) * patches + inner]) + shift);
  }
}
