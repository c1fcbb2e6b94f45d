/** The GPU frame preparation against its plain definition in data/transforms/apply.ts. */
import assert from "node:assert/strict";
import { createPrng, type Prng } from "../../lib/random.ts";
import { createFramePrep, type FrameClip, framePrepBytes, type FramePrepOptions } from "../../gpu/frames.ts";
import { TablePacker } from "../../gpu/frames/passes.ts";
import { resampleTable } from "../../pixels/resample.ts";
import { PUBLISHED_COLOUR_JITTER } from "../../data/transforms/colour_jitter.ts";
import { centreTransform, sampleTransform } from "../../data/transforms/sample.ts";
import type { ClipTransform } from "../../pixels/clip_transform.ts";
import { publishedRecipe } from "../../data/transforms/recipe.ts";
import { transformClip } from "../../data/transforms/apply.ts";
import { noiseClip, readBytes, runBatches, storageBuffer } from "../_util/frame_prep.ts";
import { gpuTest } from "../_util/gpu.ts";

/** The output that the definition gives, `[clips T 3 S S]`. */
function expectedOutput(clips: FrameClip[], options: FramePrepOptions): Float32Array {
  const parts = clips.map((clip) => transformClip(clip, options.size));
  const out = new Float32Array(parts.length * parts[0].length);
  parts.forEach((part, i) => out.set(part, i * part.length));
  return out;
}

/** Fails at the first differing value, by position and bits. */
function assertSameBits(actual: Float32Array, expected: Float32Array): void {
  assert.equal(actual.length, expected.length);
  const different = actual.findIndex((value, i) => !Object.is(value, expected[i]));
  assert.equal(
    different,
    -1,
    `value ${different} is ${actual[different]}, must be ${expected[different]}`,
  );
}

const full = (width: number, height: number) => ({ x: 0, y: 0, width, height });

/** Transforms with something awkward about them; the output side is 20. */
const SITUATIONS: { name: string; frame: [number, number]; transform: ClipTransform }[] = [
  {
    name: "no resize, only a crop at an odd place",
    frame: [37, 29],
    transform: { resize: null, crop: { x: 13, y: 7, width: 20, height: 20 }, resizeCrop: null, flip: false },
  },
  {
    name: "nothing at all",
    frame: [20, 20],
    transform: { resize: null, crop: full(20, 20), resizeCrop: null, flip: false },
  },
  {
    name: "one pixel enlarged, mirrored",
    frame: [1, 1],
    transform: {
      resize: { width: 23, height: 31, filter: "bicubic" },
      crop: { x: 3, y: 11, width: 20, height: 20 },
      resizeCrop: null,
      flip: true,
    },
  },
  {
    name: "one pixel wide, only the height shrinks, then only the width grows",
    frame: [1, 61],
    transform: {
      resize: { width: 1, height: 20, filter: "bicubic" },
      crop: full(1, 20),
      resizeCrop: { width: 20, height: 20, filter: "bilinear" },
      flip: false,
    },
  },
  {
    name: "prime sizes, both resizes, mirrored",
    frame: [53, 47],
    transform: {
      resize: { width: 41, height: 43, filter: "bicubic" },
      crop: { x: 11, y: 2, width: 29, height: 37 },
      resizeCrop: { width: 20, height: 20, filter: "bilinear" },
      flip: true,
    },
  },
  {
    name: "reduced a lot, then enlarged from a small crop, grey",
    frame: [61, 59],
    transform: {
      resize: { width: 9, height: 7, filter: "bicubic" },
      crop: { x: 2, y: 1, width: 3, height: 5 },
      resizeCrop: { width: 20, height: 20, filter: "bicubic" },
      flip: false,
      grey: true,
    },
  },
  {
    name: "enlarged in x only, then a window of a second resize",
    frame: [31, 40],
    transform: {
      resize: { width: 60, height: 40, filter: "bilinear" },
      crop: { x: 1, y: 3, width: 58, height: 36 },
      resizeCrop: { width: 32, height: 20, filter: "bilinear" },
      outputAt: { x: 9, y: 0 },
      flip: true,
      grey: true,
    },
  },
];

const BASE = { clips: 7, frames: 3, maxWidth: 61, maxHeight: 61, size: 20, outType: "f32" } as const;

function situationClips(prng: Prng, frames: number): FrameClip[] {
  return SITUATIONS.map(({ frame: [width, height], transform }) => {
    return { ...noiseClip(frames, { width, height }, prng), transform };
  });
}

