/** Colour jitter: its operations against pictures recorded from Pillow 9.4, and its draws. */
import assert from "node:assert/strict";
import type { PixelOp } from "../../../pixels/clip_transform.ts";
import { createPrng } from "../../../lib/random.ts";
import {
  colourJitterOperations,
  type ColourJitterPolicy,
  PUBLISHED_COLOUR_JITTER,
  sampleColourJitter,
} from "../../../data/transforms/colour_jitter.ts";
import { applyPixelOp } from "../../../data/transforms/pixel_ops.ts";
import { sampleRandAugment } from "../../../data/transforms/rand_augment.ts";
import { mostPixelOps, publishedRecipe } from "../../../data/transforms/recipe.ts";
import { sampleTransform } from "../../../data/transforms/sample.ts";

// deno-fmt-ignore
const PICTURE = [225, 19, 155, 4, 19, 33, 123, 30, 185, 229, 73, 221, 209, 127, 159, 130, 83, 178, 146, 21, 119, 67, 203, 186, 47, 16, 12, 93, 107, 233, 137, 76, 67, 110, 142, 124, 20, 53, 252, 143, 59, 35, 48, 4, 43, 200, 218, 250, 54, 43, 239, 215, 205, 178, 39, 131, 157, 140, 204, 79];

/** Operations on the picture in their order, the hue by the factors 0.08, -0.1, 0.0371, 0.5 and -0.003 of the circle. */
// deno-fmt-ignore
const RECORDED: { ops: PixelOp[]; expected: number[] }[] = [
  {
    ops: [{ kind: "brightness", factor: 1.3 }, { kind: "contrast", factor: 0.7 }, { kind: "color", factor: 1.15 }, { kind: "hue", shift: 20 }],
    expected: [232, 46, 103, 41, 43, 71, 222, 59, 212, 227, 97, 167, 224, 151, 151, 206, 110, 210, 181, 51, 94, 87, 174, 223, 85, 68, 48, 156, 120, 229, 170, 140, 96, 137, 169, 166, 99, 52, 236, 177, 141, 65, 86, 40, 58, 218, 218, 218, 159, 76, 236, 209, 218, 198, 64, 105, 188, 108, 222, 99],
  },
  {
    ops: [{ kind: "hue", shift: 231 }, { kind: "color", factor: 0.8 }, { kind: "brightness", factor: 0.6 }, { kind: "contrast", factor: 1.4 }],
    expected: [100, 0, 138, 0, 0, 0, 0, 0, 104, 86, 40, 145, 139, 83, 138, 44, 50, 109, 48, 0, 79, 43, 134, 69, 8, 0, 0, 62, 130, 156, 79, 32, 53, 71, 89, 68, 11, 128, 166, 79, 8, 33, 0, 0, 6, 145, 179, 179, 23, 93, 153, 149, 128, 124, 18, 96, 67, 141, 134, 57],
  },
  {
    ops: [{ kind: "contrast", factor: 1.21 }, { kind: "hue", shift: 9 }, { kind: "brightness", factor: 0.93 }, { kind: "color", factor: 1.02 }],
    expected: [234, 0, 108, 3, 0, 15, 153, 11, 188, 238, 60, 194, 214, 121, 138, 147, 72, 180, 144, 0, 85, 52, 194, 208, 31, 5, 0, 97, 82, 239, 132, 78, 52, 101, 138, 124, 11, 0, 241, 140, 68, 16, 32, 0, 20, 202, 216, 237, 80, 25, 240, 220, 216, 178, 20, 100, 156, 105, 208, 66],
  },
  {
    ops: [{ kind: "hue", shift: 127 }, { kind: "hue", shift: 0 }],
    expected: [19, 225, 73, 33, 17, 4, 103, 185, 30, 75, 229, 75, 127, 209, 171, 134, 178, 83, 21, 146, 42, 203, 68, 87, 12, 44, 47, 233, 212, 93, 67, 131, 137, 142, 110, 130, 252, 206, 22, 35, 121, 143, 4, 48, 6, 250, 228, 200, 239, 237, 43, 180, 190, 215, 157, 59, 39, 141, 79, 204],
  },
];

Deno.test("recorded sequences of operations give Pillow's pictures, bit for bit", () => {
  for (const { ops, expected } of RECORDED) {
    let image = { data: Uint8Array.from(PICTURE), width: 5, height: 4 };
    for (const op of ops) image = { ...image, data: Uint8Array.from(applyPixelOp(image, op).data) };
    assert.deepEqual([...image.data], expected, JSON.stringify(ops));
  }
});

/** A generator that gives the numbers of a script and notes what it is asked for. */
function scripted(uniforms: number[], integers: number[], log: string[]) {
  return {
    uniform: () => (log.push("uniform"), uniforms.shift()!),
    integer: (n: number) => (log.push(`integer ${n}`), integers.shift()!),
  };
}

