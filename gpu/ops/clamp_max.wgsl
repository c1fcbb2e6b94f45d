// Brings what is above a limit down to it, in place. NaN stays NaN.
const WG_SIZE: u32 = 256u; // tunable: power of two

struct Params {
  count: u32, // elements
  limit: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> dst: array<f32>; // [count]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i < params.count && dst[i] > params.limit) {
    dst[i] = params.limit;
  }
}
