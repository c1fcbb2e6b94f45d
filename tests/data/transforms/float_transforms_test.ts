/** DiST's transforms: all recorded test clips, its random decisions, and its colours against recorded numbers. */
import assert from "node:assert/strict";
import { applyFloatColour, greyFloat } from "../../../data/transforms/float_colours.ts";
import {
  cropFloat,
  flipFloat,
  floatClip,
  normaliseFloat,
  resizeFloat,
} from "../../../data/transforms/float_clip.ts";
import {
  floatTestBox,
  type FloatTestCrop,
  floatTestSize,
  sampleFloatCrop,
} from "../../../data/transforms/float_transforms.ts";
import { transformClip } from "../../../data/transforms/apply.ts";
import { flipRgb } from "../../../data/transforms/picture.ts";
import { publishedFloatRecipe } from "../../../data/transforms/recipe.ts";
import {
  centreTransform,
  sampleTransform,
  testTransforms,
  transformedLabel,
} from "../../../data/transforms/sample.ts";
import { createPrng } from "../../../lib/random.ts";
import type { FloatColour, FloatTransform } from "../../../pixels/float_transform.ts";
import { fixtureRows, FixtureTensors } from "../../_util/fixture_tensors.ts";

interface Row {
  image: string;
  scale: number;
  crop: number;
  crops: 1 | 3;
  crop_index: 0 | 1 | 2;
  tensor: string;
}

const pictures = new FixtureTensors("transforms-geometry.safetensors");

/** A picture and its mirror image as a clip. */
function twoFrames(name: string) {
  const picture = pictures.picture(`image.${name}`);
  const { width, height } = picture;
  return { frames: Uint8Array.of(...picture.data, ...flipRgb(picture).data), width, height };
}

Deno.test("recorded test clips come out the same, bit for bit", () => {
  const rows = fixtureRows<Row>("transforms-dist.json");
  const results = new FixtureTensors("transforms-dist.safetensors");
  assert.equal(rows.length, 16);
  for (const { image, scale, crop: size, crops, crop_index: crop, tensor } of rows) {
    const published = publishedFloatRecipe("sth", size), clip = twoFrames(image);
    const recipe = { ...published, float: { ...published.float, testSide: scale } };
    const actual = transformClip({ ...clip, transform: testTransforms(clip, recipe, crops)[crop] }, size);
    const { shape } = results.get(tensor), expected = results.floats(tensor);
    assert.deepEqual(shape, [3, 2, size, size]);
    assert.equal(actual.length, expected.length);
    // Recorded channel by channel; ours is frame by frame.
    const wrong = actual.findIndex((value, i) => {
      const pixel = i % (size * size), plane = Math.floor(i / (size * size));
      const frame = Math.floor(plane / 3), channel = plane % 3;
      return !Object.is(value, expected[(channel * 2 + frame) * size * size + pixel]);
    });
    assert.equal(wrong, -1, `${image}, crop ${crop} of ${crops}`);
  }
});

// deno-fmt-ignore
const COLOURS = [[1, 0, 0], [0, 0, 0], [0.25, 0.5, 0.75], [0.5, 0.5, 0.5], [0.9, 0.2, 0.9], [0.1, 0.8, 0.3], [0.551, 0.708, 0.291], [0.511, 0.893, 0.896], [0.126, 0.207, 0.051], [0.441, 0.03, 0.457]];

