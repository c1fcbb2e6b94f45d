/** DiST's transforms on the GPU against their definition in data/transforms, and against what was recorded. */
import assert from "node:assert/strict";
import { transformClip } from "../../data/transforms/apply.ts";
import { flipRgb } from "../../data/transforms/picture.ts";
import { publishedFloatRecipe } from "../../data/transforms/recipe.ts";
import { centreTransform, sampleTransform, testTransforms } from "../../data/transforms/sample.ts";
import { createFramePrep, type FrameClip, type FramePrepOptions } from "../../gpu/frames.ts";
import { createPrng } from "../../lib/random.ts";
import { FLOAT_TOLERANCE, type FloatColour, type FloatTransform } from "../../pixels/float_transform.ts";
import { fixtureRows, FixtureTensors } from "../_util/fixture_tensors.ts";
import { noiseClip, runBatches, storageBuffer } from "../_util/frame_prep.ts";
import { gpuTest } from "../_util/gpu.ts";

const SIZE = 20;
const OPTIONS: FramePrepOptions = {
  clips: 8,
  frames: 3,
  maxWidth: 61,
  maxHeight: 61,
  size: SIZE,
  outType: "f32",
  erase: true,
};

/** Portrait, landscape, square, one pixel, one line, smaller than the crop and larger. */
const FRAMES = [[61, 47], [31, 60], [40, 40], [1, 1], [50, 1], [9, 12], [20, 20]] as const;

/** The largest difference, in normalised units; what is not finite fails. */
function worstOf(actual: Float32Array, expected: Float32Array): number {
  assert.equal(actual.length, expected.length);
  let worst = 0;
  actual.forEach((value, i) => {
    assert.ok(Number.isFinite(value), `value ${i} is ${value}`);
    worst = Math.max(worst, Math.abs(value - expected[i]));
  });
  return worst;
}

/** Runs clips in batches and compares each with its definition. */
async function assertAgree(device: GPUDevice, clips: readonly FrameClip[], options = OPTIONS): Promise<void> {
  const batches: FrameClip[][] = [];
  for (let start = 0; start < clips.length; start += options.clips) {
    batches.push(clips.slice(start, start + options.clips));
  }
  const results = await runBatches(device, options, batches);
  for (const [i, batch] of batches.entries()) {
    const values = results[i].byteLength / batch.length;
    for (const [k, clip] of batch.entries()) {
      const actual = new Float32Array(results[i].slice(k * values, (k + 1) * values));
      const worst = worstOf(actual, transformClip(clip, options.size));
      assert.ok(
        worst <= FLOAT_TOLERANCE,
        `${worst} for ${clip.width}x${clip.height} with ${JSON.stringify(clip.transform)}`,
      );
    }
  }
}

gpuTest("drawn training clips agree with the definition, frames of any shape and size", async (device) => {
  const prng = createPrng(11);
  const clips = (["sth", "kinetics"] as const).flatMap((family) => {
    const colourJitter = { probability: 0.8, brightness: 0.4, contrast: 0.4, saturation: 0.2, hue: 0.1 };
    const recipe = { ...publishedFloatRecipe(family, SIZE), colourJitter, eraseProbability: 0.3 };
    return FRAMES.flatMap(([width, height]) =>
      Array.from({ length: 6 }, () => ({
        ...noiseClip(3, { width, height }, prng),
        transform: sampleTransform({ width, height }, recipe, prng),
      }))
    );
  });
  const floats = clips.map(({ transform }) => transform as FloatTransform);
  for (const seen of ["mirrorFrames", "mirrorResult", "grey", "erase"] as const) {
    assert.ok(floats.some((one) => one[seen]) && !floats.every((one) => one[seen]), seen);
  }
  assert.ok(new Set(floats.map(({ colours }) => colours.map(({ kind }) => kind).join())).size > 8);
  await assertAgree(device, clips);
});

gpuTest("each change of colour agrees alone, and at the ends of its range", async (device) => {
  const prng = createPrng(5), frame = { width: 33, height: 21 };
  const base = sampleTransform(frame, publishedFloatRecipe("kinetics", SIZE), prng) as FloatTransform;
  const colours: FloatColour[][] = [
    ...(["brightness", "contrast", "saturation"] as const).flatMap((kind) =>
      [0, 0.6, 1, 1.4, 3].map((factor) => [{ kind, factor }])
    ),
    ...[-0.5, -0.1, 0, 0.1, 1 / 3, 0.5].map((turn) => [{ kind: "hue" as const, turn }]),
    // Means of frames that were changed before, twice.
    [{ kind: "hue", turn: 0.2 }, { kind: "contrast", factor: 1.3 }, { kind: "brightness", factor: 0.7 }, {
      kind: "contrast",
      factor: 0.5,
    }],
  ];
  for (const grey of [false, true]) {
    await assertAgree(
      device,
      colours.map((some) => ({
        ...noiseClip(3, frame, prng),
        transform: { ...base, grey, colours: some },
      })),
    );
  }
});

