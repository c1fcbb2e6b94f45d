// Layer normalisation over the last axis, one invocation per row: for adapters where barriers are slow. C is a multiple of 4.
// mean and rstd are kept for the backward pass. The variance is the mean of squared deviations (two passes over the row).
alias x_t = f32;      // storage types: f32 or f16; sums are always f32
alias weight_t = f32;
alias bias_t = f32;
alias out_t = f32;
const WG_SIZE: u32 = 8u; // tunable: power of two

struct Params {
  rows: u32,     // R
  channels: u32, // C
  eps: f32,      // inside the square root
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<x_t>>;           // [R C/4]
@group(0) @binding(2) var<storage, read_write> weight: array<vec4<weight_t>>; // [C/4]
@group(0) @binding(3) var<storage, read_write> bias: array<vec4<bias_t>>;     // [C/4]
@group(0) @binding(4) var<storage, read_write> out: array<vec4<out_t>>;       // [R C/4]
@group(0) @binding(5) var<storage, read_write> mean: array<f32>;              // [R]
@group(0) @binding(6) var<storage, read_write> rstd: array<f32>;              // [R]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (row >= params.rows) {
    return;
  }
  let quads = params.channels / 4u;
  let start = row * quads;
  let count = f32(params.channels);
  var sum = vec4f();
  for (var c = 0u; c < quads; c++) {
    sum += vec4f(x[start + c]);
  }
  let row_mean = (sum.x + sum.y + sum.z + sum.w) / count;
  sum = vec4f();
  for (var c = 0u; c < quads; c++) {
    let centred = vec4f(x[start + c]) - row_mean;
    sum += centred * centred;
  }
  let row_rstd = inverseSqrt((sum.x + sum.y + sum.z + sum.w) / count + params.eps);
  for (var c = 0u; c < quads; c++) {
    let normal = (vec4f(x[start + c]) - row_mean) * row_rstd;
    out[start + c] = vec4<out_t>(normal * vec4f(weight[c]) + vec4f(bias[c]));
  }
  mean[row] = row_mean;
  rstd[row] = row_rstd;
}
