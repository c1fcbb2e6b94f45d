import assert from "node:assert/strict";
import { parseConfig } from "../../train/recipe/config.ts";
import { renderReport, type ReportData } from "../../pages/report.ts";

const PNG = Uint8Array.from([0x89, 0x50, 0x4e, 0x47, 1, 2, 3]);
const JPEG = Uint8Array.from([0xff, 0xd8, 0xff, 4, 5]);

function reportData(classes: number, changes: Partial<ReportData> = {}): ReportData {
  const labels = Array.from({ length: classes }, (_, k) => `class-${k}`);
  return {
    config: parseConfig(`data: {num_classes: ${classes}}`, { source: "my run.yaml" }).config,
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
    evals: [{ kind: "eval", epoch: 0, step: 20, top1: 0.875, top5: 1, loss: 0.5 }],
    confusion: labels.map((_, k) => labels.map((_, j) => k === j ? 7 : j === (k + 1) % classes ? 1 : 0)),
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
  const html = renderReport({ ...reportData(3), confusion });
  const order = [...html.matchAll(/<th scope="row" class="wrap">class-(\d)/g)].map(([, k]) => Number(k));
  assert.deepEqual(order, [2, 0, 1]);
});

Deno.test("a report without training, evaluations or examples leaves those sections out", () => {
  const bare = { steps: [], evals: [], examples: [], confusion: [], summary: {} };
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
