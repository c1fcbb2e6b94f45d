// Gradient of one row picked from each table: dx[b, n, c] = dout[b, c] where n is the row that was picked, else 0.
alias dout_t = f32; // storage types: f32 or f16
alias dx_t = f32;
const WG_SIZE: u32 = 256u; // tunable: power of two

struct Params {
  count: u32,    // elements of dx
  channels: u32, // C
  rows: u32,     // N
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> dout: array<dout_t>; // [B C]
@group(0) @binding(2) var<storage, read_write> index: array<u32>;   // [B]
@group(0) @binding(3) var<storage, read_write> dx: array<dx_t>;     // [B N C]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  let row = i / params.channels;
  let b = row / params.rows;
  if (row % params.rows == min(index[b], params.rows - 1u)) {
    dx[i] = dx_t(f32(dout[b * params.channels + i % params.channels]));
  } else {
    dx[i] = dx_t(0.0);
  }
}
