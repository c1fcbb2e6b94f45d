// Gradient of batch normalisation with respect to its input, one invocation per column of a chunk of rows:
// dx = weight * rstd * (dout - flow - (x - mean) * slope), plus what else flows there.
alias x_t = f32; // storage types: f32 or f16; arithmetic is always f32
alias dout_t = f32;
const WG_SIZE: u32 = 64u; // tunable: power of two
const OVERLAP: u32 = 1u; // tunable: 0 reads one at a time, for CPUs, which wait for none

struct Params {
  rows: u32,       // R
  channels: u32,   // C
  chunk_rows: u32, // rows of one workgroup
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<x_t>;         // [R C]
@group(0) @binding(2) var<storage, read_write> dout: array<dout_t>;   // [R C]
@group(0) @binding(3) var<storage, read_write> columns: array<f32>;   // [4 C]: mean, weight * rstd, flow, slope
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;        // [R C]
@group(0) @binding(5) var<storage, read_write> residual: array<f32>;  // [R C], in `with_residual` only

struct Column {
  centre: f32,
  factor: f32,
  flow: f32,
  slope: f32,
}

fn column_of(c: u32) -> Column {
  let width = params.channels;
  return Column(columns[c], columns[width + c], columns[2u * width + c], columns[3u * width + c]);
}

fn slope_at(at: u32, column: Column) -> f32 {
  return column.factor * (f32(dout[at]) - column.flow - (f32(x[at]) - column.centre) * column.slope);
}

// The same of four rows from `at` on, which are read together, so that reads overlap.
fn slopes_at(at: u32, column: Column) -> vec4f {
  let step = params.channels;
  let flow = vec4f(f32(dout[at]), f32(dout[at + step]), f32(dout[at + 2u * step]), f32(dout[at + 3u * step]));
  let v = vec4f(f32(x[at]), f32(x[at + step]), f32(x[at + 2u * step]), f32(x[at + 3u * step]));
  return column.factor * (flow - column.flow - (v - column.centre) * column.slope);
}

fn store_four(at: u32, values: vec4f) {
  let step = params.channels;
  dx[at] = values.x;
  dx[at + step] = values.y;
  dx[at + 2u * step] = values.z;
  dx[at + 3u * step] = values.w;
}

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let c = group.x * WG_SIZE + lane;
  if (c >= params.channels) {
    return;
  }
  let column = column_of(c);
  let first = group.y * params.chunk_rows;
  let end = min(first + params.chunk_rows, params.rows);
  var row = first;
  for (; OVERLAP == 1u && row + 4u <= end; row += 4u) {
    let at = row * params.channels + c;
    store_four(at, slopes_at(at, column));
  }
  for (; row < end; row++) {
    let at = row * params.channels + c;
    dx[at] = slope_at(at, column);
  }
}

@compute @workgroup_size(WG_SIZE)
fn with_residual(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let c = group.x * WG_SIZE + lane;
  if (c >= params.channels) {
    return;
  }
  let column = column_of(c);
  let first = group.y * params.chunk_rows;
  let end = min(first + params.chunk_rows, params.rows);
  let step = params.channels;
  var row = first;
  for (; OVERLAP == 1u && row + 4u <= end; row += 4u) {
    let at = row * step + c;
    // May be the same memory.
    let others = vec4f(residual[at], residual[at + step], residual[at + 2u * step], residual[at + 3u * step]);
    store_four(at, slopes_at(at, column) + others);
  }
  for (; row < end; row++) {
    let at = row * step + c;
    let other = residual[at]; // may be the same memory
    dx[at] = slope_at(at, column) + other;
  }
}
