// Copies a range along one axis between tensors whose other axes agree: out[o, to_out + j] = x[o, from_x + j], j < run.
// Lengths and places on the axis are in elements, multiplied by the size of the axes after it.
alias x_t = f32;
alias out_t = f32;
const WG_SIZE: u32 = 256u; // tunable: power of two

struct Params {
  count: u32,      // elements copied: outer · run
  run: u32,
  x_length: u32,   // of the axis of x
  out_length: u32, // of the axis of out
  from_x: u32,
  to_out: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<x_t>;     // [outer x_length]
@group(0) @binding(2) var<storage, read_write> out: array<out_t>; // [outer out_length]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  let outer = i / params.run;
  let j = i % params.run;
  out[outer * params.out_length + params.to_out + j] = out_t(x[outer * params.x_length + params.from_x + j]);
}
