/** Orders that draw classes evenly, weights of classes and few-shot selections, as pure functions. */
import assert from "node:assert/strict";
import { classWeights, evenlyDrawn } from "../../../data/sampling/class_balance.ts";
import { selectShots } from "../../../data/sampling/few_shot.ts";
import { mixTargets, weightTargets } from "../../../data/transforms/mixup.ts";
import { epochOrder } from "../../../data/sampling/epoch_order.ts";
import { createPrng } from "../../../lib/random.ts";

/** Labels of a list with so many clips of each class, mixed up. */
function labelsOf(counts: Record<number, number>): number[] {
  const labels = Object.entries(counts).flatMap(([label, count]) =>
    new Array<number>(count).fill(Number(label))
  );
  const prng = createPrng(labels.length);
  return labels.map((label) => ({ label, at: prng.uniform() })).sort((a, b) => a.at - b.at).map((one) =>
    one.label
  );
}

function tally(values: Iterable<number>, size: number): number[] {
  const counts = new Array<number>(size).fill(0);
  for (const value of values) counts[value]++;
  return counts;
}

const spread = (counts: number[]) => Math.max(...counts) - Math.min(...counts);

for (
  const counts of [{ 0: 97, 3: 2, 4: 1 }, { 0: 5, 1: 5 }, { 2: 7 }, {
    0: 1,
    1: 60,
    2: 9,
    7: 31,
    8: 2,
  }] as Record<
    number,
    number
  >[]
) {
  const labels = labelsOf(counts), classes = Object.keys(counts).map(Number);
  Deno.test(`an epoch draws classes of ${Object.values(counts).join(", ")} clips evenly, and their clips too`, () => {
    const whole: number[] = [];
    for (let epoch = 0; epoch < 40; epoch++) {
      const drawn = [...evenlyDrawn(labels, { seed: 3, epoch, length: labels.length })];
      whole.push(...drawn);
      // Within an epoch, and over all epochs so far.
      for (const some of [drawn, whole]) {
        assert.ok(spread(classes.map((c) => some.filter((clip) => labels[clip] === c).length)) <= 1);
        const times = tally(some, labels.length);
        for (const c of classes) {
          assert.ok(spread(times.filter((_, clip) => labels[clip] === c)) <= 1, `class ${c}`);
        }
      }
    }
    // 40 epochs show every clip of the largest class as long as it fills less than 40 times its share.
    assert.ok(tally(whole, labels.length).every((times) => times > 0));
  });
}

Deno.test("the even order depends on seed and epoch alone and goes on from any batch", () => {
  const labels = labelsOf({ 0: 20, 1: 3, 2: 1 });
  const options = { clips: 24, seed: 9, epoch: 4, shuffle: true, batchSize: 5, evenClasses: labels };
  const whole = epochOrder(options);
  assert.equal(whole.length, 24);
  assert.deepEqual(epochOrder(options), whole);
  assert.deepEqual(epochOrder({ ...options, start: 15 }), whole.slice(15));
  assert.notDeepEqual(epochOrder({ ...options, epoch: 5 }), whole);
  assert.notDeepEqual(epochOrder({ ...options, seed: 8 }), whole);
  const firstHalf = tally(whole.slice(0, 12).map(({ clip }) => labels[clip]), 3);
  assert.ok(firstHalf.every((count) => count > 0 && count < 12), `classes come mixed: ${firstHalf}`);
});

Deno.test("every time a clip comes again in an epoch it has the next occurrence number", () => {
  const labels = labelsOf({ 0: 20, 1: 1 });
  const orders = [
    epochOrder({ clips: 21, seed: 1, epoch: 0, shuffle: true, batchSize: 4, evenClasses: labels }),
    epochOrder({ clips: 7, seed: 1, epoch: 2, shuffle: true, batchSize: 4, rounds: 5 }),
  ];
  for (const order of orders) {
    const seen = new Map<number, number>();
    for (const { clip, occurrence } of order) {
      assert.equal(occurrence, seen.get(clip) ?? 0);
      seen.set(clip, occurrence! + 1);
    }
  }
  assert.deepEqual(tally(orders[1].map(({ clip }) => clip), 7), new Array(7).fill(5));
});

Deno.test("weights of classes are clips / (classes x clips of the class), and 0 without clips", () => {
  assert.deepEqual([...classWeights([0, 0, 0, 2], { classes: 3 })], [4 / 9, 0, 4 / 3]);
});

Deno.test("mirrored clips count for the class that they show", () => {
  const labels = [0, 0, 0, 0, 1, 1, 2];
  const weights = classWeights(labels, { classes: 4, mirrorPairs: [[0, 1], [2, 3], [3, 4]], mirrored: 0.5 });
  assert.deepEqual([...weights], [7 / 12, 7 / 12, 7 / 2, 7 / 2]);
});

