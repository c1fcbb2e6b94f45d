// Copies a run of elements between two tensors: out[first_out + i] = x[first_in + i].
alias x_t = f32;
alias out_t = f32;
const WG_SIZE: u32 = 256u; // tunable: power of two

struct Params {
  first_in: u32,  // first element read
  first_out: u32, // first element written
  count: u32,     // elements
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<x_t>;
@group(0) @binding(2) var<storage, read_write> out: array<out_t>;

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  out[params.first_out + i] = out_t(x[params.first_in + i]);
}
