// From the counts of a frame's levels to the tables of Pillow's AutoContrast, Equalize and Contrast. One workgroup a frame.
// counts: [T 3 256], left at zero · tables: results [T 3 256] at `tables`, one entry a word.
const LEVELS: u32 = 256u; // also the workgroup's size
const AUTO_CONTRAST: u32 = 0u;
const EQUALIZE: u32 = 1u;

struct Params {
  pixels: u32,   // of a frame
  kind: u32,     // 0 AutoContrast, 1 Equalize, 2 Contrast (luminance counted as the first channel)
  tables: u32,   // word of the first frame's tables
  starts: u32,   // word of the first bit of every range, AutoContrast
  bits: u32,     // word of the bits: where the f64 expression comes out one lower (lib/pixel_tables.ts)
  products: u32, // word of the f32 product of the factor and -255, Contrast
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> counts: array<u32>;
@group(0) @binding(2) var<storage, read_write> tables: array<u32>;

var<workgroup> histogram: array<u32, LEVELS>;
var<workgroup> lowest: atomic<u32>;
var<workgroup> highest: atomic<u32>;

fn common_divisor(first: u32, second: u32) -> u32 {
  var a = first;
  var b = second;
  while (b != 0u) {
    let rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

fn auto_contrast(level: u32, low: u32, high: u32) -> u32 {
  if (high <= low || level < low) {
    return select(0u, level, high <= low);
  }
  if (level > high) {
    return 255u;
  }
  let range = high - low;
  let scaled = 255u * (level - low);
  let value = scaled / range;
  if (value == 0u || scaled % range != 0u) {
    return value;
  }
  let parts = common_divisor(255u, range);
  let bit = tables[params.starts + range] + low * parts + (level - low) * parts / range - 1u;
  return value - ((tables[params.bits + bit / 32u] >> (bit % 32u)) & 1u);
}

fn equalized(level: u32, high: u32) -> u32 {
  let step = (params.pixels - histogram[high]) / 255u;
  if (step == 0u) {
    return level;
  }
  var sum = step / 2u;
  for (var below = 0u; below < level; below++) {
    sum += histogram[below];
  }
  return min(sum / step, 255u);
}

fn contrasted(level: u32) -> u32 {
  var sum = 0u;
  for (var one = 0u; one < LEVELS; one++) {
    sum += one * histogram[one];
  }
  let rest = sum % params.pixels;
  let mean = sum / params.pixels + u32(rest >= params.pixels - rest);
  let product = bitcast<f32>(tables[params.products + 255u + level - mean]);
  return u32(clamp(f32(mean) + product, 0.0, 255.0));
}

@compute @workgroup_size(LEVELS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) level: u32) {
  for (var channel = 0u; channel < 3u; channel++) {
    let counted = (group.x * 3u + select(0u, channel, params.kind <= EQUALIZE)) * LEVELS + level;
    histogram[level] = counts[counted];
    if (level == 0u) {
      atomicStore(&lowest, LEVELS);
      atomicStore(&highest, 0u);
    }
    workgroupBarrier();
    if (histogram[level] > 0u) {
      atomicMin(&lowest, level);
      atomicMax(&highest, level);
    }
    workgroupBarrier();
    var entry = 0u;
    if (params.kind == AUTO_CONTRAST) {
      entry = auto_contrast(level, atomicLoad(&lowest), atomicLoad(&highest));
    } else if (params.kind == EQUALIZE) {
      entry = equalized(level, atomicLoad(&highest));
    } else {
      entry = contrasted(level);
    }
    tables[params.tables + (group.x * 3u + channel) * LEVELS + level] = entry;
    // The next channel overwrites what this one is still reading.
    workgroupBarrier();
  }
  for (var channel = 0u; channel < 3u; channel++) {
    counts[(group.x * 3u + channel) * LEVELS + level] = 0u;
  }
}
