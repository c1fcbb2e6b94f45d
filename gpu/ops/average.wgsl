// Moves an exponential moving average towards newer values: average += rate · (value − average).
// The rate lies in `rates` at `offset`; after n updates that were skipped it is the one n further on, at most `last`.
// Where the guard marks the update as one to skip, nothing changes.
const WG_SIZE: u32 = 256u; // tunable: power of two

struct Params {
  count: u32,  // elements
  offset: u32, // in elements
  last: u32,   // in elements, from `offset`
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> average: array<f32>; // [count]
@group(0) @binding(2) var<storage, read_write> value: array<f32>;   // [count]
@group(0) @binding(3) var<storage, read_write> rates: array<f32>;   // [H]
@group(0) @binding(4) var<storage, read_write> guard: array<f32>;   // [3]: skip, skipped, skipped in a row

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count || guard[0] != 0.0) {
    return;
  }
  let rate = rates[params.offset + min(u32(guard[1]), params.last)];
  average[i] = average[i] + rate * (value[i] - average[i]);
}
