/** The GPU's colour and geometry operations against their plain definition, which equals Pillow. */
import assert from "node:assert/strict";
import { affineWords, positionError } from "../../gpu/frames/pixel_ops.ts";
import { createFramePrep, type FrameClip } from "../../gpu/frames.ts";
import type { PixelOp } from "../../pixels/clip_transform.ts";
import { applyPixelOp } from "../../data/transforms/pixel_ops.ts";
import type { RgbImage } from "../../data/transforms/picture.ts";
import { rotation, translation } from "../../data/transforms/rand_augment.ts";
import { normaliseFrame } from "../../data/transforms/apply.ts";
import { createPrng, type Prng } from "../../lib/random.ts";
import { augmentCases } from "../_util/augment_cases.ts";
import { gpuTest } from "../_util/gpu.ts";

/** Normalised values of a picture by the definition, operations applied. */
function expectedPlanes(image: RgbImage, ops: readonly PixelOp[]): Float32Array {
  let result = image;
  for (const op of ops) result = applyPixelOp(result, op);
  return normaliseFrame(result);
}

/** A clip of square pictures of one size whose whole area is the output. */
function squareClip(pictures: readonly RgbImage[], ops: readonly PixelOp[]): FrameClip {
  const [{ width: size }] = pictures;
  const frames = new Uint8Array(pictures.length * size * size * 3);
  pictures.forEach(({ data }, i) => frames.set(data, i * data.length));
  const crop = { x: 0, y: 0, width: size, height: size };
  return {
    frames,
    width: size,
    height: size,
    transform: { pixelOps: ops, resize: null, crop, resizeCrop: null, flip: false },
  };
}

/** Runs operations on pictures of one square size, each a frame of one clip, and compares every value. */
async function checkOps(device: GPUDevice, pictures: readonly RgbImage[], sequences: readonly PixelOp[][]) {
  const [{ width: size }] = pictures;
  using prep = createFramePrep(device, {
    clips: 1,
    frames: pictures.length,
    maxWidth: size,
    maxHeight: size,
    size,
    outType: "f32",
    pixelOps: Math.max(...sequences.map((ops) => ops.length)),
  });
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC;
  const target = device.createBuffer({ size: prep.clipBytes, usage });
  const results = device.createBuffer({
    size: prep.clipBytes * sequences.length,
    usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  });
  sequences.forEach((ops, i) => {
    const encoder = device.createCommandEncoder();
    prep.encode(encoder, [squareClip(pictures, ops)], { buffer: target, offset: 0 });
    encoder.copyBufferToBuffer(target, 0, results, i * prep.clipBytes, prep.clipBytes);
    device.queue.submit([encoder.finish()]);
  });
  await results.mapAsync(GPUMapMode.READ);
  const values = new Float32Array(results.getMappedRange().slice(0));
  for (const buffer of [target, results]) buffer.destroy();
  const planes = 3 * size * size;
  sequences.forEach((ops, i) => {
    pictures.forEach((picture, frame) => {
      const start = (i * pictures.length + frame) * planes;
      const actual = values.subarray(start, start + planes), expected = expectedPlanes(picture, ops);
      const at = actual.findIndex((value, k) => !Object.is(value, expected[k]));
      assert.equal(
        at,
        -1,
        `${JSON.stringify(ops)}, frame ${frame}: value ${at} is ${actual[at]}, not ${expected[at]}`,
      );
    });
  });
}

/** A square picture from levels by position. */
function square(size: number, level: (x: number, y: number, channel: number) => number): RgbImage {
  const data = new Uint8Array(size * size * 3);
  for (let i = 0; i < data.length; i++) {
    const pixel = Math.floor(i / 3);
    data[i] = level(pixel % size, Math.floor(pixel / size), i % 3);
  }
  return { data, width: size, height: size };
}

function noise(size: number, prng: Prng): RgbImage {
  return square(size, () => prng.integer(256));
}

/** Noise, a ramp, blocks with saturated channels, a flat picture, two levels. */
function pictures(size: number, prng: Prng): RgbImage[] {
  return [
    noise(size, prng),
    square(size, (x, y, channel) => (x * 3 + y * 2 + channel * 40) % 256),
    square(size, (x, y, channel) => channel === 0 ? 255 : ((x >> 2) + (y >> 3)) % 2 * 255),
    square(size, () => 93),
    square(size, (x, _y, channel) => x < 3 ? 7 + channel : 250),
  ];
}

