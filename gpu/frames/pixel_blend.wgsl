// Blends pictures with their grey or their smoothed version: other + factor (picture - other), clipped and truncated.
// source, target: [T H W] pixels, R | G << 8 | B << 16 · tables: bits of the f32 products of the factor and -255 … 255. A
// product that is read and one sum leave the compiler nothing to contract, so the result is the same everywhere.
const WG_X: u32 = 16u;
const WG_Y: u32 = 4u;

struct Params {
  width: u32,
  height: u32,
  products: u32, // word of the product with -255
  soften: u32,   // 1: blend with the smoothed picture, 0: with the grey one
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> tables: array<u32>;
@group(0) @binding(2) var<storage, read_write> source: array<u32>;
@group(0) @binding(3) var<storage, read_write> target_pixels: array<u32>;

fn channels(at: u32) -> vec3u {
  let pixel = source[at];
  return vec3u(pixel, pixel >> 8u, pixel >> 16u) & vec3u(255u);
}

/// Weighted mean of 3x3 pixels (5 in the centre, 1 around), rounded; a pixel at the border itself.
fn smoothed(x: u32, y: u32, at: u32) -> vec3u {
  let centre = channels(at);
  if (x == 0u || y == 0u || x + 1u >= params.width || y + 1u >= params.height) {
    return centre;
  }
  var sum = 4u * centre;
  for (var row = at - params.width; row <= at + params.width; row += params.width) {
    sum += channels(row - 1u) + channels(row) + channels(row + 1u);
  }
  return (2u * sum + 13u) / 26u;
}

fn blended(other: u32, picture: u32) -> u32 {
  let product = bitcast<f32>(tables[params.products + 255u + picture - other]);
  return u32(clamp(f32(other) + product, 0.0, 255.0));
}

@compute @workgroup_size(WG_X, WG_Y)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.width || id.y >= params.height) {
    return;
  }
  let at = (id.z * params.height + id.y) * params.width + id.x;
  let picture = channels(at);
  var other = vec3u((19595u * picture.x + 38470u * picture.y + 7471u * picture.z + 32768u) >> 16u);
  if (params.soften == 1u) {
    other = smoothed(id.x, id.y, at);
  }
  target_pixels[at] = blended(other.x, picture.x) | (blended(other.y, picture.y) << 8u) |
    (blended(other.z, picture.z) << 16u);
}
