/** RandAugment's operations against pictures recorded from Pillow, and its draws. */
import assert from "node:assert/strict";
import { affine, applyPixelOp } from "../../../data/transforms/pixel_ops.ts";
import {
  PUBLISHED_RAND_AUGMENT,
  RAND_AUGMENT_OPERATIONS,
  rotation,
  sampleRandAugment,
} from "../../../data/transforms/rand_augment.ts";
import { autoContrastBits, autoContrastTable, equalizeTable } from "../../../pixels/pixel_tables.ts";
import { createPrng } from "../../../lib/random.ts";
import { augmentCases } from "../../_util/augment_cases.ts";

const FRAME = { width: 40, height: 30 };

Deno.test("every recorded operation gives Pillow's picture, bit for bit", () => {
  const seen = new Set<string>();
  for (const { name, operation, source, op, filter, expected } of augmentCases()) {
    const actual = op.kind === "affine" ? affine(source, op.matrix, filter!) : applyPixelOp(source, op);
    assert.deepEqual(Uint8Array.from(actual.data), expected.data, name);
    seen.add(operation);
  }
  for (const { name } of RAND_AUGMENT_OPERATIONS) assert.ok(seen.has(name), `${name} is recorded`);
});

Deno.test("operations go by timm's names in timm's order, with its arguments at magnitude 7", () => {
  const at7 = (name: string, sign: 1 | -1 = 1) =>
    RAND_AUGMENT_OPERATIONS.find((one) => one.name === name)!.create({ share: 0.7, sign, frame: FRAME });
  assert.equal(RAND_AUGMENT_OPERATIONS.length, 15);
  assert.deepEqual(at7("PosterizeIncreasing"), { kind: "posterize", bits: 2 });
  assert.deepEqual(at7("SolarizeIncreasing"), { kind: "solarize", threshold: 77 });
  assert.deepEqual(at7("SolarizeAdd"), { kind: "solarizeAdd", amount: 77 });
  assert.deepEqual(at7("ColorIncreasing", -1), { kind: "color", factor: 1 - 0.7 * 0.9 });
  assert.deepEqual(at7("ShearY", -1), { kind: "affine", matrix: [1, 0, 0, -0.21, 1, 0] });
  assert.deepEqual(at7("TranslateXRel"), { kind: "affine", matrix: [1, 0, 0.7 * 0.45 * 40, 0, 1, 0] });
  assert.deepEqual(at7("TranslateYRel", -1), { kind: "affine", matrix: [1, 0, 0, 0, 1, -(0.7 * 0.45) * 30] });
  assert.deepEqual(at7("Rotate"), { kind: "affine", matrix: rotation(0.7 * 30, FRAME) });
  const signs = RAND_AUGMENT_OPERATIONS.filter(({ signed }) => signed).map(({ name }) => name);
  assert.equal(signs.length, 9);
});

Deno.test("a quarter turn of a square and half a turn of any picture move whole pixels", () => {
  const data = Uint8Array.from({ length: 5 * 5 * 3 }, (_, i) => i * 3);
  const square = { data, width: 5, height: 5 };
  const quarter = affine(square, rotation(90, square), "bicubic");
  for (let y = 0; y < 5; y++) {
    for (let x = 0; x < 5; x++) {
      const from = (x * 5 + 4 - y) * 3;
      assert.deepEqual([...quarter.data.subarray((y * 5 + x) * 3, (y * 5 + x) * 3 + 3)], [
        ...data.subarray(from, from + 3),
      ]);
    }
  }
  const half = affine({ data, width: 25, height: 1 }, rotation(180, { width: 25, height: 1 }), "bicubic");
  assert.deepEqual([...half.data.subarray(0, 3)], [...data.subarray(72)]);
  assert.deepEqual(affine(square, rotation(0, square), "bicubic").data, data);
});

