// Adds to a tensor in place: dst += factor · src.
alias src_t = f32; // storage types: f32 or f16; arithmetic is always f32
alias dst_t = f32;
const WG_SIZE: u32 = 256u; // tunable: power of two

struct Params {
  count: u32, // elements
  factor: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> src: array<src_t>; // [count]
@group(0) @binding(2) var<storage, read_write> dst: array<dst_t>; // [count]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  dst[i] = dst_t(f32(dst[i]) + params.factor * f32(src[i]));
}
