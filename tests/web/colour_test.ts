/** From luma and chroma to RGB: known colours, layouts of planes, turned pictures. What ffmpeg gives is compared in a browser (tests/full/web). */
import assert from "node:assert/strict";
import { type ColourRule, colourRule, rotated, toRgb } from "../../web/colour.ts";

/** A picture of 2x2 pixels of one colour. */
const flat = ([y, u, v]: readonly number[], rule: ColourRule) => [
  ...toRgb({
    format: "I420",
    width: 2,
    height: 2,
    data: Uint8Array.of(y, y, y, y, u, v),
    layout: [{ offset: 0, stride: 2 }, { offset: 4, stride: 1 }, { offset: 5, stride: 1 }],
  }, rule).subarray(9),
];

Deno.test("black, white and primaries of each matrix and range are what they should be, to two steps", () => {
  const cases: [told: Parameters<typeof colourRule>[0], yuv: number[], rgb: number[]][] = [
    [{}, [16, 128, 128], [0, 0, 0]],
    [{}, [235, 128, 128], [255, 255, 255]],
    [{ fullRange: true }, [255, 128, 128], [255, 255, 255]],
    [{ matrix: null }, [81, 90, 240], [255, 0, 0]],
    [{ matrix: "smpte170m" }, [145, 54, 34], [0, 255, 0]],
    [{ matrix: "bt709" }, [63, 102, 240], [255, 0, 0]],
    [{ matrix: "bt709", fullRange: true }, [18, 255, 116], [0, 0, 255]],
    [{ matrix: "bt2020-ncl" }, [74, 97, 240], [255, 0, 0]],
  ];
  for (const [told, yuv, rgb] of cases) {
    const found = flat(yuv, colourRule(told));
    found.forEach((value, i) =>
      assert.ok(Math.abs(value - rgb[i]) <= 2, `${JSON.stringify(told)} ${yuv}: ${found}`)
    );
  }
});

Deno.test("pairs of chroma, wide samples and packed pixels are read by their layouts", () => {
  const rule = colourRule({}), planar = flat([145, 54, 34], rule);
  const pairs = toRgb({
    format: "NV12",
    width: 2,
    height: 2,
    data: Uint8Array.of(9, 145, 145, 145, 145, 54, 34),
    layout: [{ offset: 1, stride: 2 }, { offset: 5, stride: 2 }],
  }, rule);
  assert.deepEqual([...pairs.subarray(0, 3)], planar);
  const wide = Uint16Array.of(580, 216, 136);
  const ten = toRgb({
    format: "I444P10",
    width: 1,
    height: 1,
    data: new Uint8Array(wide.buffer),
    layout: [{ offset: 0, stride: 2 }, { offset: 2, stride: 2 }, { offset: 4, stride: 2 }],
  }, rule);
  assert.deepEqual([...ten], planar);
  const packed = {
    format: "BGRX",
    width: 1,
    height: 1,
    data: Uint8Array.of(3, 2, 1, 0),
    layout: [{ offset: 0, stride: 4 }],
  };
  assert.deepEqual([...toRgb(packed, rule)], [1, 2, 3]);
  assert.throws(
    () => toRgb({ ...packed, format: "X" }, rule),
    /its format must be one of .*, current value is X/,
  );
});

Deno.test("pictures are turned clockwise by quarters", () => {
  const rgb = Uint8Array.of(1, 2, 3, 4, 5, 6);
  const picture = { width: 2, height: 1, rgb }; // [123][456]
  assert.equal(rotated(picture, 0), picture);
  assert.deepEqual(rotated(picture, 180).rgb, Uint8Array.of(4, 5, 6, 1, 2, 3));
  const quarter = rotated(picture, 90);
  assert.deepEqual([quarter.width, quarter.height, [...quarter.rgb]], [1, 2, [1, 2, 3, 4, 5, 6]]);
  assert.deepEqual([...rotated(picture, 270).rgb], [4, 5, 6, 1, 2, 3]);
});
