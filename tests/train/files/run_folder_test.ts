import assert from "node:assert/strict";
import { join } from "node:path";
import { DataError } from "../../../lib/errors.ts";
import {
  createRunFolder,
  discardUnstarted,
  type EvalRecord,
  openRunFolder,
  readMetrics,
  type StepRecord,
  type Summary,
  truncateMetrics,
  weightsOfRun,
} from "../../../train/files/run_folder.ts";

const step = (n: number): StepRecord => ({
  kind: "step",
  epoch: Math.floor((n - 1) / 2),
  step: n,
  loss: 1 / n,
  lr: 1e-3,
  clips_per_second: 10,
  data_wait: 0.25,
  gpu_bytes: 1000,
});
const evaluation = (n: number): EvalRecord => ({
  kind: "eval",
  epoch: n / 2 - 1,
  step: n,
  top1: 0.5,
  top5: 1,
  loss: 1,
});

async function inTemporaryFolder(run: (root: string) => Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir();
  try {
    await run(root);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

Deno.test("a taken run name gets the next free suffix", () =>
  inTemporaryFolder(async (root) => {
    const names: string[] = [];
    for (let i = 0; i < 3; i++) {
      using run = await createRunFolder(join(root, "runs"), "demo");
      names.push(run.name);
      assert.equal(run.path, join(root, "runs", run.name));
    }
    assert.deepEqual(names, ["demo", "demo-2", "demo-3"]);
  }));

Deno.test("metrics are one JSON object a line, readable while the run goes on", () =>
  inTemporaryFolder(async (root) => {
    using run = await createRunFolder(root, "demo");
    run.appendMetrics(step(1));
    run.appendMetrics(step(2));
    assert.deepEqual((await readMetrics(run.path)).steps, [step(1), step(2)]);
    run.appendMetrics(evaluation(2));
    await run.flushMetrics();
    assert.deepEqual((await readMetrics(run.path)).evals, [evaluation(2)]);
  }));

Deno.test("truncated metrics equal those of an uninterrupted run up to the resumed step", () =>
  inTemporaryFolder(async (root) => {
    const all = [step(1), step(2), evaluation(2), step(3), step(4), evaluation(4), step(5)];
    const after = async (at: number, evaluated: boolean) => {
      using run = await createRunFolder(root, "demo");
      all.forEach((record) => run.appendMetrics(record));
      await Deno.writeTextFile(run.file("metrics"), '{"kind":"step","ep', { append: true });
      const removed = await truncateMetrics(run.path, at, evaluated);
      const text = await Deno.readTextFile(run.file("metrics"));
      assert.equal(removed, all.length + 1 - (text.split("\n").length - 1));
      return text;
    };
    const lines = (count: number) =>
      all.slice(0, count).map((record) => JSON.stringify(record) + "\n").join("");
    assert.equal(await after(4, true), lines(6));
    assert.equal(await after(4, false), lines(5));
    assert.equal(await after(3, false), lines(4));
    assert.equal(await after(0, false), "");
  }));

Deno.test("a resumed run appends after what it kept", () =>
  inTemporaryFolder(async (root) => {
    let path: string;
    {
      using run = await createRunFolder(root, "demo");
      await run.write("config", "seed: 1\n");
      [1, 2, 3].forEach((n) => run.appendMetrics(step(n)));
      path = run.path;
    }
    await truncateMetrics(path, 2, false);
    using again = await openRunFolder(path + "/");
    again.appendMetrics({ ...step(3), loss: 9 });
    const { steps } = await readMetrics(path);
    assert.deepEqual(steps.map((record) => record.loss), [1, 0.5, 9]);
  }));

Deno.test("summary and weights are found again, best before last", () =>
  inTemporaryFolder(async (root) => {
    using run = await createRunFolder(root, "demo");
    const summary = { system: "side4video", top1: 0.9 } as unknown as Summary;
    await run.writeSummary(summary);
    assert.deepEqual(JSON.parse(await Deno.readTextFile(run.file("summary"))), summary);
    await assert.rejects(
      weightsOfRun(run.path),
      /^DataError: Cannot open run ".*": it must hold best\.safetensors/,
    );
    await run.write("last", new Uint8Array([1]));
    assert.equal(await weightsOfRun(run.path), run.file("last"));
    await run.write("best", new Uint8Array([2]));
    assert.equal(await weightsOfRun(run.path), run.file("best"));
  }));

Deno.test("a run that failed before it began leaves no folder; one that holds anything stays", () =>
  inTemporaryFolder(async (root) => {
    const paths: string[] = [];
    for (const content of ["", "config", "metrics", "state"] as const) {
      using run = await createRunFolder(root, "demo");
      for (const file of ["trainList", "valList", "labels", "shots"] as const) {
        if (content === "config") await run.write(file, "a 0\n");
      }
      if (content === "metrics") run.appendMetrics(step(1));
      if (content === "config") await run.write("config", "seed: 1\n");
      if (content === "state") await run.write("state", new Uint8Array([1]));
      paths.push(run.path);
      await discardUnstarted(run.path);
    }
    const left = (await Array.fromAsync(Deno.readDir(root), ({ name }) => join(root, name))).sort();
    // The first two folders went, so their name was free for the next.
    assert.deepEqual(paths, [...Array(3).fill(join(root, "demo")), join(root, "demo-2")]);
    assert.deepEqual(left, [join(root, "demo"), join(root, "demo-2")]);
  }));

Deno.test("a folder that is no run, a bad metrics line and an impossible root are clear errors", () =>
  inTemporaryFolder(async (root) => {
    await assert.rejects(
      openRunFolder(root),
      /^DataError: Cannot open run ".*": it must be a folder with a config\.yaml/,
    );
    const model = join(root, "model");
    await Deno.mkdir(model);
    for (const name of ["config.json", "pytorch_model.bin", "model.safetensors"]) {
      await Deno.writeTextFile(join(model, name), "");
    }
    await assert.rejects(
      openRunFolder(model),
      /; to use the model in it, name its file: .*model\/model\.safetensors$/,
    );
    await Deno.writeTextFile(join(root, "metrics.jsonl"), JSON.stringify(step(1)) + "\nnonsense\n");
    await assert.rejects(
      readMetrics(root),
      /^DataError: Cannot read ".*metrics\.jsonl": line 2 is no record of a run: it must be JSON$/,
    );
    await assert.rejects(
      createRunFolder(join(root, "metrics.jsonl"), "x"),
      /^DataError: Cannot write ".*metrics\.jsonl": a file of that name is there; remove it or choose another name$/,
    );
  }));

Deno.test({
  name: "metrics on a full disk stop with path, cause and what to do",
  ignore: Deno.build.os !== "linux", // /dev/full, where every write fails for want of space, is Linux's
  fn: () =>
    inTemporaryFolder(async (root) => {
      using run = await createRunFolder(root, "demo");
      await Deno.symlink("/dev/full", run.file("metrics"));
      const message = `Cannot write "${run.file("metrics")}": the disk is full; ` +
        "make room (bytes, and places for files) and try again";
      assert.throws(() => run.appendMetrics(step(1)), new DataError(message));
    }),
});

Deno.test("a run is written by one process; what a dead one left half-written goes when the next opens it", () =>
  inTemporaryFolder(async (root) => {
    const run = await createRunFolder(root, "demo");
    await run.write("config", "name: demo\n");
    await assert.rejects(
      openRunFolder(run.path),
      new RegExp(
        `^DataError: Cannot write to ".*demo": process ${Deno.pid} .*is writing to it \\(train, since `,
      ),
    );
    run[Symbol.dispose]();
    await Deno.writeTextFile(join(run.path, "state.safetensors.123-0a1b2c3d.partial"), "half");
    await Deno.writeTextFile(join(run.path, "notes.partial"), "the user's");
    using again = await openRunFolder(run.path + "/");
    assert.equal(again.path, run.path);
    const names = await Array.fromAsync(Deno.readDir(run.path), ({ name }) => name);
    assert.deepEqual(names.sort(), ["config.yaml", "lock", "notes.partial"]);
  }));

Deno.test("a folder in place of the metrics is told in one line wherever they are read", () =>
  inTemporaryFolder(async (root) => {
    const told = /^DataError: Cannot read ".*metrics\.jsonl": it is a folder; put the file in its place$/;
    await Deno.mkdir(join(root, "metrics.jsonl"));
    await assert.rejects(readMetrics(root), told);
    await assert.rejects(truncateMetrics(root, 1, true), told);
  }));