gpuTest("recorded operations on the square picture equal Pillow's, bit for bit", async (device) => {
  const cases = augmentCases().filter(({ source, filter }) =>
    source.width === source.height && filter !== "bilinear"
  );
  assert.ok(cases.length > 80);
  await checkOps(device, [cases[0].source], cases.map(({ op }) => [op]));
});

gpuTest(
  "operations equal their definition for all levels and for frames of different statistics",
  async (device) => {
    const levels = square(64, (x, y, channel) => (y * 64 + x + channel * 85) % 256);
    const sequences: PixelOp[][] = [
      [{ kind: "autoContrast" }],
      [{ kind: "equalize" }],
      [{ kind: "invert" }],
      ...[0, 1, 4, 8].map((bits): PixelOp[] => [{ kind: "posterize", bits }]),
      ...[0, 77, 256].map((threshold): PixelOp[] => [{ kind: "solarize", threshold }]),
      ...[0, 77, 128].map((amount): PixelOp[] => [{ kind: "solarizeAdd", amount }]),
      ...(["color", "contrast", "brightness", "sharpness"] as const).flatMap((kind) =>
        [0.1, 0.37, 0.73, 1, 1.27, 1.63, 1.9].map((factor): PixelOp[] => [{ kind, factor }])
      ),
    ];
    await checkOps(device, [...pictures(64, createPrng(1)), levels], sequences);
  },
);

gpuTest(
  "AutoContrast equals its definition for pairs of darkest and brightest levels of all distances",
  async (device) => {
    // Each picture holds 3 ranges of levels, one a channel, each level of them at least once.
    const ranges: [number, number][] = [];
    for (let low = 0; low < 256; low += 5) {
      for (let high = low + 1; high < 256; high += 3) ranges.push([low, high]);
    }
    const prng = createPrng(4);
    while (ranges.length % 3 !== 0) ranges.push([prng.integer(100), 100 + prng.integer(156)]);
    const stack = Array.from({ length: ranges.length / 3 }, (_, i) =>
      square(16, (x, y, channel) => {
        const [low, high] = ranges[i * 3 + channel];
        return low + (y * 16 + x) % (high - low + 1);
      }));
    await checkOps(device, stack, [[{ kind: "autoContrast" }]]);
  },
);

gpuTest("hues equal their definition for all pairs of chroma and difference", async (device) => {
  // Largest channel, chroma and difference of every pixel; the smallest channel is any.
  const prng = createPrng(6), size = 444;
  const all = square(size, () => 0), data = all.data;
  let at = 0;
  for (let channel = 0; channel < 3; channel++) {
    for (let chroma = 1; chroma < 256; chroma++) {
      for (let difference = -chroma; difference <= chroma; difference++, at += 3) {
        const low = prng.integer(256 - chroma);
        data[at + channel] = low + chroma;
        data[at + (channel + 1) % 3] = low + Math.max(0, difference);
        data[at + (channel + 2) % 3] = low + Math.max(0, -difference);
      }
    }
  }
  assert.ok(at < data.length);
  await checkOps(device, [all], [0, 231].map((shift) => [{ kind: "hue", shift }]));
  const shifts = [0, 1, 25, 85, 127, 128, 200, 255];
  await checkOps(device, pictures(64, prng), [
    ...shifts.map((shift): PixelOp[] => [{ kind: "hue", shift }]),
    [
      { kind: "contrast", factor: 1.3 },
      { kind: "hue", shift: 17 },
      { kind: "color", factor: 0.85 },
      { kind: "brightness", factor: 1.1 },
    ],
  ]);
});

