/** Whole runs on a small synthetic set: what a run folder holds, and that an interrupted run ends as if nothing had happened. */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileRange } from "../../../data/files.ts";
import { openSafetensors } from "../../../data/checkpoint/safetensors.ts";
import { synthesize } from "../../../data/synth/dataset.ts";
import { InterruptedError } from "../../../lib/errors.ts";
import { savedState } from "../../../train/files/checkpoint.ts";
import { type Config, parseConfig, synthOptions } from "../../../train/recipe/config.ts";
import {
  createRunFolder,
  metricOf,
  openRunFolder,
  readMetrics,
  RUN_FILES,
  type RunFolder,
  truncateMetrics,
} from "../../../train/files/run_folder.ts";
import { train, type TrainEvents, type TrainResult } from "../../../train/run/trainer.ts";
import { engineTest } from "../../_util/engine.ts";
import { assertSameBits } from "../../_util/same_bits.ts";

const root = await Deno.makeTempDir({ prefix: "sidenet-trainer-" });
addEventListener("unload", () => Deno.removeSync(root, { recursive: true }));
let dataReady: Promise<void> | undefined;

/** 22 training clips in batches of 4: six batches an epoch, the last of two clips. */
const RECIPE = `
name: tiny
seed: 5
run_root: ${join(root, "runs")}
data:
  root: ${join(root, "data")}
  train_list: ${join(root, "data/train.txt")}
  val_list: ${join(root, "data/val.txt")}
  synth: { train_clips: 22, val_clips: 7, classes: [left, right], width: 20, height: 18, frames_per_clip: 8 }
  image_tmpl: "{:05d}.jpg"
  num_segments: 2
  batch_size: 4
  resize: none
  crop: random
  flip: none
  grey: 0
  workers: 1
network:
  arch: custom
  backbone: { image_size: 16, patch_size: 8, width: 32, layers: 1, heads: 2 }
  side_dim: 64
solver: { epochs: 3, lr: 3.e-3, lr_warmup_step: 1, clip_grad_norm: 5 }
logging: { print_freq: 4, eval_freq: 1, skip_epoch: [1] }
`;

/** The recipe with its data set on the disk. */
async function tinyConfig(overrides: string[] = []): Promise<Config> {
  const { config } = parseConfig(RECIPE, { source: "tiny.yaml", overrides });
  dataReady ??= synthesize(config.data.root!, synthOptions(config)!);
  await dataReady;
  return config;
}

/**
 * A signal that says "abort" from the n-th look of the trainer on, once its session is open: it looks before its first batch, after
 * every step, before every batch of an evaluation, and after the evaluation.
 */
function abortAtLook(n: number): { signal: AbortSignal; events: TrainEvents } {
  let looks = -Infinity;
  const signal = {
    get aborted() {
      return ++looks >= n;
    },
    throwIfAborted(this: AbortSignal) {
      if (this.aborted) throw new DOMException("stopped by the test", "AbortError");
    },
    addEventListener() {},
    removeEventListener() {},
  } as unknown as AbortSignal;
  return { signal, events: { opened: () => looks = 0 } };
}

/** Goes on with a run as `train --resume` does. */
async function resumeRun(
  config: Config,
  path: string,
  options: { signal?: AbortSignal; events?: TrainEvents } = {},
): Promise<TrainResult> {
  const state = await savedState(join(path, RUN_FILES.state));
  await truncateMetrics(path, state.step, state.evaluated);
  using folder = await openRunFolder(path);
  return await train({ config, folder, resume: folder.file("state"), ...options });
}

/** Every tensor of a checkpoint as bytes. */
async function tensorsOf(path: string): Promise<Map<string, Uint8Array>> {
  await using range = await fileRange(path);
  const file = await openSafetensors(range, { label: path });
  const tensors = new Map<string, Uint8Array>();
  for (const name of file.names()) tensors.set(name, (await file.readRaw(name)).slice());
  return tensors;
}

/** Everything a run leaves behind that does not measure time. */
async function resultOf(folder: Pick<RunFolder, "path">) {
  const { steps, evals } = await readMetrics(folder.path);
  const { seconds: _, ...state } = await savedState(join(folder.path, RUN_FILES.state));
  const { seconds: _s, clips_per_second: _c, ...summary } = JSON.parse(
    await Deno.readTextFile(join(folder.path, RUN_FILES.summary)),
  );
  return {
    steps: steps.map(({ clips_per_second: _, data_wait: _w, ...same }) => same),
    evals,
    state,
    summary,
    weights: await tensorsOf(join(folder.path, RUN_FILES.last)),
    best: await tensorsOf(join(folder.path, RUN_FILES.best)),
    moments: await tensorsOf(join(folder.path, RUN_FILES.state)),
    config: await Deno.readTextFile(join(folder.path, RUN_FILES.config)),
  };
}

