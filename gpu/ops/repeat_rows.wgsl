// Repeats every row: out[a, r, c] = factor · x[a, c].
alias x_t = f32; // storage types: f32 or f16; arithmetic is always f32
alias out_t = f32;
const WG_SIZE: u32 = 256u; // tunable: power of two

struct Params {
  count: u32,   // elements of out
  rows: u32,
  columns: u32,
  factor: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<x_t>;     // [outer columns]
@group(0) @binding(2) var<storage, read_write> out: array<out_t>; // [outer rows columns]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  let outer = i / (params.rows * params.columns);
  out[i] = out_t(params.factor * f32(x[outer * params.columns + i % params.columns]));
}
