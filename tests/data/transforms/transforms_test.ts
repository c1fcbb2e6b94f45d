/** Clip transforms against pictures and tensors recorded from Pillow and the published PyTorch transforms. */
import assert from "node:assert/strict";
import { createPrng } from "../../../lib/random.ts";
import { ResampleCache, resampleTable, ROW_HEADER, WEIGHT_BITS } from "../../../pixels/resample.ts";
import { applyPixelOp } from "../../../data/transforms/pixel_ops.ts";
import { PUBLISHED_RAND_AUGMENT } from "../../../data/transforms/rand_augment.ts";
import { flipRgb, greyRgb, resizeRgb, type RgbImage } from "../../../data/transforms/picture.ts";
import {
  centreTransform,
  sampleTransform,
  testTransforms,
  transformedLabel,
} from "../../../data/transforms/sample.ts";
import type { ClipTransform } from "../../../pixels/clip_transform.ts";
import { normaliseFrame, transformFrame } from "../../../data/transforms/apply.ts";
import {
  publishedRecipe,
  type ResizeRule,
  SOMETHING_MIRROR_PAIRS,
  type TransformRecipe,
} from "../../../data/transforms/recipe.ts";
import { FixtureTensors } from "../../_util/fixture_tensors.ts";

interface Draw {
  kind: "uniform" | "integer";
  low: number;
  high: number;
  high_exclusive: number;
  values: number[];
}

interface Row {
  op: string;
  image: string;
  tensor: string;
  size: number | [number, number];
  crop: number;
  draws: Draw[];
}

const { rows, flip_label_swaps: recordedSwaps } = JSON.parse(
  Deno.readTextFileSync(new URL("../../fixtures/transforms-geometry.json", import.meta.url)),
) as { rows: Row[]; flip_label_swaps: Record<string, number> };
const tensors = new FixtureTensors("transforms-geometry.safetensors");
const picture = (name: string) => tensors.picture(name), floats = (name: string) => tensors.floats(name);

/** Rows of one kind; a kind without rows would make its test pass for nothing. */
function rowsOf(start: string): Row[] {
  const found = rows.filter((row) => row.op.startsWith(start));
  assert.ok(found.length > 0, `fixture has no rows for ${start}`);
  return found;
}

function assertSamePicture(actual: RgbImage, expected: RgbImage, what: string): void {
  assert.deepEqual([actual.width, actual.height], [expected.width, expected.height], what);
  assert.deepEqual(Uint8Array.from(actual.data), Uint8Array.from(expected.data), what);
}

/** Concatenates pictures of one size. */
function concatBytes(pictures: RgbImage[]): Uint8Array {
  return Uint8Array.from(pictures.flatMap(({ data }) => [...data]));
}

/** A recipe without random parts at the sizes of the fixture. */
function recipe(resize: ResizeRule, size: number, overrides: Partial<TransformRecipe> = {}): TransformRecipe {
  return {
    randAugment: null,
    colourJitter: null,
    resize,
    crop: "randomResized",
    size,
    flipProbability: 0,
    mirrorPairs: [],
    greyProbability: 0,
    eraseProbability: 0,
    ...overrides,
  };
}

const SCALE_24: ResizeRule = { kind: "shortSide", side: 24 };

/** Numbers in [0, 1) or integers from a list; fails when the order or a range differs from the recording. */
function replay(draws: Draw[]) {
  const left = draws.flatMap((draw) => draw.values.map((value) => ({ ...draw, value })));
  const next = (kind: string) => {
    const draw = left.shift();
    assert.ok(draw && draw.kind === kind, `asked for ${kind}, recorded ${draw?.kind}`);
    return draw;
  };
  return {
    left,
    uniform() {
      const { low, high, value } = next("uniform");
      return (value - low) / (high - low);
    },
    integer(n: number) {
      const { low, high_exclusive, value } = next("integer");
      assert.deepEqual([0, n], [low, high_exclusive]);
      return value;
    },
    normal: () => next("normal").value,
  };
}

/** A generator that counts its draws and returns given numbers. */
function scripted(uniforms: number[], integers: number[] = []) {
  return {
    uniform: () => uniforms.shift()!,
    integer: (_n: number) => integers.shift()!,
    normal: () => assert.fail("no normal number is drawn"),
  };
}