gpuTest("affine operations equal f64 arithmetic where f32 alone would not", async (device) => {
  const size = 33, frame = { width: size, height: size };
  const prng = createPrng(2);
  const factors = [0.21, -0.3, 0.25, 0.5, -0.125, 1 / 3, 2 ** -44, -(2 ** -44), 0];
  const matrices = [
    ...[7, -21.3, 30, -0.001, 45, 90, 180, 1e-13].map((degrees) => rotation(degrees, frame)),
    ...factors.map((f) => [1, f, 0, 0, 1, 0] as const),
    ...factors.map((f) => [1, 0, 0, f, 1, 0] as const),
    // Whole, half and nearly whole steps; beyond the picture.
    ...[3, -3.5, 0.25, 2.9999999999, 7.000000000000001, 14.85, -40, 32.5].flatMap((step) => [
      translation(step, 0),
      translation(0, step),
      translation(step, -step),
    ]),
    ...Array.from(
      { length: 12 },
      () =>
        [prng.uniform() * 3 - 1.5, prng.uniform() - 0.5, prng.uniform() * 20 - 5].concat([
          prng.uniform() - 0.5,
          prng.uniform() * 3 - 1.5,
          prng.uniform() * 20 - 5,
        ]) as unknown as ReturnType<typeof rotation>,
    ),
  ];
  await checkOps(device, pictures(size, prng), matrices.map((matrix) => [{ kind: "affine", matrix }]));
});

gpuTest(
  "operations follow one another, on frames that are no square and share a batch with others",
  async (device) => {
    const prng = createPrng(3);
    const [width, height, size] = [53, 38, 32];
    const ops: PixelOp[] = [
      { kind: "affine", matrix: rotation(-17, { width, height }) },
      { kind: "equalize" },
      { kind: "sharpness", factor: 1.7 },
      { kind: "contrast", factor: 0.4 },
    ];
    const clips = [ops, [], ops.slice(1, 4), ops.toReversed()].map((pixelOps, i): FrameClip => ({
      frames: Uint8Array.from({ length: 2 * width * height * 3 }, () => prng.integer(200 + i)),
      width,
      height,
      transform: {
        pixelOps,
        resize: null,
        crop: { x: 7 * i, y: 2 * i, width: size, height: size },
        resizeCrop: null,
        flip: false,
      },
    }));
    const options = {
      clips: 4,
      frames: 2,
      maxWidth: width,
      maxHeight: height,
      size,
      outType: "f32",
    } as const;
    using prep = createFramePrep(device, { ...options, pixelOps: 4 });
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC;
    const target = device.createBuffer({ size: 4 * prep.clipBytes, usage });
    const staging = device.createBuffer({
      size: target.size,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    const encoder = device.createCommandEncoder();
    prep.encode(encoder, clips, { buffer: target, offset: 0 });
    encoder.copyBufferToBuffer(target, 0, staging, 0, target.size);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    const values = new Float32Array(staging.getMappedRange().slice(0));
    for (const buffer of [target, staging]) buffer.destroy();
    const planes = 3 * size * size;
    clips.forEach(({ frames, transform }, clip) => {
      for (let frame = 0; frame < 2; frame++) {
        const bytes = width * height * 3;
        let image: RgbImage = { data: frames.slice(frame * bytes, (frame + 1) * bytes), width, height };
        for (const op of transform.pixelOps!) image = applyPixelOp(image, op);
        const cropped = square(size, (x, y, channel) => {
          return image.data[((y + transform.crop.y) * width + x + transform.crop.x) * 3 + channel];
        });
        const start = (clip * 2 + frame) * planes;
        assert.deepEqual(
          values.slice(start, start + planes),
          normaliseFrame(cropped),
          `clip ${clip}, frame ${frame}`,
        );
      }
    });
  },
);

Deno.test("a matrix goes to the GPU in fixed point and in f64, with the error of its positions", () => {
  const words = affineWords([1, -0.25, 3.5, 0, 1, -2]);
  // Position of pixel (0, 0) less one half: 0.5 - 0.125 + 3.5 - 0.5 and 0.5 - 2 - 0.5.
  assert.deepEqual([...words.subarray(0, 12)], [
    ...[0, 1, 0xc0000000, 0xffffffff, 0x60000000, 3],
    ...[0, 0, 0, 1, 0, 0xfffffffe],
  ]);
  const doubles = new Float64Array(words.slice(12).buffer);
  assert.deepEqual([...doubles], [1, -0.25, 3.5, 0, 1, -2]);
  const frame = { width: 340, height: 256 };
  assert.equal(positionError([1, 0, 3.5], frame), 0);
  assert.equal(positionError([1, 0, 0.1], frame), 300);
  assert.equal(positionError([1, 0.21, 0], frame), 300);
});
