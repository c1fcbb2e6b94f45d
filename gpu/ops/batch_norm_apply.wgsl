// Batch normalisation with given statistics: out = (x - mean) / sqrt(variance + eps) * weight + bias, one invocation per
// column of a chunk of rows.
alias x_t = f32; // storage types: f32 or f16; arithmetic is always f32
alias out_t = f32;
const WG_SIZE: u32 = 64u; // tunable: power of two
const OVERLAP: u32 = 1u; // tunable: 0 reads one at a time, for CPUs, which wait for none

struct Params {
  rows: u32,       // R
  channels: u32,   // C
  chunk_rows: u32, // rows of one workgroup
  eps: f32,        // inside the square root
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<x_t>;        // [R C]
@group(0) @binding(2) var<storage, read_write> mean: array<f32>;     // [C]
@group(0) @binding(3) var<storage, read_write> variance: array<f32>; // [C]
@group(0) @binding(4) var<storage, read_write> weight: array<f32>;   // [C]
@group(0) @binding(5) var<storage, read_write> bias: array<f32>;     // [C]
@group(0) @binding(6) var<storage, read_write> out: array<out_t>;    // [R C]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let c = group.x * WG_SIZE + lane;
  if (c >= params.channels) {
    return;
  }
  let centre = mean[c];
  let factor = weight[c] * inverseSqrt(variance[c] + params.eps);
  let offset = bias[c];
  let first = group.y * params.chunk_rows;
  let end = min(first + params.chunk_rows, params.rows);
  let step = params.channels;
  var row = first;
  for (; OVERLAP == 1u && row + 4u <= end; row += 4u) { // four rows are read at a time, so that reads overlap
    let at = row * step + c;
    let v = vec4f(f32(x[at]), f32(x[at + step]), f32(x[at + 2u * step]), f32(x[at + 3u * step]));
    let normal = (v - centre) * factor + offset;
    out[at] = out_t(normal.x);
    out[at + step] = out_t(normal.y);
    out[at + 2u * step] = out_t(normal.z);
    out[at + 3u * step] = out_t(normal.w);
  }
  for (; row < end; row++) {
    let at = row * step + c;
    out[at] = out_t((f32(x[at]) - centre) * factor + offset);
  }
}
