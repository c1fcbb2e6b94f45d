// Gradient of batch normalisation with respect to its input, one invocation per column of a chunk of rows:
// dx = weight * rstd * (dout - share * (dBias + n * dWeight)), with n = (x - mean) * rstd.
alias x_t = f32; // storage types: f32 or f16; arithmetic is always f32
alias dout_t = f32;
const WG_SIZE: u32 = 64u; // tunable: power of two

struct Params {
  rows: u32,       // R
  channels: u32,   // C
  chunk_rows: u32, // rows of one workgroup
  eps: f32,        // inside the square root
  share: f32,      // 1/R where the statistics are those of x; 0 where they are constants
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<x_t>;        // [R C]
@group(0) @binding(2) var<storage, read_write> weight: array<f32>;   // [C]
@group(0) @binding(3) var<storage, read_write> mean: array<f32>;     // [C]
@group(0) @binding(4) var<storage, read_write> variance: array<f32>; // [C]
@group(0) @binding(5) var<storage, read_write> dout: array<dout_t>;  // [R C]
@group(0) @binding(6) var<storage, read_write> d_weight: array<f32>; // [C]
@group(0) @binding(7) var<storage, read_write> d_bias: array<f32>;   // [C]
@group(0) @binding(8) var<storage, read_write> dx: array<f32>;       // [R C]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let c = group.x * WG_SIZE + lane;
  if (c >= params.channels) {
    return;
  }
  let centre = mean[c];
  let rstd = inverseSqrt(variance[c] + params.eps);
  let factor = weight[c] * rstd;
  let flow_mean = params.share * d_bias[c];
  let slope = params.share * d_weight[c] * rstd;
  let first = group.y * params.chunk_rows;
  let end = min(first + params.chunk_rows, params.rows);
  for (var row = first; row < end; row++) {
    let at = row * params.channels + c;
    dx[at] = factor * (f32(dout[at]) - flow_mean - (f32(x[at]) - centre) * slope);
  }
}
