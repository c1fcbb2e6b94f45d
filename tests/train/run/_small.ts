/** Runs on a small synthetic set, for what a run keeps and tells: six batches an epoch, the last of two clips. */

import { join } from "node:path";
import { synthesize } from "../../../data/synth/dataset.ts";
import { savedState } from "../../../train/files/checkpoint.ts";
import {
  createRunFolder,
  openRunFolder,
  RUN_FILES,
  type RunFolder,
} from "../../../train/files/run_folder.ts";
import { type Config, parseConfig, synthOptions } from "../../../train/recipe/config.ts";
import { train, type TrainEvents, type TrainResult } from "../../../train/run/trainer.ts";

const root = await Deno.makeTempDir({ prefix: "sidenet-small-" });
addEventListener("unload", () => Deno.removeSync(root, { recursive: true }));
let dataReady: Promise<void> | undefined;

const RECIPE = `
name: small
seed: 5
run_root: ${join(root, "runs")}
data:
  root: ${join(root, "data")}
  synth: { train_clips: 22, val_clips: 7, classes: [left, right], width: 20, height: 18, frames_per_clip: 8 }
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
logging: { print_freq: 4 }
`;

/** The recipe with its data set on the disk. */
export async function smallConfig(overrides: string[] = []): Promise<Config> {
  const { config } = parseConfig(RECIPE, { source: "small.yaml", overrides });
  dataReady ??= synthesize(config.data.root!, synthOptions(config)!);
  await dataReady;
  return config;
}

/** What a run told. */
export interface Told {
  notes: string[];
  infos: string[];
}

/** A run, with what it told. */
export type Ran = TrainResult & Told & { path: string };

function listening(events: TrainEvents = {}): Told & { events: TrainEvents } {
  const notes: string[] = [], infos: string[] = [];
  const note = (text: string) => void notes.push(text), info = (text: string) => void infos.push(text);
  return { notes, infos, events: { note, info, ...events } };
}

/** A whole run in a folder of its own. */
export async function smallRun(config: Config, events?: TrainEvents): Promise<Ran> {
  using folder: RunFolder = await createRunFolder(config.run_root, config.name);
  const { notes, infos, events: all } = listening(events);
  return { ...await train({ config, folder, events: all }), notes, infos, path: folder.path };
}

/** A run that is stopped when a step has been told, or in its first evaluation. @returns Its folder. */
export async function stoppedRun(config: Config, step: number | "evaluation"): Promise<string> {
  using folder = await createRunFolder(config.run_root, config.name);
  const controller = new AbortController();
  const events = {
    step: (record: { step: number }) => void (record.step === step && controller.abort()),
    evaluating: () => void (step === "evaluation" && controller.abort()),
  };
  const ended = await train({ config, folder, events, signal: controller.signal }).then(
    () => null,
    (error: Error) => error,
  );
  if (ended?.name !== "InterruptedError") {
    throw ended ?? new Error(`Cannot stop at ${step}: the run has ended`);
  }
  return folder.path;
}

/** Goes on with a run as `train --resume` does. @param from.state Another state than the run's own. */
export async function resumedRun(
  config: Config,
  path: string,
  from: { state?: string; opened?: () => void } = {},
): Promise<Ran> {
  using folder = await openRunFolder(path);
  const { notes, infos, events } = listening({ opened: from.opened }),
    resume = from.state ?? folder.file("state");
  return { ...await train({ config, folder, resume, events }), notes, infos, path };
}

/** The state of a run, but for the time it took. */
export async function stateOfRun(path: string) {
  const { seconds: _, ...state } = await savedState(join(path, RUN_FILES.state));
  return state;
}
