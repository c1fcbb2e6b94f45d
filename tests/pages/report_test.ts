import assert from "node:assert/strict";
import { parseConfig } from "../../train/recipe/config.ts";
import type { EvalRecord } from "../../train/files/run_folder.ts";
import { createClassificationMetrics } from "../../train/tasks/class_metrics.ts";
import { type ClassEvaluation, CLASSIFICATION } from "../../train/tasks/classification.ts";
import type { Metrics } from "../../train/tasks/task.ts";
import { registerPageParts } from "../../pages/parts/registry.ts";
import { renderReport, type ReportData } from "../../pages/report.ts";

const PNG = Uint8Array.from([0x89, 0x50, 0x4e, 0x47, 1, 2, 3]);
const JPEG = Uint8Array.from([0xff, 0xd8, 0xff, 4, 5]);

function evalRecord(at: { epoch: number; step: number }, metrics: Metrics): EvalRecord {
  return { kind: "eval", ...at, ...metrics } as EvalRecord;
}

/** An evaluation with these counts, `[true class][predicted class]`. */
function evaluationOf(confusion: readonly (readonly number[])[]): ClassEvaluation {
  const details = createClassificationMetrics(confusion.length);
  confusion.forEach((row, truth) =>
    row.forEach((count, predicted) => count > 0 && details.confusion.add(truth, predicted, count))
  );
  return { metrics: {}, details, predictions: [], problems: [] };
}

function reportData(classes: number, changes: Partial<ReportData> = {}): ReportData {
  const labels = Array.from({ length: classes }, (_, k) => `class-${k}`);
  return {
    config: parseConfig(`data: {num_classes: ${classes}}`, { source: "my run.yaml" }).config,
    task: CLASSIFICATION,
    summary: {
      system: "side4video",
      backbone: "ViT-B/16",
      top1: 0.875,
      top5: 1,
      loss: 0.5,
      steps: 20,
      gpu_bytes_planned: 2 ** 30,
    },
    steps: Array.from({ length: 20 }, (_, i) => ({
      kind: "step",
      epoch: 0,
      step: i + 1,
      loss: 2 / (i + 1),
      lr: 1e-3,
      clips_per_second: 10,
      data_wait: 0.1,
      gpu_bytes: 2 ** 30,
    })),
    evals: [evalRecord({ epoch: 0, step: 20 }, { top1: 0.875, top5: 1, loss: 0.5 })],
    evaluation: evaluationOf(
      labels.map((_, k) => labels.map((_, j) => k === j ? 7 : j === (k + 1) % classes ? 1 : 0)),
    ),
    labels,
    examples: [{
      path: "val/1",
      label: "class-0",
      frames: [JPEG, PNG],
      top: [{ label: "class-1", p: 0.6 }, { label: "class-0", p: 0.4 }],
    }],
    problems: [],
    ...changes,
  };
}

const count = (text: string, part: string | RegExp) => text.split(part).length - 1;

Deno.test("the report shows figures, five charts, the matrix, every class, the examples and the config", () => {
  const html = renderReport(reportData(4));
  assert.match(html, /<title>my run · sidenet<\/title>/);
  assert.match(html, /87\.5 %<small>chance 25\.0 %<\/small>/);
  assert.match(html, /GPU memory planned<\/th><td[^>]*>1\.00 GiB/);
  assert.equal(count(html, 'role="img"'), 6);
  assert.match(html, /aria-label="Loss\. Training loss falls from 2\.000 to 0\.100"/);
  assert.match(
    html,
    /aria-label="Confusion matrix of 4 classes: 28 of 32 clips on the diagonal; most often class-0 is taken for class-1"/,
  );
  assert.equal(count(html, '<th scope="row" class="wrap">class-'), 4);
  assert.match(html, /✗ wrong/);
  assert.match(html, /data:image\/jpeg;base64,\/9j\/BAU=/);
  assert.match(html, /data:image\/png;base64,iVBORwECAw==/);
  assert.match(html, /lr_refresh: every_step/);
  assert.match(html, /None: every frame was read/);
});