Deno.test("draws come in order: apply where that is not certain, order, factors", () => {
  const log: string[] = [];
  const half = { ...PUBLISHED_COLOUR_JITTER, probability: 0.5 };
  // Exchanges 3 and 0, 2 and 1, and leaves 1: hue, saturation, contrast, brightness.
  const ops = sampleColourJitter(half, scripted([0.49, 0, 0.5, 1, 0], [0, 1, 1], log));
  assert.deepEqual(ops, [
    { kind: "hue", shift: 231 },
    { kind: "color", factor: 1.2 },
    { kind: "contrast", factor: 1 },
    { kind: "brightness", factor: 0.6 },
  ]);
  const order = ["integer 4", "integer 3", "integer 2"], factors = new Array(4).fill("uniform");
  assert.deepEqual(log, ["uniform", ...order, ...factors]);
  assert.deepEqual(sampleColourJitter(half, scripted([0.5], [], [])), []);
  log.length = 0;
  sampleColourJitter(PUBLISHED_COLOUR_JITTER, scripted([0, 0, 0, 0], [0, 0, 0], log));
  assert.deepEqual(log, [...order, ...factors]);
});

Deno.test("operations of range 0 are left out; what changes nothing draws nothing", () => {
  const none: ColourJitterPolicy = { probability: 1, brightness: 0, contrast: 0, saturation: 0, hue: 0 };
  const silent = { uniform: () => assert.fail("a draw"), integer: () => assert.fail("a draw") };
  for (const policy of [none, { ...PUBLISHED_COLOUR_JITTER, probability: 0 }]) {
    assert.equal(colourJitterOperations(policy), 0);
    assert.deepEqual(sampleColourJitter(policy, silent), []);
  }
  const two = { ...none, contrast: 3, hue: 0.5 };
  assert.equal(colourJitterOperations(two), 2);
  const log: string[] = [];
  // Factors do not go below 0.
  assert.deepEqual(sampleColourJitter(two, scripted([0, 1], [1], log)), [
    { kind: "contrast", factor: 0 },
    { kind: "hue", shift: 127 },
  ]);
  assert.deepEqual(log, ["integer 2", "uniform", "uniform"]);
});

Deno.test("orders are equally frequent, and factors fill their ranges", () => {
  const prng = createPrng(5), orders = new Map<string, number>(), factors: number[] = [];
  const turns: number[] = [];
  const CLIPS = 4800;
  for (let clip = 0; clip < CLIPS; clip++) {
    const ops = sampleColourJitter(PUBLISHED_COLOUR_JITTER, prng);
    const order = ops.map(({ kind }) => kind).join();
    orders.set(order, (orders.get(order) ?? 0) + 1);
    for (const op of ops) {
      if (op.kind === "brightness") factors.push(op.factor);
      if (op.kind === "hue") turns.push(op.shift > 127 ? op.shift - 256 : op.shift);
    }
  }
  assert.equal(orders.size, 24);
  // 200 each, with a standard deviation of 14.
  for (const [order, count] of orders) assert.ok(Math.abs(count - 200) < 75, `${order}: ${count}`);
  assert.ok(Math.min(...factors) >= 0.6 && Math.min(...factors) < 0.61);
  assert.ok(Math.max(...factors) < 1.4 && Math.max(...factors) > 1.39);
  assert.deepEqual([Math.min(...turns), Math.max(...turns)], [-25, 25]);
});

Deno.test("colour jitter follows RandAugment's operations and comes before the crop's draws", () => {
  const frame = { width: 340, height: 256 };
  const plain = publishedRecipe("sth"), colourJitter = PUBLISHED_COLOUR_JITTER;
  const jittered = { ...plain, colourJitter };
  for (let seed = 0; seed < 20; seed++) {
    const prng = createPrng(seed);
    const first = sampleRandAugment(frame, plain.randAugment!, prng);
    const second = sampleColourJitter(colourJitter, prng);
    const rest = sampleTransform(frame, { ...plain, randAugment: null }, prng);
    const actual = sampleTransform(frame, jittered, createPrng(seed));
    assert.deepEqual(actual, { ...rest, pixelOps: [...first, ...second] });
    assert.deepEqual(sampleTransform(frame, jittered, createPrng(seed)), actual);
    // A policy that changes nothing leaves the draws of the others as they are.
    const idle = { ...plain, colourJitter: { ...colourJitter, probability: 0 } };
    assert.deepEqual(
      sampleTransform(frame, idle, createPrng(seed)),
      sampleTransform(frame, plain, createPrng(seed)),
    );
  }
  assert.deepEqual([plain, jittered, { ...jittered, randAugment: null }].map(mostPixelOps), [4, 8, 4]);
});
