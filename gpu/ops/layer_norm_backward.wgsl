// Gradient of layer normalisation with respect to its input, one workgroup per row:
// dx = rstd * (g - mean(g) - n * mean(g * n)), plus what else flows there, with g = weight * dout and n = (x - mean) * rstd.
// Every invocation reads four channels at a time, so that reads overlap.
alias x_t = f32;      // storage types: f32 or f16; sums are always f32
alias weight_t = f32;
alias dout_t = f32;
const WG_SIZE: u32 = 64u; // tunable: power of two

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

// Four of an invocation's channels, from `c` on. Those past the end are the last one again.
fn channels_from(c: u32) -> vec4u {
  return min(vec4u(c, c + WG_SIZE, c + 2u * WG_SIZE, c + 3u * WG_SIZE), vec4u(params.channels - 1u));
}

// 1 for those that exist, 0 for those past the end.
fn exists(c: u32) -> vec4f {
  return select(vec4f(), vec4f(1.0), vec4u(c, c + WG_SIZE, c + 2u * WG_SIZE, c + 3u * WG_SIZE) < vec4u(params.channels));
}

// n of some channels.
fn normals(start: u32, at: vec4u, row_mean: f32, row_rstd: f32) -> vec4f {
  let values = vec4f(f32(x[start + at.x]), f32(x[start + at.y]), f32(x[start + at.z]), f32(x[start + at.w]));
  return (values - row_mean) * row_rstd;
}

// g of some channels.
fn flows(start: u32, at: vec4u) -> vec4f {
  let w = vec4f(f32(weight[at.x]), f32(weight[at.y]), f32(weight[at.z]), f32(weight[at.w]));
  return w * vec4f(f32(dout[start + at.x]), f32(dout[start + at.y]), f32(dout[start + at.z]), f32(dout[start + at.w]));
}

// Means of g and of g * n over a row.
fn row_means(row: u32, lane: u32) -> vec2f {
  let start = row * params.channels;
  let row_mean = mean[row];
  let row_rstd = rstd[row];
  var flow_sum = vec4f();
  var product_sum = vec4f();
  for (var c = lane; c < params.channels; c += 4u * WG_SIZE) {
    let at = channels_from(c);
    let flow = flows(start, at) * exists(c);
    flow_sum += flow;
    product_sum += flow * normals(start, at, row_mean, row_rstd);
  }
  shared_sums[lane] = vec2f(
    flow_sum.x + flow_sum.y + flow_sum.z + flow_sum.w,
    product_sum.x + product_sum.y + product_sum.z + product_sum.w,
  );
  for (var stride = WG_SIZE / 2u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane < stride) {
      shared_sums[lane] += shared_sums[lane + stride];
    }
  }
  workgroupBarrier();
  return shared_sums[0] / f32(params.channels);
}

// dx of some channels without what else flows there. row_values: mean and rstd, then the means of g and of g * n.
fn slopes(start: u32, at: vec4u, row_values: vec4f) -> vec4f {
  let normal = normals(start, at, row_values.x, row_values.y);
  return row_values.y * (flows(start, at) - row_values.z - normal * row_values.w);
}

fn store(start: u32, c: u32, value: f32) {
  if (c < params.channels) {
    dx[start + c] = value;
  }
}

fn store_four(start: u32, c: u32, four: vec4f) {
  store(start, c, four.x);
  store(start, c + WG_SIZE, four.y);
  store(start, c + 2u * WG_SIZE, four.z);
  store(start, c + 3u * WG_SIZE, four.w);
}

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { // the same for the whole workgroup, so barriers below stay uniform
    return;
  }
  let row_values = vec4f(mean[row], rstd[row], row_means(row, lane));
  let start = row * params.channels;
  for (var c = lane; c < params.channels; c += 4u * WG_SIZE) {
    store_four(start, c, slopes(start, channels_from(c), row_values));
  }
}

@compute @workgroup_size(WG_SIZE)
fn with_residual(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) {
    return;
  }
  let row_values = vec4f(mean[row], rstd[row], row_means(row, lane));
  let start = row * params.channels;
  for (var c = lane; c < params.channels; c += 4u * WG_SIZE) {
    let at = channels_from(c);
    // May be the same memory: an invocation's own channels are read before any of them is written.
    let others = vec4f(residual[start + at.x], residual[start + at.y], residual[start + at.z], residual[start + at.w]);
    store_four(start, c, slopes(start, at, row_values) + others);
  }
}