/** Everything equal, tensors to the bit. */
function assertSameResult(actual: RunResult, expected: RunResult): void {
  const { weights, best, moments, ...numbers } = actual;
  const { weights: otherWeights, best: otherBest, moments: otherMoments, ...otherNumbers } = expected;
  assert.deepEqual(numbers, otherNumbers);
  assertSameBits(weights, otherWeights, "last");
  assertSameBits(best, otherBest, "best");
  assertSameBits(moments, otherMoments, "state");
}

async function wholeRun(config: Config) {
  using folder = await createRunFolder(config.run_root, "whole");
  await train({ config, folder });
  return await resultOf(folder);
}

type RunResult = Awaited<ReturnType<typeof resultOf>>;

async function interruptedBy(promise: Promise<unknown>, step: number): Promise<void> {
  await assert.rejects(promise, (error: Error) => {
    assert.ok(error instanceof InterruptedError, error.stack);
    assert.match(
      error.message,
      new RegExp(`^Stopped at step ${step}; everything is saved: go on with --resume `),
    );
    return true;
  });
}

engineTest("a run leaves weights, state, metrics and a summary whose numbers agree", async () => {
  const config = await tinyConfig();
  const { steps, evals, state, summary, weights, moments } = await wholeDefaultRun(config);
  // Six steps an epoch: a line every four steps, at the end of an epoch and at the end of the run.
  assert.deepEqual(steps.map(({ step, epoch }) => [epoch, step]), [[0, 4], [0, 6], [1, 8], [1, 12], [2, 16], [
    2,
    18,
  ]]);
  assert.deepEqual(evals.map(({ epoch, step }) => [epoch, step]), [[0, 6], [2, 18]]);
  for (const record of evals) {
    const [top1, top5, loss] = ["top1", "top5", "loss"].map((key) => metricOf(record, key));
    assert.ok(top1 >= 0 && top1 <= 1 && top5 === 1 && loss > 0);
    assert.ok(Math.abs(top1 * 7 - Math.round(top1 * 7)) < 1e-9, "a share of seven clips");
  }
  assert.ok(steps.every(({ loss }) => Number.isFinite(loss) && loss > 0.1 && loss < 3));
  assert.ok(steps.every(({ gpu_bytes }) => gpu_bytes === summary.gpu_bytes_planned));
  assert.equal(summary.gpu_bytes_allocated, summary.gpu_bytes_planned);
  assert.deepEqual(
    [summary.system, summary.epochs, summary.steps, summary.clips, summary.data_problems],
    ["side4video", 3, 18, 66, 0],
  );
  assert.equal(summary.final_train_loss, steps.at(-1)!.loss);
  assert.deepEqual([summary.top1, summary.loss], [evals[1].top1, evals[1].loss]);
  assert.deepEqual(
    [state.epoch, state.clipsInEpoch, state.step, state.microBatches, state.evaluated, state.pendingLosses],
    [3, 0, 18, 18, true, []],
  );
  const best = evals.reduce((a, b) => b.top1 >= a.top1 ? b : a);
  assert.deepEqual([state.best?.epoch, state.best?.top1], [best.epoch, best.top1]);
  const names = [...weights.keys()];
  assert.ok(names.includes("fc.weight") && names.includes("visual.side_post_bn.running_var"));
  const counter = weights.get("visual.side_post_bn.num_batches_tracked")!;
  assert.equal(new DataView(counter.buffer).getBigInt64(0, true), 18n);
  assert.ok(names.every((name) => !name.includes("resblocks")), "the frozen backbone is not stored");
  for (const name of names) {
    if (!name.endsWith("num_batches_tracked")) {
      assert.deepEqual(moments.get(`value.${name}`), weights.get(name), name);
    }
  }
  assert.ok(moments.has("exp_avg.fc.weight") && moments.has("exp_avg_sq.fc.weight"));
});

let defaultRun: Promise<RunResult> | undefined;

/** The run of the recipe as it stands, made once. */
function wholeDefaultRun(config: Config): Promise<RunResult> {
  return defaultRun ??= wholeRun(config);
}

/** Where to stop, one attempt after the other, by looks of the trainer at its signal, and the step it is then at. */
interface Stop {
  look: number;
  step: number;
}

/** A run up to its first stop. @returns Its folder. */
async function begunRun(config: Config, { look, step }: Stop): Promise<string> {
  using folder = await createRunFolder(config.run_root, "stopped");
  await interruptedBy(train({ config, folder, ...abortAtLook(look) }), step);
  return folder.path;
}

async function runWithStops(config: Config, stops: readonly Stop[]) {
  const [first, ...later] = stops, path = await begunRun(config, first);
  for (const { look, step } of later) {
    await interruptedBy(resumeRun(config, path, abortAtLook(look)), step);
  }
  await resumeRun(config, path);
  return await resultOf({ path });
}

engineTest(
  "a run that is interrupted again and again ends with the same bits as one that is not",
  async () => {
    const config = await tinyConfig();
    const stopped = await runWithStops(config, [
      { look: 4, step: 3 }, // in the middle of an epoch, losses waiting for their line
      { look: 6, step: 6 }, // in the evaluation after the first epoch
      { look: 3, step: 6 }, // when that evaluation is done
      { look: 7, step: 12 }, // at the last batch of an epoch that is not evaluated
      { look: 7, step: 18 }, // at the last step of all, before the last evaluation
      { look: 3, step: 18 }, // when that is done
    ]);
    assertSameResult(stopped, await wholeDefaultRun(config));
  },
);

