/** Mixup and CutMix against recorded batches and draws, and their random numbers. */
import assert from "node:assert/strict";
import { mixClips, mixDraws, mixTargets, PUBLISHED_MIX, sampleMix } from "../../../data/transforms/mixup.ts";
import { createPrng } from "../../../lib/random.ts";
import { fixtureRows, FixtureTensors } from "../../_util/fixture_tensors.ts";

interface Draw {
  kind: "uniform" | "integer" | "beta";
  a?: number;
  high_exclusive?: number;
  values: number[];
}

interface Row {
  name: string;
  mixup_alpha: number;
  cutmix_alpha: number;
  switch_prob: number;
  label_smoothing: number;
  num_classes: number;
  draws: Draw[];
}

const tensors = new FixtureTensors("transforms-mixup.safetensors");
const labels = [...new BigInt64Array(tensors.get("labels").bytes.buffer)].map(Number);
const SHAPE = { clips: 4, width: 13, height: 10 };

/** Recorded draws in their order; another kind or range fails. */
function replay(draws: Draw[]) {
  const left = [...draws];
  const next = (kind: Draw["kind"]) => {
    const draw = left.shift();
    assert.equal(draw?.kind, kind);
    return draw!;
  };
  return {
    left,
    uniform: () => next("uniform").values[0],
    integer(n: number) {
      const draw = next("integer");
      assert.equal(draw.high_exclusive, n);
      return draw.values[0];
    },
    beta(alpha: number) {
      const draw = next("beta");
      assert.equal(draw.a, alpha);
      return draw.values[0];
    },
  };
}

for (const row of fixtureRows<Row>("transforms-mixup.json")) {
  Deno.test(`the recorded batch is mixed alike, draw by draw: ${row.name}`, () => {
    // The first draw decides in the original whether a batch is mixed at all; its probability is 1.
    const draws = replay(row.draws.slice(1));
    const policy = {
      mixupAlpha: row.mixup_alpha,
      cutMixAlpha: row.cutmix_alpha,
      cutMixProbability: row.switch_prob,
    };
    const mix = sampleMix(SHAPE, policy, draws);
    assert.equal(draws.left.length, 0);
    assert.deepEqual(mixClips(tensors.floats("video"), mix, SHAPE), tensors.floats(`${row.name}.video`));
    const targets = mixTargets(labels, mix.weight, { classes: 6, smoothing: row.label_smoothing });
    const recorded = tensors.floats(`${row.name}.targets`);
    assert.equal(targets.length, recorded.length);
    targets.forEach((value, i) =>
      assert.ok(Math.abs(value - recorded[i]) <= 1.2e-7, `target ${i}: ${value}`)
    );
  });
}

Deno.test("drawn weights follow their beta distributions and both kinds come up", () => {
  const draws = mixDraws(createPrng(5));
  for (const alpha of [0.8, 1]) {
    const values = Array.from({ length: 20000 }, () => draws.beta(alpha));
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
    assert.ok(Math.abs(mean - 0.5) < 0.012, `mean ${mean}`);
    assert.ok(Math.abs(variance - 1 / (4 * (2 * alpha + 1))) < 0.003, `variance ${variance}`);
  }
  const kinds = Array.from(
    { length: 2000 },
    () => sampleMix({ width: 224, height: 224 }, PUBLISHED_MIX, draws),
  );
  const cuts = kinds.filter((mix) => mix.kind === "cutMix");
  assert.ok(Math.abs(cuts.length - 1000) < 115, `${cuts.length} of 2000 are cut`);
  for (const { box, weight } of cuts) {
    assert.ok(box.x >= 0 && box.y >= 0 && box.x + box.width <= 224 && box.y + box.height <= 224);
    assert.equal(weight, 1 - box.width * box.height / 224 ** 2);
  }
});
