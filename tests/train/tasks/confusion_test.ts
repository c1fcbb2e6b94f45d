import assert from "node:assert/strict";
import { Confusion } from "../../../train/tasks/confusion.ts";

Deno.test("a confusion matrix holds the counts above 0, in order, whatever the order they came in", () => {
  const confusion = new Confusion(5000);
  for (const [truth, predicted] of [[4999, 0], [3, 4], [3, 2], [3, 3], [3, 4], [3, 2], [4999, 4999]]) {
    confusion.add(truth, predicted);
  }
  assert.deepEqual(confusion.cells(), [[3, 2, 2], [3, 3, 1], [3, 4, 2], [4999, 0, 1], [4999, 4999, 1]]);
  assert.deepEqual([confusion.count(3, 4), confusion.count(4, 3), confusion.clips(3)], [2, 0, 5]);
  assert.equal(confusion.right(), 2);
  assert.deepEqual([3, 4999, 0].map((truth) => confusion.mistakenFor(truth)), [2, 0, null]);
  assert.ok(JSON.stringify(confusion).length < 120);
});
