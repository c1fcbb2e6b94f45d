// What flows back through the statistics of a batch that ranks share, and what every row of a column needs of it: the sums of all ranks
// over the rows of all of them.
const WG_SIZE: u32 = 64u; // tunable: power of two

struct Params {
  channels: u32, // C
  ranks: u32,
  eps: f32,      // inside the square root
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;     // [2 C]: of dout * n, of dout; over all ranks
@group(0) @binding(2) var<storage, read_write> parts: array<f32>;    // [ranks 3 C]: mean, squared deviations, rows
@group(0) @binding(3) var<storage, read_write> weight: array<f32>;   // [C]
@group(0) @binding(4) var<storage, read_write> mean: array<f32>;     // [C]
@group(0) @binding(5) var<storage, read_write> variance: array<f32>; // [C]
@group(0) @binding(6) var<storage, read_write> columns: array<f32>;  // [4 C]: mean, weight * rstd, flow, slope

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x;
  if (c >= params.channels) {
    return;
  }
  var rows = 0.0;
  for (var rank = 0u; rank < params.ranks; rank++) {
    rows += parts[(rank * 3u + 2u) * params.channels + c];
  }
  let rstd = inverseSqrt(variance[c] + params.eps);
  columns[c] = mean[c];
  columns[params.channels + c] = weight[c] * rstd;
  columns[2u * params.channels + c] = sums[c + params.channels] / rows;
  columns[3u * params.channels + c] = sums[c] / rows * rstd;
}
