import assert from "node:assert/strict";
import { copyFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { openCase } from "../../../train/parity/case.ts";
import { replayMetricsCase } from "../../../train/parity/metrics.ts";
import { inTempFolder } from "../../_util/frame_folders.ts";

const folder = new URL("../../fixtures/metrics/", import.meta.url);

Deno.test("a case of metrics holds, ties included; a rank or a share that is off names its matrix", () =>
  inTempFolder(async (root) => {
    const description = JSON.parse(await readFile(new URL("metrics.json", folder), "utf8"));
    await copyFile(new URL("metrics.safetensors", folder), join(root, "metrics.safetensors"));
    const replay = async () => {
      await writeFile(join(root, "case.json"), JSON.stringify(description));
      await using reference = await openCase(join(root, "case.json"));
      return await replayMetricsCase(reference);
    };
    const [ranks, metrics] = await replay();
    assert.deepEqual([ranks.group, ranks.ok, ranks.max_abs], ["ranks", true, 0]);
    assert.deepEqual([metrics.group, metrics.ok, metrics.max_abs < 1e-5], ["metrics", true, true]);
    description.cases[1].video_to_text.cols[3]++;
    description.cases[7].text_to_video.R5 -= 0.01;
    const changed = await replay();
    assert.deepEqual(changed.map(({ ok, worst }) => [ok, worst]), [
      [false, `${description.cases[1].name} video_to_text`],
      [false, `${description.cases[7].name} text_to_video`],
    ]);
    description.cases[7].sentences_per_video.push(1);
    await assert.rejects(replay(), /matrix "multi_a" must be there, with a row for each of 11 sentences/);
  }));
