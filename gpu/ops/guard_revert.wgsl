// Puts back what was there before, where the update under way is to be skipped.
const WG_SIZE: u32 = 256u; // tunable: power of two

struct Params {
  count: u32, // elements
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> before: array<f32>; // [count]
@group(0) @binding(2) var<storage, read_write> guard: array<f32>;  // [3]: skip, skipped, skipped in a row
@group(0) @binding(3) var<storage, read_write> values: array<f32>; // [count]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count || guard[0] == 0.0) {
    return;
  }
  values[i] = before[i];
}
