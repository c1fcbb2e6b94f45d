// First stage of batch statistics: mean and sum of squared deviations of one chunk of rows, one invocation per column.
alias x_t = f32; // storage type: f32 or f16; sums are always f32
const WG_SIZE: u32 = 64u; // tunable: power of two
const OVERLAP: u32 = 1u; // tunable: 0 reads one at a time, for CPUs, which wait for none

struct Params {
  rows: u32,       // R
  channels: u32,   // C
  chunk_rows: u32, // rows of one workgroup
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<x_t>;        // [R C]
@group(0) @binding(2) var<storage, read_write> partials: array<f32>; // [chunks 2 C]

// Four rows from `row` on in column c.
fn four(row: u32, c: u32) -> vec4f {
  let step = params.channels;
  let at = row * step + c;
  return vec4f(f32(x[at]), f32(x[at + step]), f32(x[at + 2u * step]), f32(x[at + 3u * step]));
}

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let c = group.x * WG_SIZE + lane;
  if (c >= params.channels) {
    return;
  }
  let first = group.y * params.chunk_rows;
  let end = min(first + params.chunk_rows, params.rows);
  var sum = 0.0;
  var row = first;
  for (; OVERLAP == 1u && row + 8u <= end; row += 8u) { // eight rows are read at a time, so that reads overlap, and summed in their order
    let a = four(row, c);
    let b = four(row + 4u, c);
    sum = sum + a.x + a.y + a.z + a.w + b.x + b.y + b.z + b.w;
  }
  for (; row < end; row++) {
    sum += f32(x[row * params.channels + c]);
  }
  let chunk_mean = sum / f32(end - first);
  var squares = 0.0;
  row = first;
  for (; OVERLAP == 1u && row + 8u <= end; row += 8u) {
    let a = four(row, c) - chunk_mean;
    let b = four(row + 4u, c) - chunk_mean;
    let aa = a * a;
    let bb = b * b;
    squares = squares + aa.x + aa.y + aa.z + aa.w + bb.x + bb.y + bb.z + bb.w;
  }
  for (; row < end; row++) {
    let centred = f32(x[row * params.channels + c]) - chunk_mean;
    squares += centred * centred;
  }
  let to = group.y * 2u * params.channels + c;
  partials[to] = chunk_mean;
  partials[to + params.channels] = squares;
}
