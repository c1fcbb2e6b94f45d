/** Hues of 8-bit colours against numbers recorded from Pillow 9.4, and their integer form. */
import assert from "node:assert/strict";
import { HUE_WORDS, hueBits, hueLevel, shiftHue } from "../../pixels/hue.ts";

/** A colour, what is added to its hue, and the colour that Pillow makes of it by way of HSV. */
// deno-fmt-ignore
const RECORDED: [rgb: number[], shift: number, expected: number[]][] = [
  [[255, 0, 0], 0, [255, 0, 0]],
  [[0, 255, 0], 0, [0, 255, 0]],
  [[0, 0, 255], 0, [0, 0, 255]],
  [[0, 0, 0], 175, [0, 0, 0]],
  [[255, 255, 255], 196, [255, 255, 255]],
  [[93, 93, 93], 25, [93, 93, 93]],
  [[1, 0, 0], 246, [1, 0, 0]],
  [[255, 254, 255], 67, [255, 255, 254]],
  [[255, 255, 0], 211, [255, 0, 12]],
  [[0, 255, 255], 151, [255, 132, 0]],
  [[255, 0, 255], 103, [156, 255, 0]],
  [[5, 2, 0], 92, [0, 5, 3]],
  [[10, 4, 0], 185, [7, 0, 10]],
  [[17, 4, 0], 142, [0, 8, 17]],
  [[0, 3, 5], 23, [0, 0, 5]],
  [[200, 199, 198], 72, [198, 200, 199]],
  [[89, 110, 42], 0, [90, 110, 42]],
  [[218, 136, 167], 25, [218, 150, 137]],
  [[230, 68, 176], 231, [186, 69, 230]],
  [[127, 135, 172], 12, [132, 127, 172]],
  [[0, 75, 55], 243, [0, 75, 32]],
  [[250, 6, 19], 128, [7, 250, 230]],
  [[188, 44, 191], 0, [186, 44, 191]],
  [[69, 56, 152], 25, [124, 56, 152]],
  [[183, 181, 112], 231, [183, 139, 113]],
  [[251, 189, 192], 12, [251, 201, 190]],
  [[34, 56, 201], 243, [35, 109, 201]],
  [[206, 38, 4], 128, [4, 170, 206]],
  [[238, 137, 87], 0, [238, 137, 88]],
  [[227, 195, 72], 25, [171, 227, 72]],
  [[83, 176, 1], 231, [176, 166, 1]],
  [[192, 144, 118], 12, [192, 163, 118]],
  [[159, 93, 172], 243, [134, 93, 172]],
  [[92, 252, 71], 128, [233, 71, 252]],
  [[23, 10, 233], 0, [21, 10, 233]],
  [[35, 192, 61], 25, [35, 192, 153]],
  [[135, 151, 92], 231, [151, 132, 92]],
  [[247, 224, 149], 12, [244, 247, 149]],
  [[100, 163, 225], 243, [101, 203, 225]],
  [[67, 123, 219], 128, [219, 160, 68]],
];

Deno.test("recorded colours turn as in Pillow", () => {
  for (const [rgb, shift, expected] of RECORDED) {
    assert.deepEqual(shiftHue(rgb, shift), expected, `${rgb} by ${shift}`);
  }
});

Deno.test("greys keep their level, and a turn keeps the largest channel of any colour", () => {
  for (let level = 0; level < 256; level++) {
    assert.deepEqual(shiftHue([level, level, level], 131), [level, level, level]);
    const turned = shiftHue([level, 255 - level, 77], level);
    assert.equal(Math.max(...turned), Math.max(level, 255 - level, 77));
  }
});

Deno.test("the hue is exact arithmetic, rounded down, less the recorded bit", () => {
  const bits = hueBits();
  assert.equal(bits.length, HUE_WORDS);
  let wrong = 0, lower = 0;
  for (let channel = 0; channel < 3; channel++) {
    for (let chroma = 1; chroma < 256; chroma++) {
      for (let difference = -chroma; difference <= chroma; difference++) {
        const step = Math.floor(85 * difference / (2 * chroma));
        let expected = 85 * channel + step;
        if (85 * difference % (2 * chroma) === 0) {
          const bit = (channel * 85 + step + 42) * 256 + chroma;
          const short = (bits[bit >>> 5] >>> (bit & 31)) & 1;
          expected -= short;
          lower += short;
        }
        if (hueLevel(channel, difference, chroma) !== (expected + 255) % 255) wrong++;
      }
    }
  }
  assert.equal(wrong, 0);
  assert.equal(lower, 432, "Pillow's floats fall short so often");
});
