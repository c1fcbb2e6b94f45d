/** Random erasing: its draws and its noise. */
import assert from "node:assert/strict";
import { noiseTable } from "../../../pixels/noise.ts";
import { createPrng } from "../../../lib/random.ts";
import { centreTransform, sampleTransform } from "../../../data/transforms/sample.ts";
import { transformClip } from "../../../data/transforms/apply.ts";
import type { TransformRecipe } from "../../../data/transforms/recipe.ts";

/** A recipe that does nothing but erase. */
function erasingRecipe(size: number, eraseProbability: number): TransformRecipe {
  return {
    randAugment: null,
    colourJitter: null,
    resize: { kind: "none" },
    crop: "none",
    size,
    flipProbability: 0,
    mirrorPairs: [],
    greyProbability: 0,
    eraseProbability,
  };
}

Deno.test("erasing is drawn last: area, shape, place, noise; a quarter of the clips has it", () => {
  const erasing = erasingRecipe(32, 0.25);
  const draw = (uniforms: number[], integers: number[]) =>
    sampleTransform({ width: 32, height: 32 }, erasing, {
      uniform: () => uniforms.shift()!,
      integer: () => integers.shift()!,
      normal: () => assert.fail("no normal number is drawn"),
    }).erase;
  // A fifth of 1024 pixels and shape 1, then the longest shape of the largest area, which does not fit.
  const area = (share: number) => (share - 0.02) / (1 / 3 - 0.02);
  assert.deepEqual(draw([0.24, area(0.2), 0.5], [9, 3, 77]), {
    box: { x: 3, y: 9, width: 14, height: 14 },
    seed: 77,
  });
  assert.deepEqual(draw([0, 0.9999, 0.9999, area(0.1), 0.9], [1, 2, 3]), {
    box: { x: 2, y: 1, width: 6, height: 16 },
    seed: 3,
  });
  assert.equal(draw([0.25], []), undefined);
  assert.equal(draw([0, ...new Array(20).fill(0.9999)], []), undefined);
  const prng = createPrng(3);
  let erased = 0;
  for (let i = 0; i < 4000; i++) {
    const { erase } = sampleTransform({ width: 32, height: 32 }, erasing, prng);
    if (!erase) continue;
    erased++;
    const { width, height } = erase.box, share = width * height / 1024;
    assert.ok(share > 0.015 && share < 0.36 && height / width < 4.1 && width / height < 4.1);
  }
  assert.ok(Math.abs(erased - 1000) < 120, `${erased} of 4000`);
});

Deno.test("the erased part is unit noise of its own in every frame and channel, the rest is untouched", () => {
  const frames = new Uint8Array(4 * 64 * 64 * 3).fill(100);
  const plain = centreTransform({ width: 64, height: 64 }, erasingRecipe(64, 0));
  const box = { x: 5, y: 9, width: 50, height: 40 };
  const at = (erase?: { box: typeof box; seed: number }) =>
    transformClip({ frames, width: 64, height: 64, transform: { ...plain, ...erase && { erase } } }, 64);
  const clean = at(), erased = at({ box, seed: 12 }), other = at({ box, seed: 13 });
  assert.deepEqual(at({ box, seed: 12 }), erased);
  const planes: number[][] = [];
  let same = 0;
  for (let plane = 0; plane < 12; plane++) {
    const values: number[] = [];
    for (let y = 0; y < 64; y++) {
      for (let x = 0; x < 64; x++) {
        const i = (plane * 64 + y) * 64 + x;
        if (x >= 5 && x < 55 && y >= 9 && y < 49) {
          values.push(erased[i]);
          if (erased[i] === other[i]) same++;
        } else assert.equal(erased[i], clean[i]);
      }
    }
    planes.push(values);
  }
  assert.ok(same < 10, `${same} values do not depend on the seed`);
  const all = planes.flat(), mean = all.reduce((a, b) => a + b, 0) / all.length;
  const variance = all.reduce((sum, value) => sum + value * value, 0) / all.length;
  assert.ok(Math.abs(mean) < 0.03 && Math.abs(variance - 1) < 0.04, `mean ${mean}, variance ${variance}`);
  for (let plane = 1; plane < 12; plane++) {
    const product = planes[plane].reduce((sum, value, i) => sum + value * planes[plane - 1][i], 0) / 2000;
    assert.ok(Math.abs(product) < 0.1, `planes ${plane - 1} and ${plane}: correlation ${product}`);
  }
  const table = noiseTable();
  assert.ok(Math.abs(table[65535] - 4.3255) < 0.01 && Math.abs(table[55138] - 1) < 1e-3);
  assert.ok(table.every((value, i) => value === -table[65535 - i] && (i === 0 || value > table[i - 1])));
});
