// Chains the places of equal ids: links[r] = the next place of the same id, or R; plus 2³¹ where no place before r has it.
// Ids past the table are its last row, as in the forward pass.
const WG_SIZE: u32 = 64u; // tunable: power of two
const FIRST: u32 = 2147483648u; // 2³¹

struct Params {
  count: u32, // R
  rows: u32,  // V
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> ids: array<u32>;   // [R]
@group(0) @binding(2) var<storage, read_write> links: array<u32>; // [R]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let r = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (r >= params.count) {
    return;
  }
  let last = params.rows - 1u;
  let id = min(ids[r], last);
  var before = r;
  while (before > 0u && min(ids[before - 1u], last) != id) {
    before--;
  }
  var next = r + 1u;
  while (next < params.count && min(ids[next], last) != id) {
    next++;
  }
  links[r] = select(next, next + FIRST, before == 0u);
}
