// First stage of the gradients of layer normalisation's weight and bias: sums over one chunk of rows, one invocation per
// column. partials[chunk 0 c] = sum of dout * (x - mean) * rstd, partials[chunk 1 c] = sum of dout.
alias x_t = f32; // storage types: f32 or f16; sums are always f32
alias dout_t = f32;
const WG_SIZE: u32 = 64u; // tunable: power of two
const OVERLAP: u32 = 1u; // tunable: 0 reads one at a time, for CPUs, which wait for none

struct Params {
  rows: u32,       // R
  channels: u32,   // C
  chunk_rows: u32, // rows summed by one workgroup
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<x_t>;        // [R C]
@group(0) @binding(2) var<storage, read_write> mean: array<f32>;     // [R]
@group(0) @binding(3) var<storage, read_write> rstd: array<f32>;     // [R]
@group(0) @binding(4) var<storage, read_write> dout: array<dout_t>;  // [R C]
@group(0) @binding(5) var<storage, read_write> partials: array<f32>; // [chunks 2 C]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let c = group.x * WG_SIZE + lane;
  if (c >= params.channels) {
    return;
  }
  let first = group.y * params.chunk_rows;
  let end = min(first + params.chunk_rows, params.rows);
  let step = params.channels;
  var sums = vec2f();
  var row = first;
  for (; OVERLAP == 1u && row + 4u <= end; row += 4u) { // four rows are read at a time, so that reads overlap, and summed in their order
    let at = row * step + c;
    let flow = vec4f(f32(dout[at]), f32(dout[at + step]), f32(dout[at + 2u * step]), f32(dout[at + 3u * step]));
    let v = vec4f(f32(x[at]), f32(x[at + step]), f32(x[at + 2u * step]), f32(x[at + 3u * step]));
    let centre = vec4f(mean[row], mean[row + 1u], mean[row + 2u], mean[row + 3u]);
    let p = flow * (v - centre) * vec4f(rstd[row], rstd[row + 1u], rstd[row + 2u], rstd[row + 3u]);
    sums = sums + vec2f(p.x, flow.x) + vec2f(p.y, flow.y) + vec2f(p.z, flow.z) + vec2f(p.w, flow.w);
  }
  for (; row < end; row++) {
    let at = row * step + c;
    let flow = f32(dout[at]);
    sums += vec2f(flow * (f32(x[at]) - mean[row]) * rstd[row], flow);
  }
  let to = group.y * 2u * params.channels + c;
  partials[to] = sums.x;
  partials[to + params.channels] = sums.y;
}