Deno.test("the report loads nothing from outside", () => {
  const html = renderReport(reportData(4));
  const addresses = [...html.matchAll(/(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]+)/g)].map(([, address]) =>
    address
  );
  assert.equal(addresses.length, 2);
  for (const address of addresses) assert.match(address, /^data:image\//);
  const namespaces = new Set([...html.matchAll(/https?:\/\/[^"'\s<)]+/g)].map(([address]) => address));
  for (const address of namespaces) assert.match(address, /^http:\/\/www\.w3\.org\//);
});

Deno.test("many classes drop names and counts from the matrix and list the confused pairs instead", () => {
  const few = renderReport(reportData(4)), many = renderReport(reportData(174));
  const matrix = (html: string) => html.slice(html.indexOf("<h2>Classes"), html.indexOf("<table"));
  assert.match(matrix(few), />class-3</);
  assert.doesNotMatch(matrix(many), />class-3</);
  assert.equal(count(few, "Predicted as"), 0);
  assert.equal(count(many, "Predicted as"), 1);
  assert.equal(count(many, '<th scope="row" class="wrap">class-'), 174);
  assert.ok(matrix(many).length < 60_000, `${matrix(many).length} characters`);
});

Deno.test("thousands of classes leave the page small, with the worst of them by name", () => {
  for (const classes of [1000, 5000]) {
    const details = createClassificationMetrics(classes);
    // Five clips a class: one is right, one is taken for the next class, the others for classes far away.
    for (let truth = 0; truth < classes; truth++) {
      for (let clip = 0; clip < 5; clip++) {
        details.confusion.add(
          truth,
          clip < 2 ? (truth + clip) % classes : (truth * 37 + clip * 101) % classes,
        );
      }
    }
    details.confusion.add(7, 3, 20);
    const evaluation = { metrics: {}, details, predictions: [], problems: [] };
    const html = renderReport(reportData(classes, { evaluation }));
    assert.ok(html.length < 1_000_000, `${html.length} characters for ${classes} classes`);
    const names = [...html.matchAll(/<th scope="row" class="wrap">class-(\d+)/g)].map(([, k]) => Number(k));
    assert.equal(names.length, 500);
    assert.equal(names[0], 7);
    assert.match(
      html,
      new RegExp(`The 500 classes .* ${classes === 1000 ? "500" : "4,500"} more are not shown`),
    );
    assert.match(html, /<td class="wrap">class-7<\/td><td class="wrap">class-3<\/td><td class="number">20</);
    assert.match(html, new RegExp(`Shares of ${Math.ceil(classes / 400)} neighbouring classes a cell`));
  }
});

Deno.test("names from lists and files cannot inject markup", () => {
  const nasty = `<script>alert("x")</script>&'`;
  const data = reportData(4, { problems: [{ path: nasty, problem: nasty }] });
  const labels = [nasty, "b", "c", "d"];
  const html = renderReport({
    ...data,
    labels,
    examples: [{ ...data.examples[0], label: nasty, path: nasty }],
  });
  assert.doesNotMatch(html, /<script>alert/);
  assert.ok(count(html, "&lt;script&gt;alert") >= 5);
});

Deno.test("classes are listed worst first, classes without clips last", () => {
  const confusion = [[9, 1, 0], [0, 0, 0], [5, 0, 5]];
  const html = renderReport(reportData(3, { evaluation: evaluationOf(confusion) }));
  const order = [...html.matchAll(/<th scope="row" class="wrap">class-(\d)/g)].map(([, k]) => Number(k));
  assert.deepEqual(order, [2, 0, 1]);
});

Deno.test("a report without training, evaluations or examples leaves those sections out", () => {
  const bare = { steps: [], evals: [], examples: [], evaluation: null, summary: {} };
  const html = renderReport(reportData(4, bare));
  for (const heading of ["Training", "Example clips", "Classes", "Figures"]) {
    assert.doesNotMatch(html, new RegExp(`<h2>${heading}`));
  }
  assert.match(html, /<h2>Config/);
});

Deno.test("a very long run is drawn with few points, and non-finite losses leave the others standing", () => {
  const { steps } = reportData(4);
  const long = Array.from(
    { length: 130_000 },
    (_, i) => ({ ...steps[0], step: i + 1, loss: i % 1000 === 0 ? NaN : 1 }),
  );
  const html = renderReport({ ...reportData(4), steps: long });
  assert.ok(html.length < 150_000, `${html.length} characters`);
  assert.doesNotMatch(html, /="[^"]*NaN/);
});

/** A task without page parts: an error, and a share of hits. */
const TOY: ReportData["task"] = {
  id: "toy without parts",
  metrics: [
    { key: "error", name: "error", title: "mean error", format: "value", better: "less" },
    { key: "hits", name: "hits", title: "share of hits", format: "share", better: "more" },
  ],
  figures: [{ key: "spread", name: "spread", title: "spread of errors", format: "value", better: "less" }],
  best: "error",
};

function toyData(task: ReportData["task"]): ReportData {
  const errors = [0.75, 0.25, 0.5];
  return reportData(3, {
    task,
    summary: {
      system: "toy",
      backbone: "ViT-B/16",
      error: 0.5,
      hits: 0.625,
      steps: 20,
      spread: 0.125,
      best: { epoch: 3, step: 15, error: 0.25, hits: 0.75 },
    },
    evals: errors.map((error, epoch) => evalRecord({ epoch, step: 5 * epoch }, { error, hits: 1 - error })),
    evaluation: { metrics: { error: 0.5, hits: 0.625 }, details: null, predictions: [], problems: [] },
    examples: [],
  });
}

Deno.test("a task without page parts has its metrics in tiles, charts and figures by their columns alone", () => {
  const html = renderReport(toyData(TOY));
  assert.match(html, /<p>toy on ViT-B\/16 · 8 frames a clip<\/p>/);
  const tiles = [...html.matchAll(/<dl class="tile"><dt>([^<]+)<\/dt><dd>([^<]+)/g)].map(([, ...tile]) =>
    tile
  );
  assert.deepEqual(tiles, [
    ["Share of hits", "62.5 %"],
    ["Mean error", "0.5000"],
    ["Spread of errors", "0.1250"],
    ["Best mean error", "0.2500"],
  ]);
  assert.match(html, /<dd>0\.2500<small>after epoch 4</);
  const charts = [...html.matchAll(/<svg[^>]*aria-label="([^"]+)"/g)].map(([, label]) => label);
  assert.deepEqual(charts.slice(0, 3), [
    "Loss. Training loss falls from 2.000 to 0.100",
    "Validation: share of hits. Best hits 75.0 %",
    "Validation: mean error. Best error 0.2500",
  ]);
  assert.equal(charts.length, 6);
  assert.doesNotMatch(html, /<\/i>validation</); // the task has no loss of its own
  assert.match(html, /Mean error<\/th><td[^>]*>0\.5000</);
  assert.match(html, /Share of hits<\/th><td[^>]*>62\.50 %</);
  assert.doesNotMatch(html, /<h2>(Classes|Example clips)|[Tt]op-1|chance/);
});

Deno.test("the page parts that are registered for a task are on its page, and every curve has a colour", () => {
  const keys = ["hits", "near", "far", "wide"];
  const metrics = keys.map((key) => ({ ...TOY.metrics[1], key, name: key, title: key }));
  registerPageParts("toy with parts", {
    about: (labels) => `${labels.length} captions`,
    hidden: () => ["wide"],
    tiles: () => ({ hits: { name: "Hits <here>", note: "of all" } }),
    shareChart: () => ({ title: "Recall", levels: [{ name: "luck", value: 0.1 }] }),
    figures: ({ spread }: { spread: number }) => ({ spread }),
    sections: () => [{ title: "Captions", about: "", content: "<p>all of them</p>" }],
  });
  const data = toyData({ ...TOY, id: "toy with parts", metrics, best: "hits" });
  const html = renderReport({ ...data, evaluation: { ...data.evaluation!, details: { spread: 0.75 } } });
  assert.match(html, /· 3 captions ·/);
  assert.match(html, /<dt>Hits &lt;here&gt;<\/dt><dd>62\.5 %<small>of all<\/small>/);
  assert.match(html, /<dt>Spread of errors<\/dt><dd>0\.7500</);
  assert.match(html, /aria-label="Recall\. Best hits 75\.0 %"/);
  assert.match(html, /<\/i>luck</);
  assert.match(html, /<section><h2>Captions<\/h2><p>all of them<\/p><\/section>/);
  assert.doesNotMatch(html, /<\/i>wide</);
  for (const [, name] of html.matchAll(/var\((--[\w-]+)\)/g)) {
    if (name.startsWith("--series")) assert.ok(html.includes(`${name}:`), name);
  }
});
