// One pass of a resize along x or y, 8-bit in and out, the arithmetic of Pillow (lib/resample.ts).
// tables: rows of [first tap, tap count, weights …], weights scaled by 2^22 · source, target: [T rows columns] pixels,
// R | G << 8 | B << 16. A sum of weights is at most 1.25 · 2^22 in magnitude, so 255 times it fits an i32.
const WG_X: u32 = 16u;
const WG_Y: u32 = 4u;

struct Params {
  width: u32,        // columns of the target
  height: u32,       // rows of the target
  vertical: u32,     // 1: along y
  source_origin: u32, // first wanted pixel of a source frame
  source_row: u32,   // pixels per source row
  source_frame: u32, // pixels per source frame
  tap_origin: u32,   // tap number that source_origin stands for
  table: u32,        // word of the first wanted table row
  table_row: u32,    // words per table row
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> tables: array<i32>;
@group(0) @binding(2) var<storage, read_write> source: array<u32>;
@group(0) @binding(3) var<storage, read_write> target_pixels: array<u32>;

@compute @workgroup_size(WG_X, WG_Y)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.width || id.y >= params.height) {
    return;
  }
  let vertical = params.vertical == 1u;
  let along = select(id.x, id.y, vertical);
  let across = select(id.y * params.source_row, id.x, vertical);
  let step = select(1u, params.source_row, vertical);
  let row = params.table + along * params.table_row;
  let first = u32(tables[row]) - params.tap_origin;
  let taps = u32(tables[row + 1u]);

  var at = id.z * params.source_frame + params.source_origin + across + first * step;
  var sum = vec3i(1 << 21u); // one half
  for (var tap = 0u; tap < taps; tap++) {
    let pixel = source[at];
    sum += tables[row + 2u + tap] * vec3i(vec3u(pixel, pixel >> 8u, pixel >> 16u) & vec3u(255u));
    at += step;
  }
  let value = vec3u(clamp(sum >> vec3u(22u), vec3i(0), vec3i(255)));
  target_pixels[(id.z * params.height + id.y) * params.width + id.x] = value.x | (value.y << 8u) | (value.z << 16u);
}
