/** A hundred and eighty thousand damaged checkpoints, from a new seed at every run. */
import assert from "node:assert/strict";
import { damagedFiles, damagedPickles, fuzz, generatedPickles, realFiles } from "../_util/checkpoint_fuzz.ts";

/** A new seed every time; a failure prints it, and the input, so that it can be replayed. */
const seed = Date.now() & 0x7fffffff;
const RUNS = 60_000;

Deno.test(`${RUNS} damaged files from seed ${seed}`, async () => {
  const counts = await fuzz(damagedFiles(await realFiles()), { runs: RUNS, seed });
  assert.equal(counts.read + counts.refused, RUNS);
});

Deno.test(`${RUNS} archives with a damaged pickle from seed ${seed}`, async () => {
  const counts = await fuzz(damagedPickles(await realFiles()), { runs: RUNS, seed });
  assert.equal(counts.read + counts.refused, RUNS);
});

Deno.test(`${RUNS} generated pickles from seed ${seed}`, async () => {
  const counts = await fuzz(generatedPickles(), { runs: RUNS, seed });
  assert.equal(counts.read + counts.refused, RUNS);
});
