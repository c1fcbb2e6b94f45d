// Copies one row of a table per index: out[r, c] = table[r · step + min(index[r], rows − 1), c]. With step 0 all indices
// look into one table, with step N each looks into its own.
alias table_t = f32;
alias out_t = f32;
const WG_SIZE: u32 = 256u; // tunable: power of two

struct Params {
  count: u32,    // elements of out
  channels: u32, // C
  rows: u32,     // rows an index may name
  step: u32,     // rows between the tables of neighbouring indices
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> table: array<table_t>; // [… C]
@group(0) @binding(2) var<storage, read_write> index: array<u32>;     // [R]
@group(0) @binding(3) var<storage, read_write> out: array<out_t>;     // [R C]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  let r = i / params.channels;
  let row = r * params.step + min(index[r], params.rows - 1u);
  out[i] = out_t(table[row * params.channels + i % params.channels]);
}
