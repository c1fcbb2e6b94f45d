import assert from "node:assert/strict";
import {
  averageViews,
  createClassificationMetrics,
  rankOf,
  smoothedCrossEntropy,
  softmax,
  topClasses,
} from "../../../train/tasks/class_metrics.ts";

const close = (got: number, expected: number, tolerance = 1e-12) =>
  assert.ok(Math.abs(got - expected) <= tolerance, `${got} is not ${expected}`);

Deno.test("topClasses orders by value and breaks ties by the lower class index", () => {
  assert.deepEqual(topClasses([0.1, 0.7, 0.2], 2), [1, 2]);
  assert.deepEqual(topClasses([1, 2, 2, 1, 2, 0, 2], 5), [1, 2, 4, 6, 0]);
  assert.deepEqual(topClasses(new Float32Array(7), 5), [0, 1, 2, 3, 4]);
});

Deno.test("topClasses returns every class when there are fewer than k, and ranks NaN last", () => {
  assert.deepEqual(topClasses([1, 3, 2], 5), [1, 2, 0]);
  assert.deepEqual(topClasses([NaN, -3, NaN, -1], 4), [3, 1, 0, 2]);
});

Deno.test("rankOf agrees with the order of topClasses, ties and NaN included", () => {
  for (const values of [[0.1, 0.7, 0.2], [1, 2, 2, 1, 2, 0, 2], [NaN, -3, NaN, -1, -Infinity]]) {
    const order = topClasses(values, values.length);
    assert.deepEqual(
      values.map((_, label) => rankOf(values, label)),
      values.map((_, k) => order.indexOf(k) + 1),
    );
  }
});

Deno.test("softmax survives large logits and sums to 1", () => {
  const p = softmax([1000, 1000 + Math.log(3), -1e30]);
  close(p[0], 0.25);
  close(p[1], 0.75);
  assert.equal(p[2], 0);
});

Deno.test("averageViews averages probabilities, which can differ from averaging logits", () => {
  // One very sure view against two mildly opposed ones: mean logits choose class 0, mean probabilities class 1.
  const views = [[20, 0], [0, 2], [0, 2]];
  const mean = averageViews(views);
  const sure = 1 / (1 + Math.exp(-20)), mild = 1 / (1 + Math.exp(2));
  close(mean[0], (sure + 2 * mild) / 3);
  assert.deepEqual(topClasses(mean, 1), [1]);
  assert.throws(() => averageViews([]), /at least 1/);
  assert.throws(() => averageViews([[1, 2], [1]]), /every view must have 2 classes/);
});

Deno.test("smoothedCrossEntropy spreads epsilon over all classes", () => {
  const logits = [1, 2, 0.5];
  const logProbabilities = [...softmax(logits)].map(Math.log);
  const mean = (logProbabilities[0] + logProbabilities[1] + logProbabilities[2]) / 3;
  close(smoothedCrossEntropy(logits, 2), -logProbabilities[2]);
  close(smoothedCrossEntropy(logits, 2, 0.1), -0.9 * logProbabilities[2] - 0.1 * mean);
});

Deno.test("an evaluation counts top-1, top-5, the confusion matrix and per-class accuracy", () => {
  const metrics = createClassificationMetrics(6);
  assert.deepEqual([metrics.clips, metrics.top1, metrics.top5, metrics.meanClassAccuracy], [0, 0, 0, 0]);
  assert.deepEqual(metrics.add([9, 8, 7, 6, 5, 4], 0), [0, 1, 2, 3, 4]); // right
  metrics.add([9, 8, 7, 6, 5, 4], 1); // second
  metrics.add([9, 8, 7, 6, 5, 4], 5); // sixth: outside the top five
  metrics.add([0, 8, 1, 1, 1, 1], 1); // right
  metrics.add([0, 0, 0, 7, 0, 0], 1); // wrong; class 1 is third among the tied rest
  assert.equal(metrics.clips, 5);
  close(metrics.top1, 2 / 5);
  close(metrics.top5, 4 / 5);
  close(metrics.meanClassAccuracy, (1 + 1 / 3 + 0) / 3);
  assert.deepEqual(JSON.parse(JSON.stringify(metrics.confusion)), {
    classes: 6,
    cells: [[0, 0, 1], [1, 0, 1], [1, 1, 1], [1, 3, 1], [5, 0, 1]],
  });
  const [zero, one, two, , , five] = metrics.perClass();
  assert.deepEqual(zero, { clips: 1, top1: 1, top5: 1, confusedWith: null });
  assert.deepEqual(one, { clips: 3, top1: 1 / 3, top5: 1, confusedWith: 0 });
  assert.deepEqual(two, { clips: 0, top1: 0, top5: 0, confusedWith: null });
  assert.deepEqual(five, { clips: 1, top1: 0, top5: 0, confusedWith: 0 });
});

Deno.test("with five classes or fewer every clip is in the top five", () => {
  const metrics = createClassificationMetrics(4);
  metrics.add([1, 0, 0, 0], 3);
  assert.deepEqual([metrics.top1, metrics.top5], [0, 1]);
});

Deno.test("a label outside the classes is refused", () => {
  const metrics = createClassificationMetrics(3);
  for (const label of [-1, 3, 0.5]) {
    assert.throws(() => metrics.add([1, 2, 3], label), /^RangeError: Cannot count a clip/);
  }
  assert.throws(() => metrics.add([1, 2], 0), /Cannot count a clip/);
});
