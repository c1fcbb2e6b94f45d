// Gradient of a table by rows picked from it: the first place of every id walks the chain of its places, adds up their gradients in
// order, and adds the sum to the row. Rows that were not picked are left alone. No two invocations write one element.
const WG_SIZE: u32 = 64u; // tunable: power of two
const FIRST: u32 = 2147483648u; // 2³¹: marks the first place of an id in links

struct Params {
  count: u32,    // elements of dout
  places: u32,   // R
  channels: u32, // C
  rows: u32,     // V
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> ids: array<u32>;    // [R]
@group(0) @binding(2) var<storage, read_write> links: array<u32>;  // [R]
@group(0) @binding(3) var<storage, read_write> dout: array<f32>;   // [R C]
@group(0) @binding(4) var<storage, read_write> dtable: array<f32>; // [V C]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  let column = i % params.channels;
  let first = i / params.channels;
  if (links[first] < FIRST) {
    return;
  }
  var sum = 0.0;
  for (var r = first; r < params.places; r = links[r] & (FIRST - 1u)) {
    sum += dout[r * params.channels + column];
  }
  dtable[min(ids[first], params.rows - 1u) * params.channels + column] += sum;
}