/** Changes of these ten pixels as one frame, computed with numpy and Python's colorsys. */
// deno-fmt-ignore
const CHANGED: [FloatColour, number[][]][] = [
  [{"kind": "brightness", "factor": 1.35}, [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.3375, 0.675, 1.0], [0.675, 0.675, 0.675], [1.0, 0.27, 1.0], [0.135, 1.0, 0.405], [0.74385, 0.9558, 0.39285], [0.68985, 1.0, 1.0], [0.1701, 0.27945, 0.06885], [0.59535, 0.0405, 0.61695]]],
  [{"kind": "contrast", "factor": 0.65}, [[0.79122, 0.14122, 0.14122], [0.14122, 0.14122, 0.14122], [0.30372, 0.46622, 0.62872], [0.46622, 0.46622, 0.46622], [0.72622, 0.27122, 0.72622], [0.20622, 0.66122, 0.33622], [0.49937, 0.60142, 0.33037], [0.47337, 0.72167, 0.72362], [0.22312, 0.27577, 0.17437], [0.42787, 0.16072, 0.43827]]],
  [{"kind": "contrast", "factor": 1.4}, [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.18861, 0.53861, 0.88861], [0.53861, 0.53861, 0.53861], [1.0, 0.11861, 1.0], [0.0, 0.95861, 0.25861], [0.61001, 0.82981, 0.24601], [0.55401, 1.0, 1.0], [0.01501, 0.12841, 0.0], [0.45601, 0.0, 0.47841]]],
  [{"kind": "saturation", "factor": 1.2}, [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.20925, 0.50925, 0.80925], [0.5, 0.5, 0.5], [0.98218, 0.14218, 0.98218], [0.01326, 0.85326, 0.25326], [0.5385, 0.7269, 0.2265], [0.45738, 0.91578, 0.91938], [0.1182, 0.2154, 0.0282], [0.48889, 0.0, 0.50809]]],
  [{"kind": "saturation", "factor": 0.8}, [[0.8598, 0.0598, 0.0598], [0.0, 0.0, 0.0], [0.29075, 0.49075, 0.69075], [0.5, 0.5, 0.5], [0.81782, 0.25782, 0.81782], [0.18674, 0.74674, 0.34674], [0.5635, 0.6891, 0.3555], [0.56462, 0.87022, 0.87262], [0.1338, 0.1986, 0.0738], [0.39311, 0.06431, 0.40591]]],
  [{"kind": "hue", "turn": 0.1}, [[1, 0.6, 0.0], [0, 0, 0], [0.3, 0.25, 0.75], [0.5, 0.5, 0.5], [0.9, 0.2, 0.48], [0.1, 0.8, 0.72], [0.3008, 0.708, 0.291], [0.511, 0.662, 0.896], [0.051, 0.207, 0.0696], [0.457, 0.03, 0.2168]]],
  [{"kind": "hue", "turn": -0.1}, [[1, 0.0, 0.6], [0, 0, 0], [0.25, 0.75, 0.7], [0.5, 0.5, 0.5], [0.48, 0.2, 0.9], [0.32, 0.8, 0.1], [0.708, 0.6148, 0.291], [0.511, 0.896, 0.668], [0.207, 0.1944, 0.051], [0.1848, 0.03, 0.457]]],
  [{"kind": "hue", "turn": 0.07}, [[1, 0.42, 0.0], [0, 0, 0], [0.25, 0.29, 0.75], [0.5, 0.5, 0.5], [0.9, 0.2, 0.606], [0.1, 0.8, 0.594], [0.37586, 0.708, 0.291], [0.511, 0.7313, 0.896], [0.06048, 0.207, 0.051], [0.457, 0.03, 0.29366]]],
  [{"kind": "hue", "turn": 0.3333333333333333}, [[0.0, 1, 0.0], [0, 0, 0], [0.75, 0.25, 0.5], [0.5, 0.5, 0.5], [0.9, 0.9, 0.2], [0.3, 0.1, 0.8], [0.291, 0.551, 0.708], [0.896, 0.511, 0.893], [0.051, 0.126, 0.207], [0.457, 0.441, 0.03]]],
];

/** Pixels as a clip of frames of one row. */
function clipOf(...frames: number[][][]) {
  const planes = frames.flatMap((pixels) =>
    [0, 1, 2].flatMap((channel) => pixels.map((rgb) => rgb[channel]))
  );
  return { data: Float32Array.from(planes), width: frames[0].length, height: 1 };
}

function assertClose(actual: Float32Array, expected: Float32Array, what: string): void {
  assert.equal(actual.length, expected.length);
  const worst = Math.max(...actual.map((value, i) => Math.abs(value - expected[i])));
  assert.ok(worst < 1e-5, `${what}: ${worst}`);
}

Deno.test("colours change by the recorded numbers, each frame by its own mean", () => {
  const dark = COLOURS.map((rgb) => rgb.map((value) => value / 4));
  for (const [colour, expected] of CHANGED) {
    const two = applyFloatColour(clipOf(COLOURS, dark), colour), half = two.data.length / 2;
    assertClose(two.data.subarray(0, half), clipOf(expected).data, JSON.stringify(colour));
    assertClose(
      two.data.subarray(half),
      applyFloatColour(clipOf(dark), colour).data,
      `${JSON.stringify(colour)}, second frame`,
    );
  }
  const grey = greyFloat(clipOf([[0, 1, 0], [1, 0, 1]])).data;
  assertClose(grey, Float32Array.of(0.587, 0.413, 0.587, 0.413, 0.587, 0.413), "grey");
});