Deno.test("resizing equals the recorded bicubic resize, bit for bit", () => {
  for (const { image, size, tensor: name } of rowsOf("scale").filter((row) => row.op === "scale")) {
    const source = picture(`image.${image}`);
    const rule: ResizeRule = typeof size === "number"
      ? { kind: "shortSide", side: size }
      : { kind: "exact", width: size[1], height: size[0] };
    const expected = picture(name);
    const { resize } = centreTransform(source, recipe(rule, 1));
    const actual = resize ? resizeRgb(source, resize.width, resize.height, resize.filter) : source;
    assertSamePicture(actual, expected, name);
  }
});

Deno.test("centre crops equal the recorded ones, odd remainders included", () => {
  for (const { image, crop, tensor: name } of rowsOf("scale 24, center crop")) {
    const source = picture(`image.${image}`);
    const actual = transformFrame(source, centreTransform(source, recipe(SCALE_24, crop)), crop);
    assertSamePicture(actual, picture(name), name);
  }
});

Deno.test("three, five and ten test crops equal the recorded ones in their order", () => {
  for (const [op, count] of [["three crops", 3], ["five crops", 5], ["ten crops", 10]] as const) {
    for (const { image, tensor: name } of rowsOf(op)) {
      const source = picture(`image.${image}`);
      const transforms: ClipTransform[] = testTransforms(source, recipe(SCALE_24, 20), count);
      assert.equal(transforms.length, count);
      const actual = concatBytes(transforms.map((transform) => transformFrame(source, transform, 20)));
      assert.deepEqual(actual, new Uint8Array(tensors.get(name).bytes), name);
    }
  }
});

Deno.test("random resized crops replay the recorded draws and give the recorded pictures", () => {
  for (const { image, draws, tensor: name } of rowsOf("random sized crop")) {
    const source = picture(`image.${image}`);
    const prng = replay(draws);
    const transform = sampleTransform(source, recipe({ kind: "none" }, 20), prng);
    assert.equal(prng.left.length, 0, `${name}: every recorded draw is used`);
    assertSamePicture(transformFrame(source, transform, 20), picture(name), name);
  }
});

Deno.test("mirroring and greyscale equal the recorded pictures", () => {
  for (const { image, tensor: name } of rowsOf("horizontal flip")) {
    assertSamePicture(flipRgb(picture(`image.${image}`)), picture(name), name);
  }
  for (const { image, tensor: name } of rowsOf("grayscale")) {
    assertSamePicture(greyRgb(picture(`image.${image}`)), picture(name), name);
  }
});

Deno.test("normalised validation and test clips equal the recorded tensors, bit for bit", () => {
  for (const { image, tensor: name } of rowsOf("validation pipeline")) {
    const source = picture(`image.${image}`);
    const frame = normaliseFrame(
      transformFrame(source, centreTransform(source, recipe(SCALE_24, 20)), 20),
    );
    assert.deepEqual(Float32Array.from([...frame, ...frame]), floats(name), name);
  }
  for (const { image, tensor: name } of rowsOf("three-crop test pipeline")) {
    const source = picture(`image.${image}`);
    const rule: ResizeRule = { kind: "exact", width: 30, height: 24 };
    const views = testTransforms(source, recipe(rule, 20), 3).flatMap((transform) => {
      const frame = [...normaliseFrame(transformFrame(source, transform, 20))];
      return [...frame, ...frame];
    });
    assert.deepEqual(Float32Array.from(views), floats(name), name);
  }
});

Deno.test("CLIP's own preprocessing is the centre transform at one size", () => {
  for (const { image, tensor: name } of rowsOf("CLIP preprocess 24")) {
    const source = picture(`image.${image}`);
    const transform: ClipTransform = centreTransform(source, recipe(SCALE_24, 24));
    assert.deepEqual(normaliseFrame(transformFrame(source, transform, 24)), floats(name), name);
  }
});

Deno.test("resampling weights sum to one and cannot overflow 32 bits", () => {
  for (const filter of ["bilinear", "bicubic"] as const) {
    for (const [inSize, outSize] of [[1, 1], [1, 7], [7, 1], [340, 320], [224, 223], [3, 224], [1080, 256]]) {
      const { rows, stride } = resampleTable(inSize, outSize, filter);
      for (let out = 0; out < outSize; out++) {
        const row = rows.subarray(out * stride, (out + 1) * stride);
        const [first, taps] = row;
        assert.ok(taps >= 1 && first >= 0 && first + taps <= inSize && ROW_HEADER + taps <= stride);
        const weights = [...row.subarray(ROW_HEADER, ROW_HEADER + taps)];
        const sum = weights.reduce((a, b) => a + b, 0);
        assert.ok(Math.abs(sum - 2 ** WEIGHT_BITS) <= taps, `${inSize} to ${outSize}: sum ${sum}`);
        const positive = weights.reduce((a, b) => a + Math.max(b, 0), 0);
        const negative = sum - positive;
        assert.ok(255 * positive + 2 ** (WEIGHT_BITS - 1) < 2 ** 31 && 255 * negative >= -(2 ** 31));
      }
    }
  }
});

