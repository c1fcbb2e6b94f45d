// Gradient of layer normalisation with respect to its input, one invocation per row: for adapters where barriers are slow.
// dx = rstd * (g - mean(g) - n * mean(g * n)), with g = weight * dout and n = (x - mean) * rstd. C is a multiple of 4.
alias x_t = f32;      // storage types: f32 or f16; sums are always f32
alias weight_t = f32;
alias dout_t = f32;
const WG_SIZE: u32 = 8u; // tunable: power of two

struct Params {
  rows: u32,     // R
  channels: u32, // C
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<x_t>>;           // [R C/4]
@group(0) @binding(2) var<storage, read_write> weight: array<vec4<weight_t>>; // [C/4]
@group(0) @binding(3) var<storage, read_write> mean: array<f32>;              // [R]
@group(0) @binding(4) var<storage, read_write> rstd: array<f32>;              // [R]
@group(0) @binding(5) var<storage, read_write> dout: array<vec4<dout_t>>;     // [R C/4]
@group(0) @binding(6) var<storage, read_write> dx: array<vec4f>;              // [R C/4]
@group(0) @binding(7) var<storage, read_write> residual: array<vec4f>;        // [R C/4], in `with_residual` only

// Means of g and of g * n over a row.
fn row_means(row: u32) -> vec2f {
  let quads = params.channels / 4u;
  let start = row * quads;
  let row_mean = mean[row];
  let row_rstd = rstd[row];
  var flow_sum = vec4f();
  var product_sum = vec4f();
  for (var c = 0u; c < quads; c++) {
    let normal = (vec4f(x[start + c]) - row_mean) * row_rstd;
    let flow = vec4f(weight[c]) * vec4f(dout[start + c]);
    flow_sum += flow;
    product_sum += flow * normal;
  }
  return vec2f(dot(flow_sum, vec4f(1.0)), dot(product_sum, vec4f(1.0))) / f32(params.channels);
}

// dx of four channels without what else flows there. row_values: mean and rstd, then the means of g and of g * n.
fn slope_at(at: u32, c: u32, row_values: vec4f) -> vec4f {
  let normal = (vec4f(x[at]) - row_values.x) * row_values.y;
  let flow = vec4f(weight[c]) * vec4f(dout[at]);
  return row_values.y * (flow - row_values.z - normal * row_values.w);
}

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (row >= params.rows) {
    return;
  }
  let quads = params.channels / 4u;
  let row_values = vec4f(mean[row], rstd[row], row_means(row));
  for (var c = 0u; c < quads; c++) {
    dx[row * quads + c] = slope_at(row * quads + c, c, row_values);
  }
}

@compute @workgroup_size(WG_SIZE)
fn with_residual(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (row >= params.rows) {
    return;
  }
  let quads = params.channels / 4u;
  let row_values = vec4f(mean[row], rstd[row], row_means(row));
  for (var c = 0u; c < quads; c++) {
    let at = row * quads + c;
    let other = residual[at]; // may be the same memory
    dx[at] = slope_at(at, c, row_values) + other;
  }
}
