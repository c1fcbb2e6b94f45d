/** Comparing runs: figures from their folders, the best of each row, and the page. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { parseHTML } from "linkedom";
import { DataError } from "../../../lib/errors.ts";
import { comparisonTable, figureRows, readRun, remarksOn } from "../../../train/run/compare.ts";
import { lockFolder } from "../../../data/folder_lock.ts";
import { comparisonCsv, comparisonLines, metricsCsv, metricsPath } from "../../../cli/text/comparison.ts";
import { renderComparison } from "../../../pages/comparison_page.ts";
import { formatConfig, parseConfig } from "../../../train/recipe/config.ts";

/** Writes a run folder: a config, two evaluations, and a summary where the run has ended. */
async function writeRun(
  path: string,
  run: { system: string; top1: readonly number[]; gpuBytes: number; ended?: boolean; recipe?: string },
): Promise<string> {
  const { system, top1, gpuBytes, ended = true, recipe = "" } = run;
  await Deno.mkdir(path, { recursive: true });
  const { config } = parseConfig(`system: ${system}\ndata: { num_classes: 4 }\n${recipe}`);
  await Deno.writeTextFile(join(path, "config.yaml"), formatConfig(config));
  const lines = top1.flatMap((value, i) => [
    {
      kind: "step",
      epoch: i,
      step: 10 * (i + 1),
      loss: 1 / (i + 1),
      lr: 1e-3,
      clips_per_second: 20,
      data_wait: 0,
      gpu_bytes: gpuBytes,
    },
    { kind: "eval", epoch: i, step: 10 * (i + 1), top1: value, top5: 1, loss: 0.5 },
  ]);
  await Deno.writeTextFile(
    join(path, "metrics.jsonl"),
    lines.map((line) => JSON.stringify(line) + "\n").join(""),
  );
  const summary = {
    system,
    backbone: "ViT-B/16",
    top1: top1.at(-1),
    top5: 1,
    loss: 0.5,
    steps: 10 * top1.length,
    seconds: 60,
    clips: 100,
    clips_per_second: 20,
    gpu_bytes_allocated: gpuBytes,
    trainable_parameters: gpuBytes / 100,
    frozen_parameters: 7,
    adapter: "some adapter",
  };
  if (ended) await Deno.writeTextFile(join(path, "summary.json"), JSON.stringify(summary));
  return path;
}

/** What the test asks of a document; no DOM types are loaded in this project. */
interface Queried {
  querySelectorAll(selector: string): Iterable<{ outerHTML: string; textContent: string }>;
}

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("runs are compared figure by figure, and the best of each row is known", () =>
  inFolder(async (folder) => {
    const first = await readRun(
      await writeRun(join(folder, "a"), { system: "side4video", top1: [0.4, 0.9], gpuBytes: 3e6 }),
    );
    const second = await readRun(
      await writeRun(join(folder, "b"), { system: "tds-clip", top1: [0.95, 0.92], gpuBytes: 5e6 }),
    );
    assert.equal(first.figures.best_top1, 0.9);
    assert.equal(second.figures.best_top1, 0.95);
    const rows = new Map(figureRows([first, second]).map((row) => [row.name, row]));
    assert.deepEqual(rows.get("system")!.values, ["side4video", "tds-clip"]);
    assert.deepEqual(rows.get("top-1")!.values, ["90.0 %", "92.0 %"]);
    assert.deepEqual(rows.get("top-1")!.best, [1]);
    assert.deepEqual(rows.get("GPU memory")!.best, [0]);
    assert.deepEqual(rows.get("trainable parameters")!.best, [0]);
    assert.deepEqual(rows.get("top-5")!.best, [], "equal values have no best");
    assert.deepEqual(rows.get("steps")!.best, [], "no number of steps is better");
  }));

Deno.test("a run under way is told from its metrics, and its unknown figures are left open", () =>
  inFolder(async (folder) => {
    const run = await readRun(
      await writeRun(join(folder, "run"), { system: "tds-clip", top1: [0.5], gpuBytes: 2e6, ended: false }),
    );
    const { figures } = run;
    assert.deepEqual([figures.finished, figures.system, figures.top1, figures.steps, figures.gpu_bytes], [
      false,
      "tds-clip",
      0.5,
      10,
      2e6,
    ]);
    assert.equal(figures.trainable_parameters, null);
    const row = figureRows([run, run]).find(({ name }) => name === "trainable parameters")!;
    assert.deepEqual([row.values, row.best], [["–", "–"], []]);
  }));

Deno.test("a run that nobody writes is no run under way", () =>
  inFolder(async (folder) => {
    const path = await writeRun(join(folder, "run"), {
      system: "side4video",
      top1: [0.5],
      gpuBytes: 2e6,
      ended: false,
    });
    const state = async () => (await readRun(path)).figures.state;
    assert.equal(await state(), "failed", "no state was saved");
    {
      using _lock = await lockFolder(path, "train");
      assert.equal(await state(), "under way");
    }
    await Deno.writeTextFile(join(path, "lock"), "{}");
    assert.equal(await state(), "failed", "its process died with the lock");
    const row = figureRows([await readRun(path), await readRun(path)]).find(({ name }) => name === "state")!;
    assert.equal(row.values[0], "failed at step 10, no state");
  }));

