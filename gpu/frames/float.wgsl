// DiST's transforms: bytes to planar floats, read between pixel centres without antialiasing, in one step and without anything in between.
// tables: by column and row of the output [first sample, second sample, bits of the second's weight] ·
// source: [T rows columns] pixels, R | G << 8 | B << 16 · values: the noise that fills the erased part, from word 768 on, as bits ·
// means: [changes T] mean luminance of each frame before a change of contrast · planes: [T 3 S S].
// The definition is data/transforms/float_transforms.ts; positions and weights come from there, the rest rounds in f32.
const WG_X: u32 = 16u;
const WG_Y: u32 = 4u;
const WG_MEAN: u32 = 256u;
const NOISE: u32 = 768u; // first word of the noise
const RED: f32 = 0.299;
const GREEN: f32 = 0.587;
const BLUE: f32 = 0.114;
const BRIGHTNESS: u32 = 0u;
const CONTRAST: u32 = 1u;
const SATURATION: u32 = 2u;

struct Params {
  size: u32,          // S
  frames: u32,        // T
  source_origin: u32, // pixel of a source frame that is the crop's first sample
  source_step: i32,   // pixels from a sample to the next in a row: 1, or -1 where the frames are mirrored
  source_row: u32,    // pixels per source row
  source_frame: u32,  // pixels per source frame
  columns: u32,       // word of the first output column's entry
  rows: u32,          // word of the first output row's entry
  mirror: u32,        // 1: mirror the result
  grey: u32,          // 1: luminance in all channels
  changes: u32,       // changes of colour to make: all, or those before the one whose means are wanted
  kind_0: u32,        // brightness, contrast, saturation, hue
  kind_1: u32,
  kind_2: u32,
  kind_3: u32,
  amount_0: f32,      // factor, or share of the circle
  amount_1: f32,
  amount_2: f32,
  amount_3: f32,
  mean_red: f32,      // for the normalisation
  mean_green: f32,
  mean_blue: f32,
  std_red: f32,
  std_green: f32,
  std_blue: f32,
  planes_origin: u32, // word of the clip's first value
  erase_left: u32,    // erased part in output pixels, columns from left up to right
  erase_top: u32,
  erase_right: u32,
  erase_bottom: u32,
  erase_seed: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> tables: array<u32>;
@group(0) @binding(2) var<storage, read_write> source: array<u32>;
@group(0) @binding(3) var<storage, read_write> values: array<u32>;
@group(0) @binding(4) var<storage, read_write> means: array<f32>;
@group(1) @binding(0) var<storage, read_write> planes: array<f32>;

fn luminance(rgb: vec3f) -> f32 {
  return RED * rgb.x + GREEN * rgb.y + BLUE * rgb.z;
}

/// A sample of a row that begins at pixel `row`.
fn sample(row: u32, column: u32) -> vec3f {
  let pixel = source[u32(i32(row) + params.source_step * i32(column))];
  return vec3f(vec3u(pixel, pixel >> 8u, pixel >> 16u) & vec3u(255u)) / 255.0;
}

fn line(row: u32, entry: u32) -> vec3f {
  let weight = bitcast<f32>(tables[entry + 2u]);
  return sample(row, tables[entry]) * (1.0 - weight) + sample(row, tables[entry + 1u]) * weight;
}

/// Turns the hue by a share of the circle; largest and smallest channel stay what they are.
fn turned(rgb: vec3f, turn: f32) -> vec3f {
  let value = max(max(rgb.x, rgb.y), rgb.z);
  let chroma = value - min(min(rgb.x, rgb.y), rgb.z);
  if (chroma == 0.0) {
    return rgb;
  }
  var sixths = 4.0 + (rgb.x - rgb.y) / chroma;
  if (rgb.x == value) {
    sixths = (rgb.y - rgb.z) / chroma;
  } else if (rgb.y == value) {
    sixths = 2.0 + (rgb.z - rgb.x) / chroma;
  }
  let along = vec3f(sixths + 6.0 * turn) + vec3f(5.0, 3.0, 1.0);
  let k = along - 6.0 * floor(along / 6.0);
  return vec3f(value) - chroma * clamp(min(k, vec3f(4.0) - k), vec3f(0.0), vec3f(1.0));
}

fn changed(rgb: vec3f, kind: u32, amount: f32, mean: f32) -> vec3f {
  var other = 0.0;
  if (kind == CONTRAST) {
    other = mean;
  } else if (kind == SATURATION) {
    other = luminance(rgb);
  } else if (kind != BRIGHTNESS) {
    return turned(rgb, amount);
  }
  return clamp(amount * rgb + vec3f((1.0 - amount) * other), vec3f(0.0), vec3f(1.0));
}

/// Colour of the output pixel in column x of row y of frame t, before mirroring and normalisation.
fn colour(x: u32, y: u32, t: u32) -> vec3f {
  let down = params.rows + 3u * y;
  let across = params.columns + 3u * x;
  let first = params.source_origin + t * params.source_frame;
  let above = line(first + tables[down] * params.source_row, across);
  let below = line(first + tables[down + 1u] * params.source_row, across);
  let weight = bitcast<f32>(tables[down + 2u]);
  var rgb = above * (1.0 - weight) + below * weight;
  if (params.grey == 1u) {
    rgb = vec3f(luminance(rgb));
  }
  if (params.changes > 0u) {
    rgb = changed(rgb, params.kind_0, params.amount_0, means[t]);
  }
  if (params.changes > 1u) {
    rgb = changed(rgb, params.kind_1, params.amount_1, means[params.frames + t]);
  }
  if (params.changes > 2u) {
    rgb = changed(rgb, params.kind_2, params.amount_2, means[2u * params.frames + t]);
  }
  if (params.changes > 3u) {
    rgb = changed(rgb, params.kind_3, params.amount_3, means[3u * params.frames + t]);
  }
  return rgb;
}

/// Number of a noise value, as `noiseIndex` in pixels/noise.ts.
fn noise_index(position: u32) -> u32 {
  var hash = (position * 0x9e3779b9u) ^ params.erase_seed;
  for (var round = 0u; round < 2u; round++) {
    hash = (hash ^ (hash >> 16u)) * 0x7feb352du;
    hash = (hash ^ (hash >> 15u)) * 0x846ca68bu;
    hash = (hash ^ (hash >> 16u)) + params.erase_seed;
  }
  return hash >> 16u;
}

fn noise(position: u32) -> f32 {
  return bitcast<f32>(values[NOISE + noise_index(position)]);
}

@compute @workgroup_size(WG_X, WG_Y)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.size || id.y >= params.size) {
    return;
  }
  let plane = params.size * params.size;
  let position = id.z * 3u * plane + id.y * params.size + id.x;
  let out = params.planes_origin + position;
  if (id.x >= params.erase_left && id.x < params.erase_right && id.y >= params.erase_top && id.y < params.erase_bottom) {
    planes[out] = noise(position);
    planes[out + plane] = noise(position + plane);
    planes[out + 2u * plane] = noise(position + 2u * plane);
    return;
  }
  let rgb = colour(select(id.x, params.size - 1u - id.x, params.mirror == 1u), id.y, id.z);
  planes[out] = (rgb.x - params.mean_red) / params.std_red;
  planes[out + plane] = (rgb.y - params.mean_green) / params.std_green;
  planes[out + 2u * plane] = (rgb.z - params.mean_blue) / params.std_blue;
}

var<workgroup> part: array<f32, WG_MEAN>;

// Mean luminance of every frame, one workgroup each, before the change whose number is `changes`.
@compute @workgroup_size(WG_MEAN)
fn mean(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let pixels = params.size * params.size;
  var sum = 0.0;
  for (var at = local; at < pixels; at += WG_MEAN) {
    sum += luminance(colour(at % params.size, at / params.size, group.z));
  }
  part[local] = sum;
  for (var half = WG_MEAN / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (local < half) {
      part[local] += part[local + half];
    }
  }
  if (local == 0u) {
    means[params.changes * params.frames + group.z] = part[0] / f32(pixels);
  }
}
