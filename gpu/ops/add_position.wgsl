// Adds one table to every frame: out[b, j] = x[b, j] + position[j].
alias x_t = f32; // storage types: f32 or f16; arithmetic is always f32
alias position_t = f32;
alias out_t = f32;
const WG_SIZE: u32 = 256u; // tunable: power of two

struct Params {
  count: u32, // elements
  frame: u32, // P · D, elements of the table
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<x_t>;               // [B P D]
@group(0) @binding(2) var<storage, read_write> position: array<position_t>; // [P D]
@group(0) @binding(3) var<storage, read_write> out: array<out_t>;           // [B P D]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  out[i] = out_t(f32(x[i]) + f32(position[i % params.frame]));
}
