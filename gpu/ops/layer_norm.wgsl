// Layer normalisation over the last axis, one workgroup per row.
// mean and rstd are kept for the backward pass. The variance is the mean of squared deviations (two passes over the row).
alias x_t = f32;      // storage types: f32 or f16; sums are always f32
alias weight_t = f32;
alias bias_t = f32;
alias out_t = f32;
const WG_SIZE: u32 = 128u; // tunable: power of two

struct Params {
  rows: u32,     // R
  channels: u32, // C
  eps: f32,      // inside the square root
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<x_t>;           // [R C]
@group(0) @binding(2) var<storage, read_write> weight: array<weight_t>; // [C]
@group(0) @binding(3) var<storage, read_write> bias: array<bias_t>;     // [C]
@group(0) @binding(4) var<storage, read_write> out: array<out_t>;       // [R C]
@group(0) @binding(5) var<storage, read_write> mean: array<f32>;        // [R]
@group(0) @binding(6) var<storage, read_write> rstd: array<f32>;        // [R]

var<workgroup> shared_sums: array<f32, WG_SIZE>;

fn workgroup_sum(value: f32, lane: u32) -> f32 {
  workgroupBarrier(); // the sum before must have been read by all
  shared_sums[lane] = value;
  for (var stride = WG_SIZE / 2u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane < stride) {
      shared_sums[lane] += shared_sums[lane + stride];
    }
  }
  workgroupBarrier();
  return shared_sums[0];
}

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { // the same for the whole workgroup, so barriers below stay uniform
    return;
  }
  let start = row * params.channels;
  let count = f32(params.channels);
  var sum = 0.0;
  for (var c = lane; c < params.channels; c += WG_SIZE) {
    sum += f32(x[start + c]);
  }
  let row_mean = workgroup_sum(sum, lane) / count;
  sum = 0.0;
  for (var c = lane; c < params.channels; c += WG_SIZE) {
    let centred = f32(x[start + c]) - row_mean;
    sum += centred * centred;
  }
  let row_rstd = inverseSqrt(workgroup_sum(sum, lane) / count + params.eps);
  for (var c = lane; c < params.channels; c += WG_SIZE) {
    let normal = (f32(x[start + c]) - row_mean) * row_rstd;
    out[start + c] = out_t(normal * f32(weight[c]) + f32(bias[c]));
  }
  if (lane == 0u) {
    mean[row] = row_mean;
    rstd[row] = row_rstd;
  }
}