Deno.test("sizes and squares of test frames follow the long side", () => {
  assert.deepEqual(floatTestSize({ width: 340, height: 256 }, 224), { width: 297, height: 224 });
  assert.deepEqual(floatTestSize({ width: 240, height: 427 }, 224), { width: 224, height: 398 });
  const at = (width: number, height: number, view: FloatTestCrop) => {
    const { x, y } = floatTestBox({ width, height }, 224, view);
    return [x, y];
  };
  assert.deepEqual(at(297, 224, { crops: 1, crop: 0 }), [36, 0]);
  assert.deepEqual(([0, 1, 2] as const).map((crop) => at(297, 224, { crops: 3, crop })), [[0, 0], [36, 0], [
    73,
    0,
  ]]);
  assert.deepEqual(([0, 1, 2] as const).map((crop) => at(225, 398, { crops: 3, crop })), [[0, 0], [0, 87], [
    0,
    174,
  ]]);
  assert.throws(
    () => floatTestBox({ width: 300, height: 200 }, 224, { crops: 1, crop: 0 }),
    /Cannot crop 224x224: .* current size is 300x200/,
  );
  assert.throws(
    () => cropFloat({ data: new Float32Array(12), width: 2, height: 2 }, { x: 1, y: 0, width: 2, height: 1 }),
    /must lie inside 2x2, current value is 2x1 at \(1, 0\)/,
  );
});

Deno.test("random crops have the published areas and shapes; where none fits, the centre is taken", () => {
  const recipe = publishedFloatRecipe("sth").float, prng = createPrng(3), frame = { width: 340, height: 256 };
  let smallest = 1, largest = 0;
  for (let clip = 0; clip < 2000; clip++) {
    const { x, y, width, height } = sampleFloatCrop(frame, recipe, prng);
    assert.ok(x >= 0 && y >= 0 && x + width <= 340 && y + height <= 256);
    const area = width * height / (340 * 256), shape = width / height;
    assert.ok(area > 0.395 && area <= 1 && shape > 0.74 && shape < 1.345, `${width}x${height}`);
    smallest = Math.min(smallest, area), largest = Math.max(largest, area);
  }
  assert.ok(smallest < 0.42 && largest > 0.9, `${smallest} to ${largest}`);
  assert.deepEqual(sampleFloatCrop({ width: 100, height: 10 }, recipe, prng), {
    x: 43,
    y: 0,
    width: 13,
    height: 10,
  });
  assert.deepEqual(sampleFloatCrop({ width: 9, height: 120 }, recipe, prng), {
    x: 0,
    y: 54,
    width: 9,
    height: 12,
  });
});

Deno.test("a frame of one pixel across still gives a region", () => {
  const { float } = publishedFloatRecipe("sth"), prng = createPrng(4);
  for (const [width, height] of [[1, 1], [1, 500], [500, 1], [2, 3]]) {
    for (let clip = 0; clip < 50; clip++) {
      const box = sampleFloatCrop({ width, height }, float, prng);
      assert.ok(box.width >= 1 && box.height >= 1, JSON.stringify(box));
      assert.ok(box.x >= 0 && box.x + box.width <= width && box.y >= 0 && box.y + box.height <= height);
    }
  }
});

const JITTER = { probability: 1, brightness: 0.4, contrast: 0.4, saturation: 0.2, hue: 0.1 };

Deno.test("a training clip goes through its decisions in order, and the same seed draws the same ones", () => {
  const clip = twoFrames("landscape"), frame = { width: 40, height: 30 };
  const recipe = { ...publishedFloatRecipe("kinetics", 20), colourJitter: JITTER };
  const seen = new Set<string>();
  for (let seed = 0; seed < 40; seed++) {
    const draw = (some: typeof recipe) => sampleTransform(frame, some, createPrng(seed)) as FloatTransform;
    const drawn = draw(recipe);
    assert.deepEqual(draw(recipe), drawn);
    assert.equal(drawn.mirrorResult, false);
    assert.deepEqual(drawn.colours.map(({ kind }) => kind).sort(), [
      "brightness",
      "contrast",
      "hue",
      "saturation",
    ]);
    for (const colour of drawn.colours) {
      const range = { brightness: 0.4, contrast: 0.4, saturation: 0.2, hue: 0.1 }[colour.kind];
      const off = colour.kind === "hue" ? colour.turn : colour.factor - 1;
      assert.ok(Math.abs(off) <= range, JSON.stringify(colour));
    }
    seen.add(`${drawn.mirrorFrames} ${drawn.grey}`);
    // "result" mirrors last what "frames" mirrors first; the other draws are the same.
    const sth = draw({ ...recipe, float: { ...recipe.float, mirror: "result" } });
    assert.deepEqual(sth, { ...drawn, mirrorFrames: false, mirrorResult: drawn.mirrorFrames });
    let expected = floatClip(clip);
    if (drawn.mirrorFrames) expected = flipFloat(expected);
    expected = resizeFloat(cropFloat(expected, drawn.crop), 20, 20);
    if (drawn.grey) expected = greyFloat(expected);
    for (const colour of drawn.colours) expected = applyFloatColour(expected, colour);
    expected = normaliseFloat(expected);
    assert.deepEqual(transformClip({ ...clip, transform: drawn }, 20), expected.data);
    const mirrored = { ...drawn, mirrorResult: true };
    assert.deepEqual(transformClip({ ...clip, transform: mirrored }, 20), flipFloat(expected).data);
  }
  assert.equal(seen.size, 4);
});

