/** `sidenet card`: what stands in a model card, and that nobody's own words are overwritten. */

import assert from "node:assert/strict";
import { join } from "node:path";
import * as YAML from "yaml";
import * as card from "../../../cli/extras/card.ts";
import { engineTest } from "../../_util/engine.ts";
import { runVerb } from "../../_util/run_verb.ts";
import { smallConfig, smallRun } from "../../train/run/_small.ts";

/** Metadata and text of a card. */
function read(path: string): { metadata: Record<string, unknown>; text: string } {
  const [, metadata, text] = /^---\n(.*?)\n---\n(.*)$/s.exec(Deno.readTextFileSync(path))!;
  return { metadata: YAML.parse(metadata), text };
}

engineTest("a card tells what the run's files tell, and an edited one stays", async () => {
  const config = await smallConfig(["solver.epochs=1", "solver.ema=0.9", "name=first_run"]);
  const { path, summary } = await smallRun(config), file = join(path, "README.md");
  await Deno.mkdir(join(path, "eval_3x2"));
  const evaluation = {
    top1: 0.75,
    top5: 1,
    loss: 0.5,
    clips: 1234,
    test_crops: 3,
    test_clips: 2,
    list: "/home/me/test.txt",
  };
  await Deno.writeTextFile(join(path, "eval_3x2", "eval.json"), JSON.stringify(evaluation));

  const { code, stdout, stderr } = await runVerb(card, [
    path,
    "--license",
    "apache-2.0",
    "--dataset",
    "me/motions",
  ]);
  assert.deepEqual([code, stdout, stderr], [0, `card: ${file}\n`, ""]);
  const { metadata, text } = read(file);
  assert.equal(metadata.license, "apache-2.0");
  assert.equal(metadata.pipeline_tag, "video-classification");
  assert.deepEqual(metadata.datasets, ["me/motions"]);
  assert.deepEqual(metadata.metrics, ["accuracy", "top_5_accuracy", "loss"]);
  const [model] = metadata["model-index"] as {
    name: string;
    results: { task: { type: string }; dataset: unknown; metrics: { type: string; value: number }[] }[];
  }[];
  assert.equal(model.name, config.name);
  assert.deepEqual(model.results.map(({ metrics: [{ type, value }] }) => [type, value]), [
    ["accuracy", summary.best!.top1],
    ["accuracy", 0.75],
  ]);
  assert.deepEqual(model.results[1].dataset, { type: "me/motions", name: "me/motions", split: "eval_3x2" });
  assert.match(
    text,
    /\| eval\\_3x2 on 1,234 clips of test\.txt, 3 crops × 2 clips \| 75\.0 % \| 100\.0 % \| 0\.5000 \|/,
  );
  assert.match(text, /2 classes: left, right\./);
  assert.match(text, /moving average of the weights \(decay 0\.9\)/);
  assert.match(text, /frozen image tower of its own size \(pictures of 16 × 16 pixels\)/);
  assert.match(text, /denow predict best\.safetensors clip\.mp4/);
  assert.ok(!text.includes(config.data.root!) && !text.includes("/home/me"), "no path of this machine");
  assert.equal(YAML.parse(/```yaml\n(.*?)```/s.exec(text)![1]).solver.ema, 0.9);

  // Its own card is written anew; one with another word is not.
  await runVerb(card, [path]);
  assert.equal(read(file).metadata.license, "unknown");
  await Deno.writeTextFile(file, Deno.readTextFileSync(file).replace("## Results", "## Our results"));
  const edited = Deno.readTextFileSync(file);
  await assert.rejects(
    runVerb(card, [path]),
    /Cannot write ".*README\.md": it has been edited since card wrote it/,
  );
  assert.equal(Deno.readTextFileSync(file), edited);
  const other = join(path, "CARD.md");
  await runVerb(card, [path, "--out", other]);
  assert.match(Deno.readTextFileSync(other), /## Results/);
  await runVerb(card, [path, "--force"]);
  assert.equal(Deno.readTextFileSync(file), Deno.readTextFileSync(other));
  await Deno.writeTextFile(file, "my own words");
  await assert.rejects(
    runVerb(card, [path]),
    /was not written by card; use --out FILE, or --force to replace it/,
  );

  await assert.rejects(
    runVerb(card, [path, "--license", "My License"]),
    /--license must be an identifier of a licence .*, current value is "My License"/,
  );
  await Deno.remove(join(path, "summary.json"));
  await assert.rejects(runVerb(card, [path]), /the run must have ended, there is no summary\.json in it/);
  await assert.rejects(runVerb(card, [join(path, "eval_3x2")]), /it must be a folder with a config\.yaml/);
});