/** Logits, and per label smoothing the loss and the first gradients of torch 1.13's CrossEntropyLoss in double precision. */
const TORCH = {
  logits: [
    [-4.621, -0.747, -2.122, 1.999, -1.768],
    [-2.551, -1.246, -1.733, -2.591, 3.047],
    [0.647, 4.035, 2.271, -2.454, 1.04],
    [-1.906, -0.183, 1.113, -0.019, -2.435],
    [-2.531, -2.239, -3.493, 2.082, 1.308],
    [0.296, -2.292, 3.746, -0.62, 0.48],
  ],
  labels: [0, 0, 0, 1, 4, 0],
  losses: [
    [0, 2.618739318685325, [-0.083232760836, 0.004841010876, 0.001223999233, 0.075423851472]],
    [0.1, 2.6419071808119585, [-0.076558048369, -0.001438374921, 0.001321919172, 0.081457759589]],
    [0.35, 2.6998268361285427, [-0.059871267203, -0.017136839413, 0.001566719018, 0.096542529884]],
  ] as [number, number, number[]][],
};

for (const [smoothing, expected, gradients] of TORCH.losses) {
  Deno.test(`weighted targets make torch's weighted loss with label smoothing ${smoothing}`, () => {
    const { logits, labels } = TORCH, classes = 5;
    const weights = classWeights(labels, { classes });
    const targets = weightTargets(mixTargets(labels, 1, { classes, smoothing }), labels, weights);
    const shares = logits.map((row) => {
      const sum = row.reduce((a, b) => a + Math.exp(b), 0);
      return row.map((logit) => Math.exp(logit) / sum);
    });
    // What gpu/ops/cross_entropy.ts computes: the mean over the batch of −Σ targets · log p, and its gradient.
    let loss = 0;
    shares.forEach((row, b) =>
      row.forEach((p, k) => loss -= targets[b * classes + k] * Math.log(p) / labels.length)
    );
    assert.ok(Math.abs(loss - expected) < 1e-6, `${loss}`);
    const mass = targets.subarray(0, classes).reduce((a, b) => a + b, 0);
    gradients.forEach((gradient, k) => {
      const got = (mass * shares[0][k] - targets[k]) / labels.length;
      assert.ok(Math.abs(got - gradient) < 1e-7, `gradient ${k}: ${got}`);
    });
  });
}

Deno.test("equal weights leave targets as they are, mixed ones too", () => {
  const labels = [0, 1, 2, 1], targets = mixTargets(labels, 0.3, { classes: 3, smoothing: 0.1 });
  assert.deepEqual(weightTargets(targets.slice(), labels, [2, 2, 2]), targets);
});

Deno.test("the weights of mixed targets average to one over the batch for the classes mixed", () => {
  const labels = [0, 1, 2, 1], weights = [0.5, 3, 1];
  const targets = weightTargets(mixTargets(labels, 0.3, { classes: 3, smoothing: 0 }), labels, weights);
  const mean = (0.5 + 3 + 1 + 3) / 4;
  const expected = [0.3 * 0.5, 0.7 * 3, 0, 0, 0.3 * 3, 0.7, 0, 0.7 * 3, 0.3, 0.7 * 0.5, 0.3 * 3, 0]
    .map((value) => value / mean);
  targets.forEach((value, i) => assert.ok(Math.abs(value - expected[i]) < 1e-6, `${i}: ${value}`));
  assert.ok(Math.abs(targets.reduce((a, b) => a + b, 0) - labels.length) < 1e-5);
});

Deno.test("few shots take so many clips of each class by seed, all of a smaller one, more on top of fewer", () => {
  const labels = labelsOf({ 0: 30, 1: 4, 5: 12 });
  const four = selectShots(labels, { shots: 4, seed: 1 }), eight = selectShots(labels, { shots: 8, seed: 1 });
  assert.deepEqual(tally(four.map((clip) => labels[clip]), 6), [4, 4, 0, 0, 0, 4]);
  assert.deepEqual(tally(eight.map((clip) => labels[clip]), 6), [8, 4, 0, 0, 0, 8]);
  assert.ok(four.every((clip) => eight.includes(clip)));
  assert.ok(four.every((clip, i) => i === 0 || four[i - 1] < clip), "in the order of the list");
  assert.deepEqual(selectShots(labels, { shots: 4, seed: 1 }), four);
  assert.notDeepEqual(selectShots(labels, { shots: 4, seed: 2 }), four);
  assert.deepEqual(selectShots(labels, { shots: 99, seed: 2 }), labels.map((_, clip) => clip));
});

Deno.test("few shots are drawn uniformly", () => {
  const labels = new Array<number>(10).fill(3);
  const chosen = Array.from({ length: 2000 }, (_, seed) => selectShots(labels, { shots: 3, seed })).flat();
  // 600 each expected, standard deviation 20.
  assert.ok(tally(chosen, 10).every((times) => Math.abs(times - 600) < 100), `${tally(chosen, 10)}`);
});