Deno.test("settings that differ are rows, and runs with other validation clips are marked", () =>
  inFolder(async (folder) => {
    const write = async (name: string, recipe: string) =>
      await readRun(
        await writeRun(join(folder, name), { system: "side4video", top1: [0.5], gpuBytes: 2e6, recipe }),
      );
    const first = await write("a", "solver: { lr: 0.01 }");
    const second = await write("b", "solver: { lr: 0.02, ema: 0.9 }");
    assert.deepEqual(remarksOn([first, second]), []);
    const rows = new Map(figureRows([first, second]).map((row) => [row.name, row.values]));
    assert.deepEqual(rows.get("solver.lr"), ["0.01", "0.02"]);
    assert.equal(rows.get("solver.ema")![1], "0.9");
    assert.ok(!rows.has("solver.epochs"), "what is the same is no row");
    const other = { ...second, validation: { id: "other", clips: 7 } };
    assert.match(remarksOn([first, other])[0], /different validation sets/);
    const marked = new Map(figureRows([first, other]).map((row) => [row.name, row]));
    assert.deepEqual(marked.get("validation set")!.values, ["A (list not found)", "B: 7 clips"]);
    const csv = comparisonCsv([first, second]).trim().split("\n").map((line) => line.split(","));
    const metrics = metricsCsv([first, second]).trim().split("\n").map((line) => line.split(","));
    assert.deepEqual(metrics[0].slice(0, 5), ["run", "kind", "epoch", "step", "loss"]);
    assert.deepEqual(metrics.slice(1).map(([, kind]) => kind), ["step", "eval", "step", "eval"]);
    assert.equal(metricsPath("runs.csv"), "runs.metrics.csv");
    const column = csv[0].indexOf("solver.lr");
    assert.deepEqual(csv.map((line) => line[column]), ["solver.lr", "0.01", "0.02"]);
  }));

Deno.test("more than six runs are a line each, and what all share stands above them", () =>
  inFolder(async (folder) => {
    const runs = [];
    for (let i = 0; i < 8; i++) {
      const recipe = `solver: { lr: 0.0${i + 1} }`;
      runs.push(
        await readRun(
          await writeRun(join(folder, `run-${i}`), {
            system: "side4video",
            top1: [i / 10],
            gpuBytes: 2e6,
            recipe,
          }),
        ),
      );
    }
    const table = comparisonTable(runs);
    assert.ok(table.byRun);
    assert.ok(table.shared.some(({ name, value }) => name === "backbone" && value === "ViT-B/16"));
    const lines = comparisonLines(table, 100);
    assert.ok(lines.every((line) => line.startsWith("the same in all") || line.length <= 100));
    assert.match(lines.find((line) => line.startsWith("run-7"))!, /70\.0 % \*/);
    const { document } = parseHTML(renderComparison(runs)) as unknown as { document: Queried };
    const heads = [...document.querySelectorAll('tbody th[scope="row"]')].map((cell) => cell.textContent);
    assert.ok(heads.includes("run-0") && heads.includes("run-7"), `${heads}`);
  }));

Deno.test("a folder that is no run is refused by name", () =>
  inFolder(async (folder) => {
    await assert.rejects(() => readRun(folder), (error: Error) => {
      assert.ok(error instanceof DataError);
      assert.match(
        error.message,
        /^Cannot compare ".*": it must be a run folder, there is no config\.yaml in it$/,
      );
      return true;
    });
  }));

Deno.test("a summary that cannot be one is refused, and not told as a run under way", () =>
  inFolder(async (folder) => {
    const run = await writeRun(join(folder, "a"), { system: "side4video", top1: [0.5], gpuBytes: 3e6 });
    for (
      const [text, what] of [
        ["[1]", "it must be a mapping of keys, current value is [1]"],
        ["null", "it must be a mapping of keys, current value is null"],
        ['{"steps": "many"}', 'steps must be a number, current value is "many"'],
        ['{"clips": -3}', "clips must be at least 0, current value is -3"],
        ["{", "it must be JSON"],
        ["{}", "system is missing, the file has been damaged; the end of train --resume writes it anew"],
        [
          '{"system":"side4video","backbone":"ViT-B/16","best":{"epoch":-1}}',
          "steps is missing, the file has been damaged; the end of train --resume writes it anew",
        ],
      ]
    ) {
      await Deno.writeTextFile(join(run, "summary.json"), text);
      await assert.rejects(() => readRun(run), (error: Error) => {
        assert.equal(error.message, `Cannot read "${join(run, "summary.json")}": ${what}`);
        return true;
      });
    }
  }));

Deno.test("the page holds both curves and every figure, loads nothing and keeps names harmless", () =>
  inFolder(async (folder) => {
    const runs = [
      await readRun(
        await writeRun(join(folder, "a<b>"), { system: "side4video", top1: [0.4, 0.9], gpuBytes: 3e6 }),
      ),
      await readRun(await writeRun(join(folder, "c"), { system: "tds-clip", top1: [0.95], gpuBytes: 5e6 })),
    ];
    const html = renderComparison(runs);
    assert.doesNotMatch(html, /(src|href)=|url\(|<script/);
    const { document } = parseHTML(html) as unknown as { document: Queried };
    assert.equal([...document.querySelectorAll("b")].length, 0, "a name must not become markup");
    const heads = [...document.querySelectorAll("thead th")].map((cell) => cell.textContent);
    assert.ok(heads.some((name) => name.endsWith("a<b>")), `${heads}`);
    const charts = [...document.querySelectorAll("figure svg")];
    assert.equal(charts.length, 4);
    const titles = [...document.querySelectorAll("figcaption")].map((cell) => cell.textContent);
    assert.ok(titles.includes("top-1 against memory") && titles.includes("top-1 against time"), `${titles}`);
    for (const chart of charts) {
      for (const i of [0, 1]) {
        assert.ok(chart.outerHTML.includes(`var(--run-${i})`), `run ${i} must be drawn`);
      }
    }
    const bold = [...document.querySelectorAll("td strong")].map((cell) => cell.textContent);
    for (const text of ["95.0 %", "2.86 MiB"]) assert.ok(bold.includes(text), `${text} in ${bold}`);
  }));
