// Crop, mirror, grey and normalise: pixels to planar 32-bit words.
// source: [T rows columns] pixels, R | G << 8 | B << 16 · values: [3 256] bits of the normalised value of
// each 8-bit level, then [65536] of the noise that fills the erased part ·
// planes: [T 3 S S].
const WG_X: u32 = 16u;
const WG_Y: u32 = 4u;

struct Params {
  size: u32,         // S
  source_origin: u32, // first wanted pixel of a source frame
  source_row: u32,   // pixels per source row
  source_frame: u32, // pixels per source frame
  flip: u32,         // 1: mirror left and right
  grey: u32,         // 1: luminance in all channels
  planes_origin: u32, // word of the clip's first value
  erase_left: u32,   // erased part in output pixels, columns from left up to right
  erase_top: u32,
  erase_right: u32,
  erase_bottom: u32,
  erase_seed: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> values: array<u32>;
@group(0) @binding(2) var<storage, read_write> source: array<u32>;
@group(1) @binding(0) var<storage, read_write> planes: array<u32>;

/// Levels of the output pixel in column x of row y of frame t.
fn levels(x: u32, y: u32, t: u32) -> vec3u {
  let column = select(x, params.size - 1u - x, params.flip == 1u);
  let at = t * params.source_frame + params.source_origin + y * params.source_row + column;
  let rgb = vec3u(source[at], source[at] >> 8u, source[at] >> 16u) & vec3u(255u);
  let grey = (19595u * rgb.x + 38470u * rgb.y + 7471u * rgb.z + 32768u) >> 16u;
  return select(rgb, vec3u(grey), params.grey == 1u);
}

/// Number of a noise value, as `noiseIndex` in lib/noise.ts.
fn noise_index(position: u32) -> u32 {
  var hash = (position * 0x9e3779b9u) ^ params.erase_seed;
  for (var round = 0u; round < 2u; round++) {
    hash = (hash ^ (hash >> 16u)) * 0x7feb352du;
    hash = (hash ^ (hash >> 15u)) * 0x846ca68bu;
    hash = (hash ^ (hash >> 16u)) + params.erase_seed;
  }
  return hash >> 16u;
}

/// Bits of the three channels' values in column x of row y of frame t.
fn pixel_values(x: u32, y: u32, t: u32) -> vec3u {
  if (x >= params.erase_left && x < params.erase_right && y >= params.erase_top && y < params.erase_bottom) {
    let plane = params.size * params.size;
    let position = t * 3u * plane + y * params.size + x;
    return vec3u(
      values[768u + noise_index(position)],
      values[768u + noise_index(position + plane)],
      values[768u + noise_index(position + 2u * plane)]);
  }
  let rgb = levels(x, y, t);
  return vec3u(values[rgb.x], values[256u + rgb.y], values[512u + rgb.z]);
}

@compute @workgroup_size(WG_X, WG_Y)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.size || id.y >= params.size) {
    return;
  }
  let pixel = pixel_values(id.x, id.y, id.z);
  let plane = params.size * params.size;
  let out = params.planes_origin + id.z * 3u * plane + id.y * params.size + id.x;
  planes[out] = pixel.x;
  planes[out + plane] = pixel.y;
  planes[out + 2u * plane] = pixel.z;
}
