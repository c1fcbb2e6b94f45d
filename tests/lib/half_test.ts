import assert from "node:assert/strict";
import {
  bfloat16ToFloat,
  floatToBfloat16,
  floatToHalf,
  fromBfloat16Array,
  fromHalfArray,
  halfToFloat,
  toBfloat16Array,
  toHalfArray,
} from "../../lib/half.ts";

/** The definition of a half, in plain arithmetic. */
function valueOf(word: number): number {
  const sign = word & 0x8000 ? -1 : 1;
  const exponent = (word >>> 10) & 0x1f, fraction = word & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The half nearest to a float that is not NaN, in integer arithmetic on the float's bits. */
function nearest(value: number): number {
  const word = new Uint32Array(Float32Array.of(value).buffer)[0];
  const sign = (word >>> 16) & 0x8000, magnitude = word & 0x7fffffff;
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // 65520, half-way to the next step, and above
  if (magnitude >= 0x38800000) { // normal halves: 2^-14 and above
    return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  }
  if (magnitude <= 0x33000000) return sign; // 2^-25 is a tie between 0 and the smallest subnormal: even is 0
  const shift = 126 - (magnitude >>> 23); // 14 … 24: aligns the significand to units of 2^-24
  const significand = (magnitude & 0x7fffff) | 0x800000;
  const kept = significand >>> shift, dropped = significand & ((1 << shift) - 1), tie = 1 << (shift - 1);
  return sign | (dropped > tie || (dropped === tie && (kept & 1)) ? kept + 1 : kept);
}

Deno.test("halfToFloat() gives the value of all 65536 words", () => {
  for (let word = 0; word < 0x10000; word++) {
    assert(Object.is(halfToFloat(word), valueOf(word)), `word ${word}`);
  }
});

Deno.test("floatToHalf() rounds to nearest even, ties, subnormals and overflow included", () => {
  const values: number[] = [
    0,
    -0,
    Infinity,
    -Infinity,
    65504,
    65519.99,
    65520,
    65536,
    -65520,
    1e-8,
    2 ** -25,
    3 * 2 ** -25,
  ];
  for (let word = 0; word < 0x7c00; word += 7) { // the tie above each half, and its two float32 neighbours
    const tie = new Float32Array([(halfToFloat(word) + halfToFloat(word + 1)) / 2]);
    const bits = new Uint32Array(tie.buffer);
    values.push(tie[0], -tie[0]);
    bits[0] += 1;
    values.push(tie[0]);
    bits[0] -= 2;
    values.push(tie[0]);
  }
  for (const value of values) {
    const float = Math.fround(value);
    if (float === Infinity && value !== Infinity) continue;
    assert.equal(floatToHalf(float), nearest(float), `value ${float}`);
    assert.equal(toHalfArray(Float32Array.of(0, float))[1], nearest(float), `value ${float}`);
  }
  // A double just above a tie of halves is that tie as a float: rounding goes by way of 32 bits, as a stored tensor's does.
  assert.equal(floatToHalf(1 + 2 ** -11 + 2 ** -40), 0x3c00);
});

Deno.test("a NaN narrows to a quiet one with its sign and upper bits, and widens to the plain one", () => {
  const floats = new Float32Array(4), words = new Uint32Array(floats.buffer);
  words.set([0x7fc00000, 0xffc00000, 0x7f802000, 0x3f800000]);
  assert.deepEqual([...toHalfArray(floats)], [0x7e00, 0xfe00, 0x7e01, 0x3c00]);
  assert.equal(floatToHalf(NaN), 0x7e00);
  const widened = fromHalfArray(Uint16Array.of(0x7c01, 0xfe00, 0x7fff, 0x3c00));
  assert.deepEqual([...new Uint32Array(widened.buffer)], [0x7fc00000, 0x7fc00000, 0x7fc00000, 0x3f800000]);
});

Deno.test("half arrays survive a round trip bit for bit", () => {
  const words = Uint16Array.from({ length: 0x7c01 }, (_, word) => word);
  assert.deepEqual(toHalfArray(fromHalfArray(words)), words);
});

Deno.test("bfloat16 keeps its words and rounds to nearest even", () => {
  const words = Uint16Array.from({ length: 0x7f81 }, (_, word) => word);
  assert.deepEqual(toBfloat16Array(fromBfloat16Array(words)), words);
  assert.equal(floatToBfloat16(1 + 2 ** -8), 0x3f80); // tie, even below
  assert.equal(floatToBfloat16(1 + 3 * 2 ** -8), 0x3f82); // tie, even above
  assert.equal(floatToBfloat16(1 + 2 ** -8 + 2 ** -20), 0x3f81);
  assert(Number.isNaN(bfloat16ToFloat(floatToBfloat16(NaN))));
  assert.equal(bfloat16ToFloat(0xc040), -3);
});
