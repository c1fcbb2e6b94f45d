import assert from "node:assert/strict";
import { join } from "node:path";
import { EVALUATION_FILES, writeEvaluation } from "../../../train/evaluation/evaluation_files.ts";
import { parseConfig } from "../../../train/recipe/config.ts";
import { CLASSIFICATION } from "../../../train/tasks/classification.ts";

const CLASSES = 5000;

Deno.test("eval.json of 5,000 classes is small, a line a figure, with the confusion matrix by its counts", async () => {
  const { config } = parseConfig(`{system: side4video, data: {num_classes: ${CLASSES}}}`);
  const labels = Array.from({ length: CLASSES }, (_, k) => `class ${k}`);
  const evaluator = CLASSIFICATION.evaluator(config);
  const predictions = Array.from({ length: 16 }, (_, index) => {
    const label = 300 * index, best = index % 4 === 0 ? label : 17;
    const logits = new Float32Array(CLASSES).map((_, k) => k === best ? 9 : 0);
    const clip = { index, path: `clip ${index}`, label, frameCount: 8, problems: [], bad: false };
    return evaluator.add({ ...clip, views: [{ logits }] });
  });
  const folder = await Deno.makeTempDir();
  try {
    const evaluation = { ...evaluator.finish(), predictions, problems: [] };
    const figures = await writeEvaluation(folder, {
      config,
      task: CLASSIFICATION,
      labels,
      weights: "last.safetensors",
      list: "val.txt",
      views: null,
      evaluation,
      seconds: 1,
      adapter: "none",
    });
    const text = await Deno.readTextFile(join(folder, EVALUATION_FILES.figures));
    assert.ok(text.length < 2000, `${text.length} characters`);
    const read = JSON.parse(text);
    assert.deepEqual(read, JSON.parse(JSON.stringify(figures)));
    assert.match(text, /^\{\n {2}"top1": 0\.25,\n/);
    assert.match(text, /\n {2}"confusion": \{"classes":5000,"cells":\[\[0,0,1\],\[300,17,1\],/);
    assert.equal(read.confusion.cells.length, 16);
    const lines = (await Deno.readTextFile(join(folder, "predictions.jsonl"))).trimEnd().split("\n");
    assert.deepEqual(
      lines.map((line) => JSON.parse(line).rank === 1),
      predictions.map((_, i) => i % 4 === 0),
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
