/** How batches are cut, and how the losses of their parts come back. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { LOSS_LOG_SIZE, LossLog } from "../../../train/runtime/loss_log.ts";
import { microBatches, microSizes, pickClips, rankPlaces } from "../../../train/runtime/micro_batches.ts";

Deno.test("a batch is cut into parts that are as equal as can be", () => {
  assert.deepEqual(microBatches(5, { microClips: 2 }), [[0, 1], [2, 3], [4]]);
  assert.deepEqual(microBatches(6, { microClips: 5 }), [[0, 1, 2], [3, 4, 5]]);
  assert.deepEqual(microBatches(4, { microClips: 4 }), [[0, 1, 2, 3]]);
  assert.deepEqual(microBatches(4, {}), [[0, 1, 2, 3]]);
  assert.deepEqual(microSizes([10, 3], { microClips: 4 }), [4, 3]);
});

Deno.test("parts of pairs hold a clip and the one in its place of the reversed batch", () => {
  assert.deepEqual(microBatches(8, { microClips: 4, pairs: true }), [[0, 1, 6, 7], [2, 3, 4, 5]]);
  assert.deepEqual(microBatches(7, { microClips: 4, pairs: true }), [[0, 1, 5, 6], [2, 3, 4]]);
  assert.deepEqual(microBatches(4, { microClips: 1, pairs: true }), [[0, 3], [1, 2]]);
});

Deno.test("every clip is one rank's, shares differ by a clip or a pair, and pairs stay pairs", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 70 }),
      fc.integer({ min: 1, max: 9 }),
      fc.boolean(),
      (n, ranks, pairs) => {
        const shares = Array.from({ length: ranks }, (_, rank) => rankPlaces(n, { rank, ranks, pairs }));
        assert.deepEqual(shares.flat().sort((a, b) => a - b), [...Array(n).keys()]);
        const sizes = shares.map(({ length }) => length);
        assert.ok(Math.max(...sizes) - Math.min(...sizes) <= (pairs ? 3 : 1));
        for (const share of shares) {
          assert.deepEqual(share, share.toSorted((a, b) => a - b));
          if (pairs) share.forEach((place, i) => assert.equal(share[share.length - 1 - i], n - 1 - place));
        }
      },
    ),
  );
});

Deno.test("every clip is in one part, no part is too large, and pairs stay pairs", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 70 }),
      fc.integer({ min: 1, max: 40 }),
      fc.boolean(),
      (n, most, pairs) => {
        const parts = microBatches(n, { microClips: most, pairs });
        assert.deepEqual(parts.flat().sort((a, b) => a - b), [...Array(n).keys()]);
        for (const part of parts) {
          assert.ok(part.length > 0 && part.length <= Math.max(most, pairs ? 2 : 1));
          if (pairs) part.forEach((place, i) => assert.equal(part[part.length - 1 - i], n - 1 - place));
        }
      },
    ),
    { seed: 1, numRuns: 300 },
  );
});

Deno.test("what a batch brings goes with its clips", () => {
  const inputs = { labels: Uint32Array.of(5, 6, 7), targets: Float32Array.of(0, 1, 2, 3, 4, 5) };
  assert.deepEqual(pickClips(inputs, [0, 2], 3), {
    labels: Uint32Array.of(5, 7),
    targets: Float32Array.of(0, 1, 4, 5),
  });
});

Deno.test("the loss of a batch is the mean over its clips, whatever parts it came in; the log keeps the last", () => {
  const log = new LossLog(2), values = new Float32Array(2 * LOSS_LOG_SIZE);
  const count = LOSS_LOG_SIZE + 3;
  for (let batch = 0; batch < count; batch++) {
    log.add([0.75, 0.25]).forEach((place, part) => values[place] = batch + 4 * part);
  }
  assert.equal(log.waiting, LOSS_LOG_SIZE);
  assert.deepEqual(log.take(values), Array.from({ length: LOSS_LOG_SIZE }, (_, i) => i + 3 + 1));
  const [place] = log.add([1]);
  values[place] = 9;
  assert.deepEqual(log.take(values), [9]);
});
