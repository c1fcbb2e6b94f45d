import assert from "node:assert/strict";
import { batchesPerEpoch, epochOrder } from "../../../data/sampling/epoch_order.ts";

Deno.test("a shuffled epoch holds every clip once, differs between epochs and repeats for equal seeds", () => {
  const options = { clips: 101, seed: 5, shuffle: true, batchSize: 8 };
  const first = epochOrder({ ...options, epoch: 0 }).map((entry) => entry.clip);
  assert.deepEqual([...first].sort((a, b) => a - b), Array.from({ length: 101 }, (_, i) => i));
  assert.deepEqual(epochOrder({ ...options, epoch: 0 }).map((entry) => entry.clip), first);
  assert.notDeepEqual(epochOrder({ ...options, epoch: 1 }).map((entry) => entry.clip), first);
  assert.notDeepEqual(epochOrder({ ...options, epoch: 0, seed: 6 }).map((entry) => entry.clip), first);
});

Deno.test("an epoch can leave out its last short batch and go on from any batch", () => {
  const options = { clips: 21, seed: 1, epoch: 4, shuffle: true, batchSize: 8, dropLast: true, repeat: 2 };
  const whole = epochOrder(options);
  assert.equal(whole.length, 16);
  assert.deepEqual(whole[0], { clip: whole[0].clip, epoch: 4, repeat: 2, occurrence: 0 });
  assert.deepEqual(epochOrder({ ...options, start: 8 }), whole.slice(8));
  assert.deepEqual(epochOrder({ ...options, start: 16 }), []);
  assert.equal(epochOrder({ ...options, dropLast: false }).length, 21);
  assert.equal(batchesPerEpoch({ clips: 21, batchSize: 8, dropLast: true }), 2);
  assert.equal(batchesPerEpoch({ clips: 21, batchSize: 8 }), 3);
  assert.deepEqual(epochOrder({ ...options, shuffle: false }).map((entry) => entry.clip).slice(0, 3), [
    0,
    1,
    2,
  ]);
});
