/** The report: what each section holds, for few and many classes. Over 400 lines, because all look at one made-up run. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import manifest from "../../deno.json" with { type: "json" };
import { parseConfig } from "../../train/recipe/config.ts";
import type { EvalRecord } from "../../train/files/run_folder.ts";
import { createClassificationMetrics } from "../../train/tasks/class_metrics.ts";
import { type ClassEvaluation, CLASSIFICATION } from "../../train/tasks/classification.ts";
import type { Metrics } from "../../train/tasks/task.ts";
import { recipeHash } from "../../train/recipe/hash.ts";
import { CLASSIFICATION_PARTS } from "../../pages/parts/classification.ts";
import { confusedClasses } from "../../pages/parts/_classes.ts";
import { renderMatrix } from "../../pages/parts/_matrix.ts";
import { registerPageParts } from "../../pages/parts/registry.ts";
import { type ExampleClip, renderReport, type ReportData } from "../../pages/report.ts";

const PNG = Uint8Array.from([0x89, 0x50, 0x4e, 0x47, 1, 2, 3]);
const JPEG = Uint8Array.from([0xff, 0xd8, 0xff, 4, 5]);

const EXAMPLE: ExampleClip = {
  path: "val/1",
  label: "class-0",
  frames: [JPEG, PNG],
  top: [{ label: "class-1", p: 0.6 }, { label: "class-0", p: 0.4 }],
};

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
    examples: { clips: [EXAMPLE], left: 0 },
    mistakes: { clips: [], left: 0 },
    problems: [],
    facts: [],
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
  assert.equal(count(html, '<th scope="row">class-'), 4);
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

/** The tables and headings of the section on classes. */
const classesOf = (html: string) => html.slice(html.indexOf("<h2>Classes"), html.indexOf("<h2>Example"));

Deno.test("few classes have a matrix of all; of many it shows the most confused ones, beside their pairs", () => {
  const few = classesOf(renderReport(reportData(4))), many = classesOf(renderReport(reportData(174)));
  assert.match(few, /Share of each true class/);
  assert.equal(count(few, "Predicted as"), 0);
  assert.match(many, /The 16 classes most often confused/);
  assert.match(many, />all others</);
  const shown = new Set([...many.matchAll(/<text[^>]*>(class-\d+)</g)].map(([, name]) => name));
  assert.equal(shown.size, 16);
  assert.equal(count(many, "Predicted as"), 1);
  for (const html of [few, many]) {
    assert.match(html, /<th scope="col" aria-sort="ascending"><button type="button">Top-1/);
  }
  assert.equal(count(many, '<th scope="row">class-'), 50 + 174);
});

