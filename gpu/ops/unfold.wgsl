// Patches as rows (im2col) in space and time: out[(b, t, row, col), (c, kt, kh, kw)], zeros outside of the clip.
// One invocation per column and line of rows, which walks along the line: the index is split once a line.
alias x_t = f32;
alias out_t = f32;
const WG_SIZE: u32 = 64u; // tunable: power of two

struct Params {
  lines: u32,    // B · out_frames · out_height
  columns: u32,  // channels · kernel
  frames: u32,   // T
  channels: u32,
  height: u32,   // of x, in pixels
  width: u32,
  out_frames: u32,
  out_height: u32,
  out_width: u32,
  kernel: vec3u, // time, rows, columns
  stride: vec3u,
  padding: vec3u,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<x_t>;     // [B · T, channels, height, width]
@group(0) @binding(2) var<storage, read_write> out: array<out_t>; // [lines · out_width, columns]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let blocks = (params.columns + WG_SIZE - 1u) / WG_SIZE;
  let index = group.y * groups.x + group.x;
  let line = index / blocks;
  let column = (index % blocks) * WG_SIZE + lane;
  if (line >= params.lines || column >= params.columns) {
    return;
  }
  let row = line % params.out_height;
  let frame = (line / params.out_height) % params.out_frames;
  let clip = line / (params.out_height * params.out_frames);
  let kw = column % params.kernel.z;
  let kh = (column / params.kernel.z) % params.kernel.y;
  let kt = (column / (params.kernel.z * params.kernel.y)) % params.kernel.x;
  let channel = column / (params.kernel.z * params.kernel.y * params.kernel.x);
  // Places before the clip wrap around to large numbers, so one comparison serves both ends.
  let t = frame * params.stride.x + kt - params.padding.x;
  let y = row * params.stride.y + kh - params.padding.y;
  let inside = t < params.frames && y < params.height;
  let source = (((clip * params.frames + t) * params.channels + channel) * params.height + y) * params.width;
  var at = line * params.out_width * params.columns + column;
  var place = kw - params.padding.z;
  for (var col = 0u; col < params.out_width; col++) {
    var value = out_t(0.0);
    if (inside && place < params.width) {
      value = out_t(x[source + place]);
    }
    out[at] = value;
    at += params.columns;
    place += params.stride.z;
  }
}