for (const { name, frame: [width, height], transform } of SITUATIONS) {
  gpuTest(`frame preparation equals its definition bit for bit: ${name}`, async (device) => {
    const clip = { ...noiseClip(3, { width, height }, createPrng(1, width, height)), transform };
    const options = { ...BASE, clips: 1 };
    const [result] = await runBatches(device, options, [[clip]]);
    assertSameBits(new Float32Array(result), expectedOutput([clip], options));
  });
}

gpuTest("clips of different sizes share a batch, and batches share the buffers", async (device) => {
  const prng = createPrng(2);
  // One frame of odd size leaves bytes that do not fill a word, and clips that begin off the binding alignment.
  const options = { ...BASE, frames: 1, size: 20 };
  const all = situationClips(prng, 1);
  const batches = [all, all.slice(2, 4).reverse(), all.toReversed()];
  const results = await runBatches(device, options, batches);
  results.forEach((result, i) =>
    assertSameBits(new Float32Array(result), expectedOutput(batches[i], options))
  );
});

gpuTest("sampled training transforms equal their definition, odd output sizes too", async (device) => {
  const prng = createPrng(3);
  const augmentation = { pixelOps: 8, erase: true };
  const options = { ...BASE, clips: 6, frames: 2, size: 17, maxWidth: 90, maxHeight: 90, ...augmentation };
  const clips = ["sth", "kinetics"].flatMap((family) =>
    [[71, 53], [47, 64], [33, 33]].map(([width, height]) => {
      const recipe = {
        ...publishedRecipe(family as "sth", 17),
        colourJitter: PUBLISHED_COLOUR_JITTER,
        eraseProbability: 1,
        resize: family === "sth"
          ? { kind: "exact", width: 25, height: 20 } as const
          : { kind: "shortSide", side: 33 } as const,
      };
      const transform = sampleTransform({ width, height }, recipe, prng);
      return { ...noiseClip(2, { width, height }, prng), transform };
    })
  );
  const [result] = await runBatches(device, options, [clips]);
  assertSameBits(new Float32Array(result), expectedOutput(clips, options));
});

gpuTest("f16 output is the f32 result rounded to nearest", async (device) => {
  const options = { ...BASE, outType: "f16" } as const;
  const clips = situationClips(createPrng(4), 3);
  const [result] = await runBatches(device, options, [clips]);
  assert.deepEqual(new Float16Array(result), Float16Array.from(expectedOutput(clips, options)));
});

gpuTest("an erased part is the same noise as in its definition, in f32 and f16", async (device) => {
  const [{ frame: [width, height], transform }] = SITUATIONS;
  const boxes = [[0, 0, 20, 1], [3, 2, 9, 17], [19, 19, 1, 1]];
  const clips = boxes.map(([x, y, width_, height_], i) => ({
    ...noiseClip(3, { width, height }, createPrng(6)),
    transform: {
      ...transform,
      erase: { box: { x, y, width: width_, height: height_ }, seed: 2 ** 32 - 1 - i },
    },
  }));
  for (const outType of ["f32", "f16"] as const) {
    const options = { ...BASE, outType, erase: true };
    const [result] = await runBatches(device, options, [clips]);
    const expected = expectedOutput(clips, options);
    if (outType === "f32") assertSameBits(new Float32Array(result), expected);
    else assert.deepEqual(new Float16Array(result), Float16Array.from(expected));
  }
});

gpuTest("a result goes to its offset and leaves the bytes around it alone", async (device) => {
  const options = { ...BASE, clips: 2, frames: 1 };
  const clips = situationClips(createPrng(5), 1).slice(3, 5);
  using prep = createFramePrep(device, options);
  const before = 12, after = 20;
  const target = storageBuffer(device, before + 2 * prep.clipBytes + after);
  device.queue.writeBuffer(target, 0, new Uint8Array(target.size).fill(0xab));
  const encoder = device.createCommandEncoder();
  prep.encode(encoder, clips, { buffer: target, offset: before });
  device.queue.submit([encoder.finish()]);
  const bytes = await readBytes(device, target);
  target.destroy();
  assertSameBits(
    new Float32Array(bytes.slice(before, before + 2 * prep.clipBytes)),
    expectedOutput(clips, options),
  );
  const around = [...new Uint8Array(bytes, 0, before), ...new Uint8Array(bytes, bytes.byteLength - after)];
  assert.ok(around.every((byte) => byte === 0xab));
});