Deno.test("the matrix of some classes counts what else they are taken for in its last column", () => {
  const labels = Array.from({ length: 40 }, (_, k) => `class-${k}`);
  const { details } = evaluationOf(labels.map((_, k) => labels.map((_, j) => k === j ? 5 : 0)));
  details.confusion.add(3, 4, 9);
  details.confusion.add(3, 20, 2);
  details.confusion.add(20, 21, 8);
  for (let k = 5; k < 12; k++) details.confusion.add(k, k + 20, 6);
  const matrix = renderMatrix(details.confusion, labels, confusedClasses(details.confusion, 4));
  const texts = [...matrix.matchAll(/<text[^>]*>([^<]+)/g)].map(([, text]) => text);
  assert.deepEqual(texts.slice(0, 9), [
    ...["class-3", "class-4", "class-20", "class-21"],
    ...["class-3", "class-4", "class-20", "class-21", "all others"],
  ]);
  assert.deepEqual(texts.slice(9).filter((text) => /\d/.test(text)), ["5", "9", "2", "5", "5", "8", "5"]);
  const others = renderMatrix(details.confusion, labels, [3, 4]);
  assert.match(others, /role="img"[^>]*aria-label="Confusion matrix of 40 classes/);
  assert.deepEqual([...others.matchAll(/>(\d+)</g)].map(([, text]) => text), ["5", "9", "2", "5"]);
});

Deno.test("sixty and a thousand classes are all in the table, worst first, sorted and filtered by hand", () => {
  for (const classes of [60, 1000, 5000]) {
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
    assert.ok(html.length < 900_000, `${html.length} characters for ${classes} classes`);
    const table = html.slice(html.indexOf("<h3>Every class"));
    assert.match(table, /<input type="search" data-filters="classes"/);
    assert.match(table, /<table id="classes" class="sortable">/);
    assert.equal(count(table.slice(0, table.indexOf("</thead>")), "<button"), 4);
    const names = [...table.matchAll(/<th scope="row">class-(\d+)/g)].map(([, k]) => Number(k));
    assert.equal(new Set(names).size, Math.min(classes, 2000));
    assert.equal(names[0], 7);
    const shares = [...table.matchAll(/<td class="tight" data-key="([\d.]+)"/g)].map(([, key]) =>
      Number(key)
    );
    assert.deepEqual(shares, shares.toSorted((a, b) => a - b));
    assert.equal(html.includes("3,000 more are not shown"), classes === 5000);
    assert.match(
      html,
      /<th scope="row">class-7<\/th><td>class-3<\/td><td class="number" data-key="2\d">2\d</,
    );
  }
});

Deno.test("the page's policy lets no script run but its own, and that one as it stands", () => {
  const html = renderReport(reportData(60));
  const [, policy] = html.match(/Content-Security-Policy" content="([^"]+)"/)!;
  const [, script] = html.match(/<script>([^]*?)<\/script>/)!;
  const hash = createHash("sha256").update(script).digest("base64");
  assert.match(policy, /^default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src /);
  assert.ok(policy.includes(`script-src 'sha256-${hash}';`), policy);
  assert.equal(count(html, "<script"), 1);
});

Deno.test("mistakes are shown with what the true class got, wherever it stands; what has no room is counted", () => {
  const labels = ["a", "b", "c", "d", "e", "f"];
  const prediction = (index: number, label: number, probabilities: number[]) => ({
    index,
    path: `clip ${index}`,
    label,
    probabilities: Float64Array.from(probabilities),
  });
  const chosen = CLASSIFICATION_PARTS.mistakes!([
    prediction(0, 0, [0.9, 0.1, 0, 0, 0, 0]),
    prediction(1, 0, [0.2, 0.5, 0.3, 0, 0, 0]),
    prediction(2, 5, [0.7, 0.1, 0.08, 0.06, 0.05, 0.01]),
    prediction(3, 1, [0.6, 0.4, 0, 0, 0, 0]),
  ], { labels, count: 2 });
  assert.deepEqual(chosen.map(({ path }) => path), ["clip 2", "clip 3"]);
  assert.deepEqual(chosen[0].truth, { p: 0.01, rank: 6 });
  const clips = chosen.map((clip) => ({ ...clip, frames: [JPEG] }));
  const html = renderReport(reportData(6, { mistakes: { clips, left: 1 } }));
  const section = html.slice(html.indexOf("<h2>Most confident mistakes"), html.indexOf("<h2>Example"));
  assert.match(section, /f <small>true class, number 6<\/small><\/span><span>1\.0 %</);
  assert.match(section, /b <small>true class<\/small><\/span><span>40\.0 %</);
  assert.match(section, / 1 more is not shown/);
});

Deno.test("figures are words and numbers, whatever a summary holds", () => {
  const html = renderReport(reportData(4, {
    summary: {
      ...reportData(4).summary,
      best: { epoch: 2, step: 20, top1: 0.875, loss: 0.5 },
      baseline: { epoch: -1, step: 0, top1: 0.25 },
      broken: [{ path: "a", problem: "b" }],
      final_train_loss: 1.07668642,
      odd: { list: [1, 2], deeper: { x: 0.5 } },
    },
  }));
  const figures = html.slice(html.indexOf("<h2>Figures"), html.indexOf("<h2>Data problems"));
  assert.match(
    figures,
    /Best evaluation<\/th><td[^>]*>after epoch 3, step 20: top-1 87\.50 %, validation loss 0\.50/,
  );
  assert.match(figures, /Before training<\/th><td[^>]*>before the first epoch, step 0: top-1 25\.00 %/);
  assert.match(figures, /Final train loss<\/th><td[^>]*>1\.0767</);
  assert.match(figures, /Odd<\/th><td[^>]*>list 1, 2, deeper x 0\.5000</);
  assert.doesNotMatch(figures, /[{}[\]]|&quot;|Broken/);
});

Deno.test("losses that are not on one scale say so, with the least that smoothed labels leave", () => {
  const noteOf = (recipe: string) => {
    const { config } = parseConfig(recipe, { source: "a.yaml" });
    return renderReport(reportData(4, { config })).match(/<p class="note">([^<]+)/)?.[1] ?? "";
  };
  // The entropy of 0.925, 0.025, 0.025, 0.025.
  assert.match(
    noteOf("{data: {num_classes: 4}, solver: {smoothing: 0.1}}"),
    /Not on one scale.* smoothed by 0\.1.* of 0\.35;/,
  );
  assert.match(noteOf("{data: {num_classes: 4}, solver: {smoothing: 0}}"), /^Both are the cross entropy/);
  assert.match(noteOf("{data: {num_classes: 4}, solver: {mixup: true}}"), /Not on one scale.* mixed of two/);
});

Deno.test("every chart has a key", () => {
  const html = renderReport(reportData(4));
  const charts = html.split('<figure class="chart').slice(1);
  assert.equal(charts.length, 5);
  for (const chart of charts) assert.match(chart, /<span class="key"><span><i[^>]*><\/i>[^<]+/);
});

Deno.test("the end of the page says when, how, of what and with which recipe it was made", () => {
  const made = new Date("2026-01-02T03:04:05Z"), { config } = reportData(4);
  const html = renderReport(reportData(4, {
    origin: { command: "sidenet train 'my run.yaml'", made },
    facts: [["Data set", "mine"], ["Nothing", undefined]],
  }));
  const end = html.slice(html.indexOf("<h2>How this page was made"));
  const rows = [...end.matchAll(/<th scope="row">([^<]+)<\/th><td[^>]*>(?:<code>)?([^<]+)/g)]
    .map(([, ...row]) => row);
  assert.deepEqual(rows, [
    ["Date", "2026-01-02 03:04 UTC"],
    ["Command", "sidenet train &#39;my run.yaml&#39;"],
    ["Version", `sidenet ${manifest.version}`],
    ["Data set", "mine"],
    ["Recipe", `my run, hash ${recipeHash(config)}`],
  ]);
});

Deno.test("names of paragraphs and commands of thousands of paths leave the page small", () => {
  const labels = Array.from({ length: 400 }, (_, k) => `${k} ${"word ".repeat(2000)}`);
  const origin = { command: "sidenet eval " + "path ".repeat(100_000) };
  const html = renderReport(reportData(400, { labels, origin }));
  assert.ok(html.length < 600_000, `${html.length} characters`);
  assert.match(html, /<th scope="row">399 word [^<]{100,200}…</);
});

Deno.test("names from lists and files cannot inject markup", () => {
  const nasty = `<script>alert("x")</script>&'`;
  const data = reportData(4, { problems: [{ path: nasty, problem: nasty }] });
  const labels = [nasty, "b", "c", "d"];
  const html = renderReport({
    ...data,
    labels,
    examples: { clips: [{ ...EXAMPLE, label: nasty, path: nasty }], left: 0 },
    mistakes: { clips: [{ ...EXAMPLE, label: nasty, path: nasty, truth: { p: 0.1, rank: 4 } }], left: 0 },
    facts: [["Data set", nasty]],
    origin: { command: nasty },
  });
  assert.doesNotMatch(html, /<script>alert/);
  assert.ok(count(html, "&lt;script&gt;alert") >= 9);
});

Deno.test("classes are listed worst first, classes without clips last", () => {
  const confusion = [[9, 1, 0], [0, 0, 0], [5, 0, 5]];
  const html = renderReport(reportData(3, { evaluation: evaluationOf(confusion) }));
  const order = [...html.matchAll(/<th scope="row">class-(\d)/g)].map(([, k]) => Number(k));
  assert.deepEqual(order, [2, 0, 1]);
});

Deno.test("a report without training, evaluations or examples leaves those sections out", () => {
  const bare = { steps: [], evals: [], examples: { clips: [], left: 0 }, evaluation: null, summary: {} };
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
    examples: { clips: [], left: 0 },
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
