// Gradient of layer normalisation with respect to its input, one workgroup per row:
// dx = rstd * (g - mean(g) - n * mean(g * n)), plus what else flows there, with g = weight * dout and n = (x - mean) * rstd.
alias x_t = f32;      // storage types: f32 or f16; sums are always f32
alias weight_t = f32;
alias dout_t = f32;
const WG_SIZE: u32 = 128u; // tunable: power of two

struct Params {
  rows: u32,     // R
  channels: u32, // C
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<x_t>;           // [R C]
@group(0) @binding(2) var<storage, read_write> weight: array<weight_t>; // [C]
@group(0) @binding(3) var<storage, read_write> mean: array<f32>;        // [R]
@group(0) @binding(4) var<storage, read_write> rstd: array<f32>;        // [R]
@group(0) @binding(5) var<storage, read_write> dout: array<dout_t>;     // [R C]
@group(0) @binding(6) var<storage, read_write> dx: array<f32>;          // [R C]
@group(0) @binding(7) var<storage, read_write> residual: array<f32>;    // [R C], in `with_residual` only

var<workgroup> shared_sums: array<vec2f, WG_SIZE>;

// Means of g and of g * n over a row.
fn row_means(row: u32, lane: u32) -> vec2f {
  let start = row * params.channels;
  let row_mean = mean[row];
  let row_rstd = rstd[row];
  var sums = vec2f();
  for (var c = lane; c < params.channels; c += WG_SIZE) {
    let normal = (f32(x[start + c]) - row_mean) * row_rstd;
    let flow = f32(weight[c]) * f32(dout[start + c]);
    sums += vec2f(flow, flow * normal);
  }
  shared_sums[lane] = sums;
  for (var stride = WG_SIZE / 2u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane < stride) {
      shared_sums[lane] += shared_sums[lane + stride];
    }
  }
  workgroupBarrier();
  return shared_sums[0] / f32(params.channels);
}

// dx of a channel without what else flows there. row_values: mean and rstd, then the means of g and of g * n.
fn slope_at(at: u32, c: u32, row_values: vec4f) -> f32 {
  let normal = (f32(x[at]) - row_values.x) * row_values.y;
  let flow = f32(weight[c]) * f32(dout[at]);
  return row_values.y * (flow - row_values.z - normal * row_values.w);
}

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { // the same for the whole workgroup, so barriers below stay uniform
    return;
  }
  let row_values = vec4f(mean[row], rstd[row], row_means(row, lane));
  for (var c = lane; c < params.channels; c += WG_SIZE) {
    let at = row * params.channels + c;
    dx[at] = slope_at(at, c, row_values);
  }
}

@compute @workgroup_size(WG_SIZE)
fn with_residual(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) {
    return;
  }
  let row_values = vec4f(mean[row], rstd[row], row_means(row, lane));
  for (var c = lane; c < params.channels; c += WG_SIZE) {
    let at = row * params.channels + c;
    let other = residual[at]; // may be the same memory
    dx[at] = slope_at(at, c, row_values) + other;
  }
}
