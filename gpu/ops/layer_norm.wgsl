// Layer normalisation over the last axis, one workgroup per row. Every invocation reads four channels at a time, so that reads overlap.
// mean and rstd are kept for the backward pass. The variance is the mean of squared deviations (two passes over the row).
alias x_t = f32;      // storage types: f32 or f16; sums are always f32
alias weight_t = f32;
alias bias_t = f32;
alias out_t = f32;
const WG_SIZE: u32 = 64u; // tunable: power of two

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

// Four of an invocation's channels, from `c` on. Those past the end are the last one again.
fn channels_from(c: u32) -> vec4u {
  return min(vec4u(c, c + WG_SIZE, c + 2u * WG_SIZE, c + 3u * WG_SIZE), vec4u(params.channels - 1u));
}

// 1 for those that exist, 0 for those past the end.
fn exists(c: u32) -> vec4f {
  return select(vec4f(), vec4f(1.0), vec4u(c, c + WG_SIZE, c + 2u * WG_SIZE, c + 3u * WG_SIZE) < vec4u(params.channels));
}

fn values(start: u32, at: vec4u) -> vec4f {
  return vec4f(f32(x[start + at.x]), f32(x[start + at.y]), f32(x[start + at.z]), f32(x[start + at.w]));
}

fn store(start: u32, c: u32, value: f32) {
  if (c < params.channels) {
    out[start + c] = out_t(value);
  }
}

fn total(v: vec4f) -> f32 {
  return v.x + v.y + v.z + v.w;
}

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { // the same for the whole workgroup, so barriers below stay uniform
    return;
  }
  let start = row * params.channels;
  let count = f32(params.channels);
  var sum = vec4f();
  for (var c = lane; c < params.channels; c += 4u * WG_SIZE) {
    sum += values(start, channels_from(c)) * exists(c);
  }
  let row_mean = workgroup_sum(total(sum), lane) / count;
  sum = vec4f();
  for (var c = lane; c < params.channels; c += 4u * WG_SIZE) {
    let centred = (values(start, channels_from(c)) - row_mean) * exists(c);
    sum += centred * centred;
  }
  let row_rstd = inverseSqrt(workgroup_sum(total(sum), lane) / count + params.eps);
  for (var c = lane; c < params.channels; c += 4u * WG_SIZE) {
    let at = channels_from(c);
    let w = vec4f(f32(weight[at.x]), f32(weight[at.y]), f32(weight[at.z]), f32(weight[at.w]));
    let b = vec4f(f32(bias[at.x]), f32(bias[at.y]), f32(bias[at.z]), f32(bias[at.w]));
    let result = (values(start, at) - row_mean) * row_rstd * w + b;
    store(start, c, result.x);
    store(start, c + WG_SIZE, result.y);
    store(start, c + 2u * WG_SIZE, result.z);
    store(start, c + 3u * WG_SIZE, result.w);
  }
  if (lane == 0u) {
    mean[row] = row_mean;
    rstd[row] = row_rstd;
  }
}