gpuTest("the bytes announced are the bytes allocated, all at construction", async (device) => {
  const sizes: number[] = [];
  const memory = {
    create(label: string, size: number, usage: number) {
      sizes.push(size);
      return device.createBuffer({ label, size, usage });
    },
    destroy(buffer: GPUBuffer) {
      sizes.push(-buffer.size);
      buffer.destroy();
    },
  };
  const options = { ...BASE, memory, pixelOps: 4, erase: true };
  const total = () => sizes.reduce((a, b) => a + b, 0);
  const prep = createFramePrep(device, options);
  assert.equal(total(), framePrepBytes(options));
  assert.equal(prep.allocatedBytes, framePrepBytes(options));
  const target = storageBuffer(device, BASE.clips * prep.clipBytes);
  const allocations = sizes.length;
  for (let step = 0; step < 2; step++) {
    const encoder = device.createCommandEncoder();
    prep.encode(encoder, situationClips(createPrng(step), 3), { buffer: target, offset: 0 });
    device.queue.submit([encoder.finish()]);
  }
  assert.equal(sizes.length, allocations);
  await device.queue.onSubmittedWorkDone();
  prep.destroy();
  target.destroy();
  assert.equal(total(), 0);
});

gpuTest("batches and frames beyond the options are refused by size", async (device) => {
  assert.throws(
    () => createFramePrep(device, { ...BASE, frames: 0 }),
    /"frames" must be a positive integer.*0$/,
  );
  assert.throws(
    () => createFramePrep(device, { ...BASE, size: 17, outType: "f16" }),
    /"size" must be even.*17$/,
  );
  assert.throws(
    () => createFramePrep(device, { ...BASE, maxWidth: 200000, maxHeight: 20000 }),
    /limits of the adapter/,
  );

  assert.throws(() => createFramePrep(device, { ...BASE, pixelOps: 0.5 }), /"pixelOps" must be.*0\.5$/);
  const prep = createFramePrep(device, { ...BASE, clips: 1 });
  const target = storageBuffer(device, prep.clipBytes);
  const encoder = device.createCommandEncoder();
  const clip = (width: number, height: number, frames = 3) => ({
    frames: new Uint8Array(frames * width * height * 3),
    width,
    height,
    transform: centreTransform({ width, height }, {
      ...publishedRecipe("sth", 20),
      resize: { kind: "none" },
    }),
  });
  const place = { buffer: target, offset: 0 };
  assert.throws(() => prep.encode(encoder, [clip(62, 40)], place), /at most 61x61, current size is 62x40/);
  assert.throws(
    () => prep.encode(encoder, [clip(40, 40, 2)], place),
    /are 14400 bytes, current length is 9600/,
  );
  assert.throws(
    () => prep.encode(encoder, [clip(40, 40), clip(40, 40)], place),
    /1 to 1 clips, current value is 2/,
  );
  assert.throws(
    () => prep.encode(encoder, [clip(40, 40)], { buffer: target, offset: 4 }),
    /current offset is 4 of/,
  );
  const whole = clip(40, 40);
  const inverted = { ...whole, transform: { ...whole.transform, pixelOps: [{ kind: "invert" } as const] } };
  assert.throws(
    () => prep.encode(encoder, [inverted], place),
    /at most 0 pixel operations and must not erase, current number is 1$/,
  );
  const erase = { box: { x: 1, y: 1, width: 2, height: 2 }, seed: 1 };
  const erased = { ...whole, transform: { ...whole.transform, erase } };
  assert.throws(
    () => prep.encode(encoder, [erased], place),
    /must not erase, current number is 0 and it erases$/,
  );
  prep.destroy();
  assert.throws(() => prep.encode(encoder, [clip(40, 40)], place), /must not have been destroyed/);
  // A refused batch leaves an encoder without open passes.
  device.queue.submit([encoder.finish()]);
  await device.queue.onSubmittedWorkDone();
  target.destroy();
});

Deno.test("tables of a batch are packed once per run of rows, within the planned words", () => {
  const packer = new TablePacker(1000);
  const table = resampleTable(30, 20, "bicubic");
  const first = packer.add(table, 0, 10), second = packer.add(table, 3, 10);
  assert.deepEqual([first, second, packer.add(table, 0, 10)], [0, 10 * table.stride, 0]);
  assert.deepEqual(
    [...packer.words.subarray(second, second + table.stride)],
    [...table.rows.subarray(3 * table.stride, 4 * table.stride)],
  );
  packer.clear();
  assert.equal(packer.usedWords, 0);
});
