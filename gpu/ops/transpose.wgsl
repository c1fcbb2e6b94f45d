// Columns as rows: out[c, r] = x[r, c]. Neighbouring invocations write neighbouring elements.
alias x_t = f32; // storage types: f32 or f16
alias out_t = f32;
const WG_SIZE: u32 = 256u; // tunable: power of two

struct Params {
  count: u32,   // elements
  rows: u32,    // R
  columns: u32, // C
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<x_t>;     // [R C]
@group(0) @binding(2) var<storage, read_write> out: array<out_t>; // [C R]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  out[i] = out_t(x[(i % params.rows) * params.columns + i / params.rows]);
}
