/** Runs whose batches go through the GPU in parts: because the recipe says so, or because the adapter cannot hold more. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { synthesize } from "../../../data/synth/dataset.ts";
import { InterruptedError } from "../../../lib/errors.ts";
import { savedState } from "../../../train/files/checkpoint.ts";
import { createRunFolder, openRunFolder, readMetrics } from "../../../train/files/run_folder.ts";
import { type Config, loadConfig, parseConfig, synthOptions } from "../../../train/recipe/config.ts";
import { train } from "../../../train/run/trainer.ts";
import { engineTest } from "../../_util/engine.ts";

const root = await Deno.makeTempDir({ prefix: "sidenet-micro-batch-" });
addEventListener("unload", () => Deno.removeSync(root, { recursive: true }));

async function configOf(name: string, data: string, patch: number): Promise<Config> {
  const { config } = parseConfig(`
name: ${name}
seed: 5
run_root: ${join(root, "runs")}
data:
  root: ${join(root, name)}
  train_list: ${join(root, name, "train.txt")}
  val_list: ${join(root, name, "val.txt")}
  image_tmpl: "{:05d}.jpg"
  crop: none
  flip: none
  grey: 0
  workers: 1
${data}
network:
  arch: custom
  backbone: { image_size: ${2 * patch}, patch_size: ${patch}, width: 32, layers: 1, heads: 1 }
  side_dim: 64
solver: { epochs: 1, lr: 1.e-3, lr_warmup_step: 0 }
logging: { print_freq: 1 }
`);
  await synthesize(config.data.root!, synthOptions(config)!);
  return config;
}

/** A run that is stopped after its first step. @returns Its folder. */
async function interruptedRun(config: Config): Promise<string> {
  using folder = await createRunFolder(config.run_root, "stopped");
  const stop = new AbortController();
  const running = train({
    config,
    folder,
    signal: stop.signal,
    events: { step: ({ step }) => step === 1 && stop.abort(new InterruptedError("stop")) },
  });
  await assert.rejects(running, InterruptedError);
  return folder.path;
}

engineTest("a run in parts is resumed to the same bits, and counts batches, not parts", async () => {
  const config = await configOf(
    "parts",
    `  synth: { train_clips: 14, val_clips: 4, classes: [left, right], width: 16, height: 16, frames_per_clip: 8 }
  num_segments: 2
  batch_size: 4
  micro_batch_size: 3
  resize: none`,
    8,
  );
  using through = await createRunFolder(config.run_root, "through");
  await train({ config, folder: through });
  const path = await interruptedRun(config);
  using again = await openRunFolder(path);
  const state = await savedState(again.file("state"));
  assert.ok(state.step > 0 && state.step < 4);
  assert.equal(state.microBatches, 2 * state.clipsInEpoch / 4);
  await train({ config, folder: again, resume: again.file("state") });
  // 4, 4, 4 and 2 clips: the last batch goes through whole.
  assert.equal((await savedState(again.file("state"))).microBatches, 7);
  assert.deepEqual(
    (await readMetrics(again.path)).steps.map(({ loss }) => loss),
    (await readMetrics(through.path)).steps.map(({ loss }) => loss),
  );
  const weights = await Promise.all([through, again].map((folder) => Deno.readFile(folder.file("last"))));
  assert.deepEqual(weights[1].slice(-4096), weights[0].slice(-4096));
});

engineTest("a part of one clip, whose batch norms see a constant, is told", async () => {
  const config = await configOf(
    "single",
    `  synth: { train_clips: 5, val_clips: 2, classes: [left, right], width: 16, height: 16, frames_per_clip: 8 }
  num_segments: 2
  batch_size: 3
  micro_batch_size: 2
  resize: none`,
    8,
  );
  const notes: string[] = [];
  using folder = await createRunFolder(config.run_root, config.name);
  await train({ config, folder, events: { note: (text) => notes.push(text) } });
  assert.equal(notes.length, 1);
  assert.match(
    notes[0],
    /^of a batch of 3 clips a part has one clip \(data\.micro_batch_size\): its batch norms make /,
  );
});

engineTest("a batch that the adapter cannot hold goes in parts, which the run keeps", async (gpu) => {
  // 36 clips of 8 pictures of 224 x 224 are 166 MiB: more than a binding of adapters with 128 MiB.
  const config = await configOf(
    "large",
    `  synth: { train_clips: 36, val_clips: 2, classes: [left, right], width: 16, height: 16, frames_per_clip: 8 }
  num_segments: 8
  batch_size: 36
  resize: [224, 224]`,
    112,
  );
  const notes: string[] = [];
  using folder = await createRunFolder(config.run_root, config.name);
  const { summary } = await train({ config, folder, events: { note: (text) => notes.push(text) } });
  assert.deepEqual([summary.steps, summary.clips], [1, 36]);
  const kept = (await loadConfig(folder.file("config"), [])).config.data.micro_batch_size;
  if (gpu.maxBindingBytes > 36 * 8 * 3 * 224 ** 2 * 4) {
    assert.deepEqual([notes, kept], [[], null]);
  } else {
    assert.match(
      notes.join("\n"),
      /"frames" \[288,3,224,224\] needs 165 MiB in one piece, the adapter allows 128 MiB: a batch of 36 clips goes through the GPU in 2 parts of up to 18 /,
    );
    assert.equal(kept, 18);
  }
});
