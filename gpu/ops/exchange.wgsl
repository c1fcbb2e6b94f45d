// Exchanges the values of two tensors, bit by bit.
const WG_SIZE: u32 = 256u; // tunable: power of two

struct Params {
  count: u32, // elements
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> a: array<u32>; // [count], the bits of f32
@group(0) @binding(2) var<storage, read_write> b: array<u32>; // [count]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  let first = a[i];
  a[i] = b[i];
  b[i] = first;
}