Deno.test("four operations are drawn with replacement; each is carried out half of the time, magnitudes around 7", () => {
  const prng = createPrng(11);
  const counts = new Map<string, number>();
  let total = 0, repeated = 0;
  const amounts: number[] = [];
  const CLIPS = 4000;
  for (let clip = 0; clip < CLIPS; clip++) {
    const ops = sampleRandAugment(FRAME, PUBLISHED_RAND_AUGMENT, prng);
    total += ops.length;
    for (const op of ops) {
      counts.set(op.kind, (counts.get(op.kind) ?? 0) + 1);
      if (op.kind === "solarizeAdd") amounts.push(op.amount);
    }
    if (new Set(ops.map((op) => JSON.stringify(op))).size < ops.length) repeated++;
  }
  // Standard deviations: 63 of the total, 23 of an operation's count.
  assert.ok(Math.abs(total - 2 * CLIPS) < 320, `operations: ${total}`);
  for (const [kind, count] of counts) {
    const share = kind === "affine" ? 5 : 1;
    assert.ok(Math.abs(count / share - 2 * CLIPS / 15) < 115, `${kind}: ${count}`);
  }
  assert.equal(counts.size, 11);
  assert.ok(repeated > 0, "an operation can be drawn twice");
  const mean = amounts.reduce((a, b) => a + b, 0) / amounts.length;
  const spread = Math.sqrt(amounts.reduce((sum, amount) => sum + (amount - mean) ** 2, 0) / amounts.length);
  assert.ok(Math.abs(mean - 76.5) < 1.2 && Math.abs(spread - 5.5) < 1, `amounts: ${mean} ± ${spread}`);
});

Deno.test("draws come in order: operations, then apply, magnitude and sign of each; magnitudes are limited", () => {
  const log: string[] = [];
  const script = (uniforms: number[], integers: number[], normals: number[]) => ({
    uniform: () => (log.push("uniform"), uniforms.shift()!),
    integer: (n: number) => (log.push(`integer ${n}`), integers.shift()!),
    normal: () => (log.push("normal"), normals.shift()!),
  });
  const ops = sampleRandAugment(
    FRAME,
    PUBLISHED_RAND_AUGMENT,
    script([0.2, 0.5, 0.49, 0.5, 0.1, 0.49], [4, 0, 11, 7], [9, 0, -99]),
  );
  assert.deepEqual(ops, [
    { kind: "posterize", bits: 0 },
    { kind: "affine", matrix: [1, -0.21, 0, 0, 1, 0] },
    { kind: "color", factor: 1 },
  ]);
  assert.deepEqual(log, [
    ...new Array(4).fill("integer 15"),
    ...["uniform", "normal", "uniform", "uniform", "normal", "uniform", "uniform", "normal", "uniform"],
  ]);
});

Deno.test("the bits tell for all pairs of levels where AutoContrast comes out one below exact arithmetic", () => {
  const { starts, bits } = autoContrastBits();
  let lower = 0;
  for (let lowest = 0; lowest < 256; lowest++) {
    for (let highest = lowest + 1; highest < 256; highest++) {
      const table = autoContrastTable(lowest, highest), range = highest - lowest;
      for (let level = lowest; level <= highest; level++) {
        const scaled = 255 * (level - lowest), exact = Math.floor(scaled / range);
        let expected = exact;
        if (exact > 0 && scaled % range === 0) {
          const parts = [255, 85, 51, 17, 15, 5, 3].find((p) => range % p === 0) ?? 1;
          const bit = starts[range] + lowest * parts + (level - lowest) * parts / range - 1;
          expected -= (bits[bit >>> 5] >>> (bit & 31)) & 1;
        }
        if (table[level] !== expected) {
          assert.fail(`${lowest} to ${highest}, level ${level}: ${table[level]}`);
        }
        if (expected !== exact) lower++;
      }
    }
  }
  assert.ok(lower > 0, "f64 comes out lower somewhere");
});

Deno.test("pictures of one level stay as they are under AutoContrast and Equalize", () => {
  const flat = { data: new Uint8Array(30).fill(77), width: 5, height: 2 };
  assert.deepEqual(applyPixelOp(flat, { kind: "autoContrast" }).data, flat.data);
  assert.deepEqual(applyPixelOp(flat, { kind: "equalize" }).data, flat.data);
  const few = new Uint32Array(256);
  few[3] = 2, few[200] = 300;
  assert.deepEqual([...equalizeTable(few)], Array.from({ length: 256 }, (_, i) => i));
});
