/** The commands of the documents that take longer, at tiny size all the same. */
import { docCommands, placeOf } from "../_util/doc_commands.ts";
import { checkRun, runsOf } from "../_util/doc_runs.ts";
import { gpuTest } from "../_util/gpu.ts";
import { hasFfmpeg } from "../_util/video_files.ts";

if (hasFfmpeg) {
  for (const run of await runsOf(await docCommands(), { slow: true })) {
    gpuTest(placeOf(run.from), () => checkRun(run));
  }
}
