// Sums the middle axis in runs of `chunk_rows` rows: out[a, chunk, c] = factor · Σ x[a, r, c] over the rows of the chunk.
// One invocation per element of out; neighbours read neighbouring columns. Run twice, it sums a long axis.
alias x_t = f32; // storage types: f32 or f16; sums are always f32
alias out_t = f32;
const WG_SIZE: u32 = 64u; // tunable: power of two
const OVERLAP: u32 = 1u; // tunable: 0 reads one at a time, for CPUs, which wait for none

struct Params {
  count: u32,      // elements of out: outer · chunks · columns
  rows: u32,
  columns: u32,
  chunks: u32,     // ⌈rows / chunk_rows⌉
  chunk_rows: u32,
  factor: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<x_t>;     // [outer rows columns]
@group(0) @binding(2) var<storage, read_write> out: array<out_t>; // [outer chunks columns]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  let column = i % params.columns;
  let run_index = i / params.columns;
  let first = (run_index % params.chunks) * params.chunk_rows;
  let last = min(first + params.chunk_rows, params.rows);
  var at = ((run_index / params.chunks) * params.rows + first) * params.columns + column;
  let step = params.columns;
  var sum = 0.0;
  var row = first;
  for (; OVERLAP == 1u && row + 8u <= last; row += 8u) { // eight reads at a time, so that they overlap, summed in their order
    let a = vec4f(f32(x[at]), f32(x[at + step]), f32(x[at + 2u * step]), f32(x[at + 3u * step]));
    let b = vec4f(f32(x[at + 4u * step]), f32(x[at + 5u * step]), f32(x[at + 6u * step]), f32(x[at + 7u * step]));
    sum = sum + a.x + a.y + a.z + a.w + b.x + b.y + b.z + b.w;
    at += 8u * step;
  }
  for (; row < last; row++) {
    sum += f32(x[at]);
    at += step;
  }
  out[i] = out_t(params.factor * sum);
}