gpuTest("RandAugment on the bytes comes before, by either scratch buffer", async (device) => {
  const prng = createPrng(8), frame = { width: 44, height: 37 };
  const transform = sampleTransform(frame, publishedFloatRecipe("sth", SIZE), prng);
  const ops = [{ kind: "invert" }, { kind: "posterize", bits: 3 }, { kind: "equalize" }] as const;
  await assertAgree(
    device,
    [0, 1, 2, 3].map((count) => ({
      ...noiseClip(3, frame, prng),
      transform: { ...transform, pixelOps: ops.slice(0, count) },
    })),
    { ...OPTIONS, pixelOps: 3 },
  );
});

gpuTest("recorded test clips come out the same, by one crop and by three", async (device) => {
  const pictures = new FixtureTensors("transforms-geometry.safetensors");
  const results = new FixtureTensors("transforms-dist.safetensors");
  const rows = fixtureRows<
    { image: string; scale: number; crop: number; crops: 1 | 3; crop_index: 0 | 1 | 2; tensor: string }
  >("transforms-dist.json");
  for (const { image, scale, crop: size, crops, crop_index, tensor } of rows) {
    const picture = pictures.picture(`image.${image}`), { width, height } = picture;
    const published = publishedFloatRecipe("sth", size);
    const recipe = { ...published, float: { ...published.float, testSide: scale } };
    const transform = testTransforms(picture, recipe, crops)[crop_index];
    const frames = Uint8Array.of(...picture.data, ...flipRgb(picture).data);
    const options = { ...OPTIONS, clips: 1, frames: 2, maxWidth: width, maxHeight: height, size };
    const [bytes] = await runBatches(device, options, [[{ frames, width, height, transform }]]);
    // Recorded channel by channel; ours is frame by frame.
    const recorded = results.floats(tensor), plane = size * size;
    const expected = Float32Array.from({ length: recorded.length }, (_, i) => {
      const pixel = i % plane, of = Math.floor(i / plane);
      return recorded[((of % 3) * 2 + Math.floor(of / 3)) * plane + pixel];
    });
    const worst = worstOf(new Float32Array(bytes), expected);
    assert.ok(worst <= FLOAT_TOLERANCE, `${image}, crop ${crop_index} of ${crops}: ${worst}`);
  }
});

gpuTest(
  "clips by either kind of rules share a batch, and large frames keep the tolerance",
  async (device) => {
    const prng = createPrng(2), frame = { width: 1500, height: 420 }, size = 32;
    const recipe = publishedFloatRecipe("kinetics", size);
    const clip = { ...noiseClip(1, frame, prng) };
    const transforms = [
      ...testTransforms(frame, recipe, 3),
      sampleTransform(frame, recipe, prng),
      centreTransform(frame, { ...recipe, float: undefined }),
    ];
    const options = { ...OPTIONS, frames: 1, maxWidth: 1500, maxHeight: 420, size };
    await assertAgree(device, transforms.map((transform) => ({ ...clip, transform })), options);
  },
);

gpuTest("transforms that do not fit are refused by what is wrong with them", async (device) => {
  const frame = { width: 30, height: 40 };
  const transform = centreTransform(frame, publishedFloatRecipe("sth", SIZE)) as FloatTransform;
  const clip = { frames: new Uint8Array(3 * 30 * 40 * 3), ...frame };
  const refuse = (changed: Partial<FloatTransform>, message: RegExp, options = OPTIONS) => {
    using prep = createFramePrep(device, options);
    const buffer = storageBuffer(device, prep.clipBytes);
    const encoder = device.createCommandEncoder();
    assert.throws(
      () =>
        prep.encode(encoder, [{ ...clip, transform: { ...transform, ...changed } }], { buffer, offset: 0 }),
      message,
    );
    encoder.finish();
    buffer.destroy();
  };
  refuse(
    { crop: { x: 1, y: 0, width: 30, height: 40 } },
    /clip 0: the crop must lie inside 30x40, .*\(1, 0\)/,
  );
  refuse({ outputAt: { x: 0, y: 7 } }, /the output square must lie inside 20x26, .* 20x20 at \(0, 7\)/);
  const one = { kind: "brightness", factor: 1 } as const;
  refuse({ colours: [one, one, one, one, one] }, /at most 4 times, current number is 5/);
  refuse({}, /in floats must be f32, current value is f16/, { ...OPTIONS, outType: "f16" });
  await device.queue.onSubmittedWorkDone();
});
