// The neighbours of some positions of clips, channels last, as rows of a matrix (im2col): columns[row, tap, c]. Neighbours outside
// of the clip are zero. An invocation moves up to four channels of one neighbour.
alias x_t = f32; // storage types: f32 or f16
alias columns_t = f32;
const WG_SIZE: u32 = 64u; // tunable: power of two
const RUN = 4u;           // channels of an invocation

struct Params {
  count: u32,     // invocations: rows · taps · runs
  first_row: u32, // position with which the rows begin, counted over all clips
  channels: u32,  // C
  runs: u32,      // of channels, ceil(C / RUN)
  frames: u32,    // T
  height: u32,
  width: u32,
  kernel: vec3u,  // frames, rows, columns; odd
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<x_t>;             // [B T height·width C]
@group(0) @binding(2) var<storage, read_write> columns: array<columns_t>; // [rows taps C]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WG_SIZE + lane;
  if (i >= params.count) {
    return;
  }
  let kernel = params.kernel;
  let place = i / params.runs; // row · taps + tap
  let taps = kernel.x * kernel.y * kernel.z;
  let tap = place % taps;
  let row = params.first_row + place / taps;
  let area = params.height * params.width;
  let frame = row / area;
  let position = row % area;
  // One below zero wraps around to a large number.
  let t = frame % params.frames + tap / (kernel.y * kernel.z) - kernel.x / 2u;
  let y = position / params.width + tap / kernel.z % kernel.y - kernel.y / 2u;
  let column = position % params.width + tap % kernel.z - kernel.z / 2u;
  let inside = t < params.frames && y < params.height && column < params.width;
  let clip = frame / params.frames;
  let first = i % params.runs * RUN;
  let from_x = (((clip * params.frames + t) * params.height + y) * params.width + column) * params.channels;
  for (var c = first; c < min(first + RUN, params.channels); c++) {
    var value = columns_t(0.0);
    if (inside) {
      value = columns_t(x[from_x + c]);
    }
    columns[place * params.channels + c] = value;
  }
}