Deno.test("colours change with their probability, ranges of 0 leave a change out, factors never fall below 0", () => {
  const frame = { width: 40, height: 30 }, plain = publishedFloatRecipe("sth", 20);
  const coloursOf = (colourJitter: typeof JITTER, seed: number) =>
    (sampleTransform(frame, { ...plain, colourJitter }, createPrng(seed)) as FloatTransform).colours;
  const seeds = Array.from({ length: 300 }, (_, seed) => seed);
  const changed = seeds.filter((seed) => coloursOf({ ...JITTER, probability: 0.3 }, seed).length > 0);
  assert.ok(changed.length > 60 && changed.length < 120, `${changed.length}`);
  for (const seed of seeds) {
    assert.deepEqual(coloursOf({ ...JITTER, probability: 0 }, seed), []);
    const only = coloursOf({ ...JITTER, brightness: 2, contrast: 0, hue: 0, saturation: 0 }, seed);
    assert.equal(only.map(({ kind }) => kind).join(), "brightness");
    assert.ok("factor" in only[0] && only[0].factor >= 0 && only[0].factor <= 3);
  }
  const orders = new Set(seeds.map((seed) => coloursOf(JITTER, seed).map(({ kind }) => kind).join()));
  assert.equal(orders.size, 24);
  // A recipe without jitter draws the same rest.
  const without = sampleTransform(frame, plain, createPrng(9)) as FloatTransform;
  const jittered = sampleTransform(frame, { ...plain, colourJitter: JITTER }, createPrng(9));
  assert.deepEqual({ ...jittered, colours: [] }, without);
});

Deno.test("a mirrored clip of Something-Something exchanges its label, one of Kinetics does not", () => {
  const sth = publishedFloatRecipe("sth", 20), kinetics = publishedFloatRecipe("kinetics", 20);
  const plain = centreTransform({ width: 40, height: 30 }, sth) as FloatTransform;
  for (const [label, mirrored] of [[86, 87], [94, 93], [166, 167], [5, 5]]) {
    assert.equal(transformedLabel(label, plain, sth), label);
    assert.equal(transformedLabel(label, { ...plain, mirrorResult: true }, sth), mirrored);
    assert.equal(transformedLabel(label, { ...plain, mirrorFrames: true }, kinetics), label);
  }
});

Deno.test("validation takes the centre, and a recipe with crop centre trains on it", () => {
  const frame = { width: 427, height: 240 }, recipe = publishedFloatRecipe("sth");
  const centre = centreTransform(frame, recipe) as FloatTransform;
  assert.deepEqual([centre.resizeTo, centre.outputAt], [{ width: 398, height: 224 }, { x: 87, y: 0 }]);
  const still = { ...recipe, crop: "centre", flipProbability: 0, greyProbability: 0 } as const;
  const undrawn = {
    uniform: () => assert.fail("nothing is to be drawn"),
    integer: () => assert.fail("nothing is to be drawn"),
    normal: () => assert.fail("nothing is to be drawn"),
  };
  assert.deepEqual(sampleTransform(frame, still, undrawn), centre);
  assert.deepEqual(testTransforms(frame, recipe, 1), [centre]);
  const wider = { ...recipe, float: { ...recipe.float, testSide: 256 } };
  assert.deepEqual(
    testTransforms(frame, wider, 3).map((one) => (one as FloatTransform).outputAt),
    [{ x: 0, y: 16 }, { x: 115, y: 16 }, { x: 231, y: 16 }],
  );
  assert.throws(() => testTransforms(frame, recipe, 5), /their number must be 1 or 3, current value is 5$/);
});