Deno.test("the cache of tables is bounded and keeps what was used last", () => {
  const cache = new ResampleCache(2);
  const first = cache.get(10, 5, "bilinear");
  cache.get(11, 5, "bilinear");
  assert.equal(cache.get(10, 5, "bilinear"), first);
  cache.get(12, 5, "bilinear");
  assert.equal(cache.size, 2);
  assert.equal(cache.get(10, 5, "bilinear"), first);
  assert.notEqual(cache.get(10, 5, "bicubic"), first);
});

Deno.test("the published recipes resize, crop and flip as the originals", () => {
  const sth = publishedRecipe("sth"), kinetics = publishedRecipe("kinetics");
  assert.deepEqual(centreTransform({ width: 427, height: 240 }, sth), {
    resize: { width: 320, height: 256, filter: "bicubic" },
    crop: { x: 48, y: 16, width: 224, height: 224 },
    resizeCrop: null,
    flip: false,
  });
  assert.deepEqual(centreTransform({ width: 427, height: 320 }, kinetics).resize, {
    width: 341,
    height: 256,
    filter: "bicubic",
  });
  assert.equal(centreTransform({ width: 340, height: 256 }, kinetics).resize, null);
  assert.equal(
    centreTransform({ width: 340, height: 400 }, publishedRecipe("kinetics", 336)).resize?.width,
    336,
  );
  const corners = testTransforms({ width: 427, height: 240 }, sth, 3).map(({ crop }) => [crop.x, crop.y]);
  assert.deepEqual(corners, [[0, 16], [96, 16], [48, 16]]);
});

Deno.test("a mirrored Something-Something clip swaps the recorded label pairs only", () => {
  const sth = publishedRecipe("sth");
  const plain: ClipTransform = centreTransform({ width: 320, height: 256 }, sth);
  const mirrored = { ...plain, flip: true };
  for (let label = 0; label < 174; label++) {
    assert.equal(transformedLabel(label, plain, sth), label);
    assert.equal(transformedLabel(label, mirrored, sth), recordedSwaps[label] ?? label);
    assert.equal(transformedLabel(label, mirrored, publishedRecipe("kinetics")), label);
  }
  assert.equal(SOMETHING_MIRROR_PAIRS.length * 2, Object.keys(recordedSwaps).length);
});

Deno.test("ten refused crops fall back to a random square of the short side", () => {
  // Area 1 and ratio 4/3 never fit a square: both orders are too long on one side.
  const misses = Array.from({ length: 10 }, () => [0.999999, 0.999999, 0.3]).flat();
  const transform = sampleTransform(
    { width: 50, height: 40 },
    recipe({ kind: "exact", width: 40, height: 40 }, 20),
    scripted([...misses], [0, 0]),
  );
  assert.deepEqual(transform.crop, { x: 0, y: 0, width: 40, height: 40 });
  assert.deepEqual(transform.resizeCrop, { width: 20, height: 20, filter: "bilinear" });
  const wide = sampleTransform(
    { width: 100, height: 25 },
    recipe({ kind: "none" }, 20),
    scripted([...misses], [7, 0]),
  );
  assert.deepEqual(wide.resizeCrop, { width: 80, height: 20, filter: "bilinear" });
  assert.deepEqual(wide.outputAt, { x: 7, y: 0 });
  const source = {
    width: 100,
    height: 25,
    data: Uint8Array.from({ length: 7500 }, (_, i) => (i * 37) % 256),
  };
  const expected = resizeRgb(source, 80, 20, "bilinear");
  const actual = transformFrame(source, wide, 20);
  assert.deepEqual([...actual.data.subarray(0, 60)], [...expected.data.subarray(21, 81)]);
});

