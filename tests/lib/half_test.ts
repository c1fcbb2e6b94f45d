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

/** The runtime's own half arithmetic, an independent implementation. */
const nativeHalf = new Float16Array(1);
const nativeBits = new Uint16Array(nativeHalf.buffer);

Deno.test("halfToFloat() agrees with the runtime's Float16Array on all 65536 words", () => {
  for (let word = 0; word < 0x10000; word++) {
    nativeBits[0] = word;
    assert(Object.is(halfToFloat(word), nativeHalf[0]), `word ${word}`);
  }
});

Deno.test("floatToHalf() rounds to nearest even as the runtime does, ties, subnormals and overflow included", () => {
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
    nativeHalf[0] = float;
    assert.equal(floatToHalf(float), nativeBits[0], `value ${float}`);
  }
  assert.equal(floatToHalf(NaN) & 0x7e00, 0x7e00);
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
