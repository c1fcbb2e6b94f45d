/** Damaged checkpoints from fixed seeds; tests/full has the long runs. */
import assert from "node:assert/strict";
import {
  damagedFiles,
  damagedPickles,
  fuzz,
  generatedPickles,
  realFiles,
} from "../../_util/checkpoint_fuzz.ts";

Deno.test("3000 damaged files are read or refused with a DataError, each within its time", async () => {
  const counts = await fuzz(damagedFiles(await realFiles()), { runs: 3000, seed: 20 });
  assert.equal(counts.read + counts.refused, 3000);
  // Damage to padding and to elements that no checksum covers is no damage to the container.
  assert.ok(counts.read > 50 && counts.refused > 1000, JSON.stringify(counts));
});

Deno.test("2000 archives with a damaged pickle are read or refused with a DataError", async () => {
  const counts = await fuzz(damagedPickles(await realFiles()), { runs: 2000, seed: 21 });
  assert.ok(counts.read > 50 && counts.refused > 500, JSON.stringify(counts));
});

Deno.test("3000 generated pickles are read or refused with a DataError", async () => {
  const counts = await fuzz(generatedPickles(), { runs: 3000, seed: 22 });
  assert.ok(counts.refused > 1000, JSON.stringify(counts));
});
