// Replaces 8-bit levels by the entries of a table, of each channel and frame its own or one for all.
// source, target: [T H W] pixels, R | G << 8 | B << 16 · tables: a word a level.
const WG_X: u32 = 16u;
const WG_Y: u32 = 4u;

struct Params {
  width: u32,
  height: u32,
  table: u32,          // word of the first table
  table_channel: u32,  // words from one channel's table to the next
  table_frame: u32,    // words from one frame's tables to the next
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> tables: array<u32>;
@group(0) @binding(2) var<storage, read_write> source: array<u32>;
@group(0) @binding(3) var<storage, read_write> target_pixels: array<u32>;

@compute @workgroup_size(WG_X, WG_Y)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.width || id.y >= params.height) {
    return;
  }
  let at = (id.z * params.height + id.y) * params.width + id.x;
  let pixel = source[at];
  let red = params.table + id.z * params.table_frame;
  let green = red + params.table_channel;
  let blue = green + params.table_channel;
  target_pixels[at] = tables[red + (pixel & 255u)] | (tables[green + ((pixel >> 8u) & 255u)] << 8u) |
    (tables[blue + ((pixel >> 16u) & 255u)] << 16u);
}
