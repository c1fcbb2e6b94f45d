/** The commands of the documents, run at tiny size; `_util/doc_runs.ts` says how, and which are not. */
import assert from "node:assert/strict";
import { docCommands, placeOf } from "./_util/doc_commands.ts";
import { checkRun, runsOf } from "./_util/doc_runs.ts";
import { gpuTest } from "./_util/gpu.ts";
import { hasFfmpeg } from "./_util/video_files.ts";

const RUNS = await runsOf(await docCommands(), { slow: false });

Deno.test("commands of the documents are run, those of every verb that documents explain among them", () => {
  const verbs = new Set(RUNS.map(({ args: [verb] }) => verb));
  const explained = [
    "train",
    "eval",
    "predict",
    "explain",
    "index",
    "search",
    "compare",
    "card",
    "plan",
    "keys",
  ]
    .concat("extract", "prepare", "check", "synth", "parity", "doctor");
  assert.deepEqual(explained.filter((name) => !verbs.has(name)), []);
});

// Without ffmpeg there are no videos to run them on.
if (hasFfmpeg) {
  for (const run of RUNS) gpuTest(placeOf(run.from), () => checkRun(run));
}
