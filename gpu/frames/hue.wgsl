// Turns the hue of 8-bit colours as Pillow's 8-bit HSV does it (lib/hue.ts), in integers.
// source, target: [T H W] pixels, R | G << 8 | B << 16 · tables: from word `bits` on a bit for every channel, exact step and
// chroma: set where Pillow's floats come out one below exact arithmetic.
const WG_X: u32 = 16u;
const WG_Y: u32 = 4u;
const THIRD: i32 = 85;    // levels of hue in a third of the circle
const SIXTH: i32 = 42;    // largest exact step beside a pure channel
const UNIT: i32 = 65025;  // 255 * 255

struct Params {
  width: u32,
  height: u32,
  bits: u32,  // word of the bits
  shift: u32, // added to the hue modulo 256
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> tables: array<u32>;
@group(0) @binding(2) var<storage, read_write> source: array<u32>;
@group(0) @binding(3) var<storage, read_write> target_pixels: array<u32>;

/// Level of the hue, 0 to 254: `channel` is the largest one, `difference` the one after it less the one before.
fn hue_level(channel: i32, difference: i32, chroma: i32) -> i32 {
  // 43 chromas more keep the dividend positive.
  let dividend = THIRD * difference + 86 * chroma;
  let step = dividend / (2 * chroma) - 43;
  var level = THIRD * channel + step;
  if (dividend % (2 * chroma) == 0) {
    let bit = u32(((channel * THIRD + step + SIXTH) << 8u) + chroma);
    level -= i32((tables[params.bits + (bit >> 5u)] >> (bit & 31u)) & 1u);
  }
  return select(level, level + 255, level < 0);
}

fn share_of(value: i32, share: i32) -> u32 {
  return u32((2 * value * share + UNIT) / (2 * UNIT));
}

fn shifted(pixel: u32) -> u32 {
  let color = vec3i(vec3u(pixel, pixel >> 8u, pixel >> 16u) & vec3u(255u));
  let value = max(color.x, max(color.y, color.z));
  let chroma = value - min(color.x, min(color.y, color.z));
  if (chroma == 0) {
    return pixel;
  }
  let saturation = 255 * chroma / value; // at least 1
  var channel = 2;
  var difference = color.x - color.y;
  if (color.x == value) {
    channel = 0;
    difference = color.y - color.z;
  } else if (color.y == value) {
    channel = 1;
    difference = color.z - color.x;
  }
  let sixths = 6 * ((hue_level(channel, difference, chroma) + i32(params.shift)) & 255);
  let along = sixths % 255;
  let high = u32(value);
  let low = share_of(value, UNIT - 255 * saturation);
  let falling = share_of(value, UNIT - saturation * along);
  let rising = share_of(value, UNIT - saturation * (255 - along));
  switch ((sixths / 255) % 6) {
    case 0: { return high | (rising << 8u) | (low << 16u); }
    case 1: { return falling | (high << 8u) | (low << 16u); }
    case 2: { return low | (high << 8u) | (rising << 16u); }
    case 3: { return low | (falling << 8u) | (high << 16u); }
    case 4: { return rising | (low << 8u) | (high << 16u); }
    default: { return high | (low << 8u) | (falling << 16u); }
  }
}

@compute @workgroup_size(WG_X, WG_Y)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.width || id.y >= params.height) {
    return;
  }
  let at = (id.z * params.height + id.y) * params.width + id.x;
  target_pixels[at] = shifted(source[at]);
}
