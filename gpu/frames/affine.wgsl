// Reads pictures at affinely transformed positions with Pillow's bicubic kernel (a = -1), 8-bit in and out.
// source, target: [T H W] pixels, R | G << 8 | B << 16 · tables: per matrix entry its value in units of 2^-32 as an i64,
// the last of each row for pixel (0, 0) instead of the origin and less one half; then the entries as f64. Low words first.
//
// Pillow computes in f64 and truncates. Positions in fixed point and values in f32 decide all but a few pixels: where they
// come so close to a step that their error could matter, the pixel is computed again in f64, emulated in integers.
const WG_SIZE: u32 = 64u;
const RUN: u32 = 32u; // pixels of an invocation, at most 32
const OUTSIDE: u32 = 0x808080u; // colour around the picture
const UNSURE: u32 = 0xffffffffu; // no pixel
const VALUE_ERROR: f32 = 0.00390625; // above the worst error of a value in f32, on frames of up to 8192 a side
const SIGN: u32 = 0x80000000u;

struct Params {
  width: u32,
  height: u32,
  table: u32,   // word of the matrix
  error_x: u32, // bound of the error of a position, in units of 2^-32; 0: positions are exact
  error_y: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> tables: array<u32>;
@group(0) @binding(2) var<storage, read_write> source: array<u32>;
@group(0) @binding(3) var<storage, read_write> target_pixels: array<u32>;

/// v times n modulo 2^64, n below 2^16.
fn times(v: vec2u, n: u32) -> vec2u {
  let low = (v.x & 0xffffu) * n;
  let high = (v.x >> 16u) * n;
  let sum = low + (high << 16u);
  return vec2u(sum, v.y * n + (high >> 16u) + u32(sum < low));
}

fn plus(a: vec2u, b: vec2u) -> vec2u {
  let low = a.x + b.x;
  return vec2u(low, a.y + b.y + u32(low < a.x));
}

fn table_pair(entry: u32) -> vec2u {
  let at = params.table + 2u * entry;
  return vec2u(tables[at], tables[at + 1u]);
}

/// Position of the pixel along row 0 (x) or 1 (y) of the matrix, less one half: fraction, then whole part.
fn fixed_position(row: u32, x: u32, y: u32) -> vec2u {
  let along_x = times(table_pair(3u * row), x);
  let along_y = times(table_pair(3u * row + 1u), y);
  return plus(plus(along_x, along_y), table_pair(3u * row + 2u));
}

/// Whether the error of a fraction could carry it over 0 or one half.
fn near_step(fraction: u32, error: u32) -> bool {
  return fraction + error < 2u * error || fraction + SIGN + error < 2u * error;
}

fn pixel(t: u32, x: i32, y: i32) -> u32 {
  let column = u32(clamp(x, 0, i32(params.width) - 1));
  return source[(t * params.height + u32(y)) * params.width + column];
}

fn channels(value: u32) -> vec3f {
  return vec3f(vec3u(value, value >> 8u, value >> 16u) & vec3u(255u));
}

/// A row or column of four interpolated, and where the result is one of them without rounding.
struct Interpolated {
  value: vec3f,
  exact: vec3<bool>,
}

fn interpolate(v1: vec3f, v2: vec3f, v3: vec3f, v4: vec3f, d: f32) -> Interpolated {
  let p2 = v3 - v1;
  let p3 = 2.0 * (v1 - v2) + v3 - v4;
  let p4 = v2 - v1 - v3 + v4;
  let value = v2 + d * (p2 + d * (p3 + d * p4));
  let zero = vec3f(0.0);
  return Interpolated(value, (p2 == zero) & (p3 == zero) & (p4 == zero));
}

fn line(t: u32, x: i32, y: i32, d: f32) -> Interpolated {
  return interpolate(
    channels(pixel(t, x - 1, y)), channels(pixel(t, x, y)), channels(pixel(t, x + 1, y)), channels(pixel(t, x + 2, y)), d);
}

// f64 in integers: bits, low word first. Normal numbers and zero; rounding to nearest, ties to even.

fn is_zero(a: vec2u) -> bool {
  return (a.x | (a.y & ~SIGN)) == 0u;
}

fn negated(a: vec2u) -> vec2u {
  return vec2u(a.x, a.y ^ SIGN);
}

/// a times 2^power.
fn scaled(a: vec2u, power: i32) -> vec2u {
  return select(vec2u(a.x, u32(i32(a.y) + (power << 20u))), a, is_zero(a));
}

/// 53 bits of mantissa, the first one written out.
fn mantissa(a: vec2u) -> vec2u {
  return vec2u(a.x, (a.y & 0xfffffu) | 0x100000u);
}

fn exponent(a: vec2u) -> i32 {
  return i32((a.y >> 20u) & 0x7ffu);
}

/// Rounds a 64-bit mantissa whose highest bit is set; `sticky` tells of non-zero bits below.
fn rounded(sign: u32, exponent_bits: i32, m: vec2u, sticky: bool) -> vec2u {
  let rest = m.x & 0x7ffu;
  let low = (m.x >> 11u) | (m.y << 21u);
  let up = rest > 0x400u || (rest == 0x400u && (sticky || (low & 1u) == 1u));
  let next = low + u32(up);
  let high = (m.y >> 11u) + u32(up && next == 0u);
  return vec2u(next, sign | (((u32(exponent_bits) - 1u) << 20u) + high));
}

fn shifted_left(m: vec2u, bits: u32) -> vec2u {
  if (bits >= 32u) {
    return vec2u(0u, m.x << (bits - 32u));
  }
  return vec2u(m.x << bits, select((m.y << bits) | (m.x >> ((32u - bits) & 31u)), m.y, bits == 0u));
}

/// Shifts right; a lost bit leaves the lowest one set.
fn shifted_right_sticky(m: vec2u, bits: u32) -> vec2u {
  var value = m;
  var count = bits;
  var lost = 0u;
  for (var word = 0u; word < 2u && count >= 32u; word++) {
    lost |= value.x;
    value = vec2u(value.y, 0u);
    count -= 32u;
  }
  if (count >= 32u) {
    return vec2u(1u, 0u);
  }
  if (count > 0u) {
    lost |= value.x << (32u - count);
    value = vec2u((value.x >> count) | (value.y << (32u - count)), value.y >> count);
  }
  return vec2u(value.x | u32(lost != 0u), value.y);
}

fn sum(first: vec2u, second: vec2u) -> vec2u {
  let first_size = first.y & ~SIGN;
  let second_size = second.y & ~SIGN;
  let swap = second_size > first_size || (second_size == first_size && second.x > first.x);
  let a = select(first, second, swap);
  let b = select(second, first, swap);
  if (is_zero(b)) {
    return a;
  }
  let big = shifted_left(mantissa(a), 10u);
  let small = shifted_right_sticky(shifted_left(mantissa(b), 10u), u32(exponent(a) - exponent(b)));
  let subtract = ((a.y ^ b.y) & SIGN) != 0u;
  // Subtracting is adding the complement.
  let total = select(plus(big, small), plus(plus(big, ~small), vec2u(1u, 0u)), subtract);
  if ((total.x | total.y) == 0u) {
    return total;
  }
  let zeros = select(countLeadingZeros(total.y), 32u + countLeadingZeros(total.x), total.y == 0u);
  return rounded(a.y & SIGN, exponent(a) + 1 - i32(zeros), shifted_left(total, zeros), false);
}

/// Product of two words in 64 bits.
fn wide(a: u32, b: u32) -> vec2u {
  let low = times(vec2u(a, 0u), b & 0xffffu);
  let high = times(vec2u(a, 0u), b >> 16u);
  return plus(low, vec2u(high.x << 16u, (high.y << 16u) | (high.x >> 16u)));
}

fn product(a: vec2u, b: vec2u) -> vec2u {
  let sign = (a.y ^ b.y) & SIGN;
  if (is_zero(a) || is_zero(b)) {
    return vec2u(0u, sign);
  }
  let m = shifted_left(mantissa(a), 11u);
  let n = shifted_left(mantissa(b), 11u);
  let lowest = wide(m.x, n.x);
  let crossed = wide(m.x, n.y);
  let other = wide(m.y, n.x);
  let middle = plus(plus(vec2u(crossed.x, 0u), vec2u(other.x, 0u)), vec2u(lowest.y, 0u));
  let high = plus(plus(wide(m.y, n.y), vec2u(crossed.y, 0u)), plus(vec2u(other.y, 0u), vec2u(middle.y, 0u)));
  let exponent_bits = exponent(a) + exponent(b) - 1023;
  if ((high.y & SIGN) != 0u) {
    return rounded(sign, exponent_bits + 1, high, (middle.x | lowest.x) != 0u);
  }
  let doubled = vec2u((high.x << 1u) | (middle.x >> 31u), (high.y << 1u) | (high.x >> 31u));
  return rounded(sign, exponent_bits, doubled, ((middle.x << 1u) | lowest.x) != 0u);
}

fn from_integer(value: i32) -> vec2u {
  if (value == 0) {
    return vec2u(0u);
  }
  let size = u32(abs(value));
  let zeros = countLeadingZeros(size);
  return rounded(select(0u, SIGN, value < 0), 1023 + 31 - i32(zeros), vec2u(0u, size << zeros), false);
}

fn is_negative(a: vec2u) -> bool {
  return (a.y & SIGN) != 0u && !is_zero(a);
}

/// Whole part of a number of at least 0 and below 2^20.
fn to_integer(a: vec2u) -> i32 {
  let power = exponent(a) - 1023;
  return select(i32(mantissa(a).y >> u32(clamp(20 - power, 0, 31))), 0, power < 0);
}

fn position(row: u32, x: u32, y: u32) -> vec2u {
  let along_x = product(table_pair(6u + 3u * row), scaled(from_integer(i32(2u * x + 1u)), -1));
  let along_y = product(table_pair(7u + 3u * row), scaled(from_integer(i32(2u * y + 1u)), -1));
  return sum(sum(along_x, along_y), table_pair(8u + 3u * row));
}

/// `p1 + d (p2 + d (p3 + d p4))`.
fn polynomial(p1: vec2u, p2: vec2u, p3: vec2u, p4: vec2u, d: vec2u) -> vec2u {
  let inner = sum(p3, product(d, p4));
  return sum(p1, product(d, sum(p2, product(d, inner))));
}

fn level(t: u32, x: i32, y: i32, channel: u32) -> i32 {
  return i32((pixel(t, x, y) >> (8u * channel)) & 255u);
}

/// The pixel in f64.
fn exact_pixel(t: u32, column: u32, row: u32) -> u32 {
  let x = position(0u, column, row);
  let y = position(1u, column, row);
  if (is_negative(x) || is_negative(y) || to_integer(x) >= i32(params.width) || to_integer(y) >= i32(params.height)) {
    return OUTSIDE;
  }
  let minus_half = vec2u(0u, 0xbfe00000u);
  let from_x = sum(x, minus_half);
  let from_y = sum(y, minus_half);
  let left = select(to_integer(from_x), -1, is_negative(from_x));
  let top = select(to_integer(from_y), -1, is_negative(from_y));
  let dx = sum(from_x, from_integer(-left));
  let dy = sum(from_y, from_integer(-top));
  let last = i32(params.height) - 1;
  var result = 0u;
  for (var channel = 0u; channel < 3u; channel++) {
    var lines: array<vec2u, 4>;
    for (var i = 0; i < 4; i++) {
      let at = clamp(top - 1 + i, 0, last);
      let v1 = level(t, left - 1, at, channel);
      let v2 = level(t, left, at, channel);
      let v3 = level(t, left + 1, at, channel);
      let v4 = level(t, left + 2, at, channel);
      lines[i] = polynomial(
        from_integer(v2), from_integer(v3 - v1), from_integer(2 * (v1 - v2) + v3 - v4), from_integer(v2 - v1 - v3 + v4), dx);
    }
    let p2 = sum(negated(lines[0]), lines[2]);
    let p3 = sum(sum(scaled(sum(lines[0], negated(lines[1])), 1), lines[2]), negated(lines[3]));
    let p4 = sum(sum(sum(negated(lines[0]), lines[1]), negated(lines[2])), lines[3]);
    let value = polynomial(lines[1], p2, p3, p4, dy);
    let whole = select(min(to_integer(value), 255), 0, is_negative(value));
    result |= u32(whole) << (8u * channel);
  }
  return result;
}

/// The pixel in fixed point and f32; UNSURE where that cannot tell.
fn quick_pixel(t: u32, column: u32, row: u32) -> u32 {
  let x = fixed_position(0u, column, row);
  let y = fixed_position(1u, column, row);
  if (near_step(x.x, params.error_x) || near_step(y.x, params.error_y)) {
    return UNSURE;
  }
  let left = i32(x.y);
  let top = i32(y.y);
  // The position itself lies one half further.
  let inside_x = left + i32(x.x >> 31u);
  let inside_y = top + i32(y.x >> 31u);
  if (inside_x < 0 || inside_x >= i32(params.width) || inside_y < 0 || inside_y >= i32(params.height)) {
    return OUTSIDE;
  }
  let dx = f32(x.x) * 0x1p-32f;
  let dy = f32(y.x) * 0x1p-32f;
  let last = i32(params.height) - 1;
  let line1 = line(t, left, clamp(top - 1, 0, last), dx);
  let line2 = line(t, left, clamp(top, 0, last), dx);
  let line3 = line(t, left, clamp(top + 1, 0, last), dx);
  let line4 = line(t, left, clamp(top + 2, 0, last), dx);
  let whole = interpolate(line1.value, line2.value, line3.value, line4.value, dy);
  let on_column = vec3<bool>(params.error_x == 0u && x.x == 0u);
  let on_row = vec3<bool>(params.error_y == 0u && y.x == 0u);
  let lines_exact = (line1.exact & line2.exact & line3.exact & line4.exact) | on_column;
  let exact = (lines_exact & whole.exact) | (on_row & (line2.exact | on_column));

  let nearest = round(whole.value);
  let unsure = !exact & (abs(whole.value - nearest) < vec3f(VALUE_ERROR)) & (nearest > vec3f(0.5)) &
    (nearest < vec3f(255.5));
  let value = vec3u(clamp(select(whole.value, nearest, exact), vec3f(0.0), vec3f(255.0)));
  return select(value.x | (value.y << 8u) | (value.z << 16u), UNSURE, any(unsure));
}

// An invocation takes many pixels, so that its neighbours' few unsure ones come together instead of one after the other.
@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let pixels = params.width * params.height;
  let first = group.x * WG_SIZE * RUN + local;
  var unsure = 0u;
  for (var i = 0u; i < RUN; i++) {
    let at = first + i * WG_SIZE;
    if (at >= pixels) {
      break;
    }
    let value = quick_pixel(group.z, at % params.width, at / params.width);
    target_pixels[group.z * pixels + at] = value;
    unsure |= u32(value == UNSURE) << i;
  }
  while (unsure != 0u) {
    let at = first + countTrailingZeros(unsure) * WG_SIZE;
    target_pixels[group.z * pixels + at] = exact_pixel(group.z, at % params.width, at / params.width);
    unsure &= unsure - 1u;
  }
}
