// Gradients of out = silu(gate) · x: dx = dout · silu(gate), dgate = dout · x · σ(gate) (1 + gate · σ(−gate)).
alias gate_t = f32; // storage types: f32 or f16; arithmetic is always f32
alias x_t = f32;
alias dout_t = f32;
alias dgate_t = f32;
alias dx_t = f32;
const WG_SIZE: u32 = 256u; // tunable: power of two

struct Params {
  count: u32, // elements
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> gate: array<gate_t>;   // [count]
@group(0) @binding(2) var<storage, read_write> x: array<x_t>;         // [count]
@group(0) @binding(3) var<storage, read_write> dout: array<dout_t>;   // [count]
@group(0) @binding(4) var<storage, read_write> dgate: array<dgate_t>; // [count]
@group(0) @binding(5) var<storage, read_write> dx: array<dx_t>;       // [count]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  let z = f32(gate[i]);
  let d = f32(dout[i]);
  let e = exp(-abs(z)); // of a negative number only, so nothing overflows
  let low = e / (1.0 + e);
  let high = 1.0 / (1.0 + e);
  let cumulative = select(high, low, z < 0.0); // σ(z)
  let rest = select(low, high, z < 0.0);       // σ(−z)
  dx[i] = dx_t(d * (z * cumulative));
  dgate[i] = dgate_t(d * f32(x[i]) * (cumulative * (1.0 + z * rest)));
}
