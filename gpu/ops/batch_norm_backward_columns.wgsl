// Second stage of the gradient of batch normalisation: what the chunks of rows sum to, the gradients of weight and bias, and what every
// row of a column needs of them. One invocation per column.
const WG_SIZE: u32 = 64u; // tunable: power of two
const OVERLAP: u32 = 1u; // tunable: 0 reads one at a time, for CPUs, which wait for none

struct Params {
  chunks: u32,
  channels: u32, // C
  eps: f32,      // inside the square root
  share: f32,    // 1/R where the statistics are those of x; 0 where they are constants
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> partials: array<f32>; // [chunks 2 C]: of dout * n, of dout
@group(0) @binding(2) var<storage, read_write> weight: array<f32>;   // [C]
@group(0) @binding(3) var<storage, read_write> mean: array<f32>;     // [C]
@group(0) @binding(4) var<storage, read_write> variance: array<f32>; // [C]
@group(0) @binding(5) var<storage, read_write> d_weight: array<f32>; // [C]
@group(0) @binding(6) var<storage, read_write> d_bias: array<f32>;   // [C]
@group(0) @binding(7) var<storage, read_write> columns: array<f32>;  // [4 C]: mean, weight * rstd, flow, slope

fn part(chunk: u32, c: u32) -> vec2f {
  let at = chunk * 2u * params.channels + c;
  return vec2f(partials[at], partials[at + params.channels]);
}

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x;
  if (c >= params.channels) {
    return;
  }
  var sums = vec2f();
  var chunk = 0u;
  for (; OVERLAP == 1u && chunk + 4u <= params.chunks; chunk += 4u) { // four chunks are read at a time, so that reads overlap, and summed in their order
    let p0 = part(chunk, c);
    let p1 = part(chunk + 1u, c);
    let p2 = part(chunk + 2u, c);
    let p3 = part(chunk + 3u, c);
    sums = sums + p0 + p1 + p2 + p3;
  }
  for (; chunk < params.chunks; chunk++) {
    sums += part(chunk, c);
  }
  d_weight[c] = sums.x;
  d_bias[c] = sums.y;
  let rstd = inverseSqrt(variance[c] + params.eps);
  columns[c] = mean[c];
  columns[params.channels + c] = weight[c] * rstd;
  columns[2u * params.channels + c] = params.share * sums.y;
  columns[3u * params.channels + c] = params.share * sums.x * rstd;
}