engineTest(
  "a run with accumulation across epochs, repeated augmentation and a step limit resumes exactly",
  async () => {
    // Six micro-batches an epoch in groups of four: half a group waits at the end of the first epoch.
    const config = await tinyConfig([
      "solver.skip_nonfinite=3", // the state then also holds the statistics before the update under way
      "solver.grad_accumulation_steps=4",
      "solver.max_steps=4",
      "data.num_sample=2",
      "logging.print_freq=3",
      "memory=recompute",
    ]);
    const whole = await wholeRun(config);
    assert.equal(whole.summary.steps, 4);
    assert.equal(whole.state.microBatches, 16);
    assert.equal(whole.summary.skipped_updates, 0);
    const stopped = await runWithStops(config, [
      { look: 3, step: 1 }, // in the evaluation after the first epoch
      { look: 6, step: 4 }, // at the last step
    ]);
    assertSameResult(stopped, whole);
  },
);

engineTest(
  "a run that was killed goes on from its last saved state and ends with the same bits",
  async () => {
    const config = await tinyConfig([
      "logging.checkpoint_every=4",
      "logging.print_freq=1",
      "solver.epochs=2",
    ]);
    const whole = await wholeRun(config);
    const killed = join(config.run_root, "killed");
    using folder = await createRunFolder(config.run_root, "before");
    await train({
      config,
      folder,
      events: {
        step: ({ step }) => {
          if (step !== 10) return;
          // What a kill at this moment leaves: the state of step 8, metrics up to step 10 and half a line.
          Deno.mkdirSync(killed);
          for (const { name } of Deno.readDirSync(folder.path)) {
            Deno.copyFileSync(join(folder.path, name), join(killed, name));
          }
          Deno.writeTextFileSync(join(killed, RUN_FILES.metrics), '{"kind":"st', { append: true });
        },
      },
    });
    assert.equal((await savedState(join(killed, RUN_FILES.state))).step, 8);
    await resumeRun(config, killed);
    assertSameResult(await resultOf({ path: killed }), whole);
  },
);

engineTest(
  "states are written by time and after the first steps, which changes nothing that is computed",
  async () => {
    const saved: Record<string, (number | null)[]> = {};
    const runs = await Promise.all(
      ["10", "1e-9", "0"].map((minutes) =>
        tinyConfig([`logging.checkpoint_minutes=${minutes}`, "logging.print_freq=1", "solver.epochs=1"])
      ),
    );
    const results: RunResult[] = [];
    for (const config of runs) {
      const minutes = String(config.logging.checkpoint_minutes);
      using folder = await createRunFolder(config.run_root, "timed");
      const seen: (number | null)[] = saved[minutes] = [];
      const step = () => {
        // Told before the state of this step is written.
        const file = folder.file("state");
        seen.push(existsSync(file) ? Deno.statSync(file).mtime!.getTime() : null);
      };
      await train({ config, folder, events: { step } });
      results.push(await resultOf(folder));
    }
    const changes = (times: (number | null)[]) => times.map((time, i) => i > 0 && time !== times[i - 1]);
    assert.deepEqual(
      changes(saved["10"]),
      [false, false, true, false, false, false],
      "after the second step alone",
    );
    assert.deepEqual(changes(saved["1e-9"]).slice(1), [true, true, true, true, true], "after every step");
    assert.deepEqual(saved["null"], [null, null, null, null, null, null]);
    for (const { weights, moments, steps } of results) {
      assertSameBits(weights, results[0].weights);
      assertSameBits(moments, results[0].moments);
      assert.deepEqual(steps.map(({ loss }) => loss), results[0].steps.map(({ loss }) => loss));
    }
  },
);

engineTest("every loss counts in its line of metrics, however many micro-batches a line covers", async () => {
  // The list seven times over makes 77 batches an epoch. At rate 0 a loss does not depend on the steps before it.
  const { data: { root: data, train_list: list } } = await tinyConfig();
  const long = join(data!, "long.txt");
  await Deno.writeTextFile(long, (await Deno.readTextFile(list!)).repeat(7));
  const common = [`data.train_list=${long}`, "data.batch_size=2", "solver.lr=0", "solver.epochs=1"];
  const single = await wholeRun(await tinyConfig([...common, "logging.print_freq=1"]));
  const rare = await wholeRun(
    await tinyConfig([...common, "solver.grad_accumulation_steps=11", "logging.print_freq=7"]),
  );
  assert.equal(single.steps.length, 77);
  assert.deepEqual(rare.steps.map(({ step }) => step), [7]);
  const mean = single.steps.reduce((sum, { loss }) => sum + loss, 0) / 77;
  assert.ok(Math.abs(rare.steps[0].loss - mean) < 1e-9, `${rare.steps[0].loss}, expected ${mean}`);
});