Deno.test("flip and grey are drawn after the crop, with their probabilities", () => {
  const options = { crop: "random", flipProbability: 0.5, greyProbability: 0.2 } as const;
  const square = recipe({ kind: "none" }, 32, options);
  const draw = (flip: number, grey: number) =>
    sampleTransform({ width: 40, height: 40 }, square, scripted([flip, grey], [3, 8]));
  assert.deepEqual(draw(0.49, 0.2), {
    resize: null,
    crop: { x: 3, y: 8, width: 32, height: 32 },
    resizeCrop: null,
    flip: true,
    grey: false,
  });
  assert.deepEqual([draw(0.5, 0.19).flip, draw(0.5, 0.19).grey], [false, true]);
});

Deno.test("random crops reach every position and both orientations of the picture", () => {
  const prng = createPrng(7);
  const seen = new Set<string>();
  for (let i = 0; i < 400; i++) {
    const { crop } = sampleTransform(
      { width: 34, height: 33 },
      recipe({ kind: "none" }, 32, { crop: "random" }),
      prng,
    );
    seen.add(`${crop.x},${crop.y}`);
  }
  assert.deepEqual([...seen].sort(), ["0,0", "0,1", "1,0", "1,1", "2,0", "2,1"]);
});

Deno.test("crop centre trains on the picture that validation sees, and draws nothing for it", () => {
  const undrawn = { uniform: () => assert.fail(), integer: () => assert.fail(), normal: () => assert.fail() };
  const still = { crop: "centre", flipProbability: 0, greyProbability: 0 } as const;
  const centre = recipe({ kind: "shortSide", side: 36 }, 32, still);
  for (const frame of [{ width: 41, height: 37 }, { width: 33, height: 64 }, { width: 36, height: 36 }]) {
    assert.deepEqual(sampleTransform(frame, centre, undrawn), {
      ...centreTransform(frame, centre),
      grey: false,
    });
  }
  const whole = recipe({ kind: "none" }, 32, still);
  assert.throws(
    () => sampleTransform({ width: 20, height: 40 }, whole, undrawn),
    /Cannot crop 32x32.*20x40/,
  );
});

Deno.test("a frame too small for its crop, or of another size than crop none needs, is refused", () => {
  const none = recipe({ kind: "none" }, 32, { crop: "none" });
  const prng = createPrng(1);
  assert.throws(() => centreTransform({ width: 31, height: 40 }, none), /Cannot crop 32x32.*31x40/);
  assert.throws(
    () => sampleTransform({ width: 40, height: 32 }, none, prng),
    /Cannot use crop "none".*40x32/,
  );
  assert.deepEqual(sampleTransform({ width: 32, height: 32 }, none, prng).crop.x, 0);
  assert.throws(
    () => testTransforms({ width: 40, height: 40 }, none, 4 as 3),
    /must be 1, 3, 5 or 10, current value is 4/,
  );
  const outside = {
    ...centreTransform({ width: 40, height: 40 }, none),
    crop: { x: 9, y: 0, width: 32, height: 32 },
  };
  const frame = { width: 40, height: 40, data: new Uint8Array(4800) };
  assert.throws(() => transformFrame(frame, outside, 32), /the crop must lie inside 40x40.*\(9, 0\)/);
});

Deno.test("RandAugment is drawn first and changes the frames before they are resized", () => {
  const source = picture("image.landscape");
  const sth = { ...publishedRecipe("sth", 20), resize: { kind: "exact", width: 30, height: 24 } as const };
  assert.deepEqual([sth.randAugment, publishedRecipe("kinetics").randAugment], [
    PUBLISHED_RAND_AUGMENT,
    null,
  ]);
  const plainRecipe = { ...sth, randAugment: null };
  let seed = 1;
  const draw = () => sampleTransform(source, sth, createPrng(seed));
  while ((draw().pixelOps?.length ?? 0) < 2) seed++;
  const { pixelOps, ...rest } = draw();
  const [first, second, ...more] = pixelOps!;
  let augmented = applyPixelOp(applyPixelOp(source, first), second);
  for (const op of more) augmented = applyPixelOp(augmented, op);
  assertSamePicture(
    transformFrame(source, draw(), 20),
    transformFrame(augmented, rest, 20),
    "operations, then geometry",
  );
  // Without RandAugment the same generator gives the crop from its first numbers.
  assert.notDeepEqual(sampleTransform(source, plainRecipe, createPrng(seed)).crop, rest.crop);
  assert.equal(sampleTransform(source, plainRecipe, createPrng(seed)).pixelOps, undefined);
  assert.equal(centreTransform(source, sth).pixelOps, undefined);
});
