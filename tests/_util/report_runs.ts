/** Runs of a recipe that people's reports were tried with: 64 clips in batches of 8, seconds a run. */

import { join } from "node:path";
import { encodeSafetensors } from "../../data/checkpoint/safetensors.ts";
import { synthesize } from "../../data/synth/dataset.ts";
import { openCheckpoint } from "../../train/files/checkpoint.ts";
import { createRunFolder, openRunFolder, readMetrics, RUN_FILES } from "../../train/files/run_folder.ts";
import { type Config, parseConfig, synthOptions } from "../../train/recipe/config.ts";
import { train, type TrainEvents, type TrainResult } from "../../train/run/trainer.ts";

const RECIPE = await Deno.readTextFile(new URL("../fixtures/reports/tiny.yaml", import.meta.url));

/** A network and pictures as small as they may be: what is counted does not depend on them, and a session opens in a second. */
const SMALL = [
  "data.synth.width=16",
  "data.synth.height=16",
  "data.num_segments=2",
  "network.backbone={ image_size: 16, patch_size: 8, width: 32, layers: 1, heads: 2 }",
];

/** A folder for data and runs, removed when the tests of a file are over. */
export class ReportRuns {
  readonly root: string;
  readonly notes: string[] = [];
  #data: Promise<void> | undefined;

  constructor() {
    this.root = Deno.makeTempDirSync({ prefix: "sidenet-reports-" });
    addEventListener("unload", () => Deno.removeSync(this.root, { recursive: true }));
  }

  /** The recipe, with its data set on the disk. */
  async config(...overrides: string[]): Promise<Config> {
    const root = join(this.root, "data");
    const places = [
      ...SMALL,
      `data.root=${root}`,
      `run_root=${join(this.root, "runs")}`,
      "logging.example_clips=0",
    ];
    const { config } = parseConfig(RECIPE, {
      overrides: [
        ...places,
        `data.train_list=${root}/train.txt`,
        `data.val_list=${root}/val.txt`,
        ...overrides,
      ],
    });
    this.#data ??= synthesize(root, synthOptions(config)!);
    await this.#data;
    return config;
  }

  /** Trains in a new folder. */
  async train(config: Config, options: { signal?: AbortSignal; events?: TrainEvents } = {}) {
    using folder = await createRunFolder(config.run_root, config.name);
    return { path: folder.path, ...await train({ config, folder, ...this.#heard(options) }) };
  }

  /** Goes on in a folder, as `train --resume` does; without a state, from the beginning. */
  async resume(config: Config, path: string, options: { signal?: AbortSignal; events?: TrainEvents } = {}) {
    using folder = await openRunFolder(path);
    const hasState = await Deno.stat(folder.file("state")).then(() => true, () => false);
    const resume = hasState ? folder.file("state") : undefined;
    return { path, ...await train({ config, folder, resume, ...this.#heard(options) }) };
  }

  /** Trains until a step is done, then stops as Ctrl-C does. @returns The folder. */
  async stopAt(config: Config, step: number): Promise<string> {
    const controller = new AbortController();
    using folder = await createRunFolder(config.run_root, config.name);
    await train({
      config,
      folder,
      signal: controller.signal,
      events: { step: (record) => record.step === step && controller.abort() },
    }).then(
      () => Promise.reject(new Error("the run must be interrupted")),
      (error) => error.name === "InterruptedError" ? undefined : Promise.reject(error),
    );
    return folder.path;
  }

  #heard({ events, signal }: { signal?: AbortSignal; events?: TrainEvents }) {
    const note = (text: string) => void this.notes.push(text);
    return { signal, events: { note, ...events } };
  }
}

/** A copy of a run's folder, beside it. */
export async function copyOfRun(path: string, name: string): Promise<string> {
  const copy = join(path, "..", name);
  await Deno.mkdir(copy);
  for await (const { name } of Deno.readDir(path)) await Deno.copyFile(join(path, name), join(copy, name));
  return copy;
}

/** Every tensor of one of a run's checkpoints. */
export async function tensorsOf(
  path: string,
  which: "last" | "best" | "state",
): Promise<Map<string, Float32Array>> {
  await using source = await openCheckpoint(join(path, RUN_FILES[which]));
  const tensors = new Map<string, Float32Array>();
  for (const name of source.names()) tensors.set(name, await source.readF32(name));
  return tensors;
}

/** Writes a checkpoint of the project anew with some tensors changed; its metadata stay. */
export async function changeTensors(
  path: string,
  change: (name: string, values: Float32Array) => void,
): Promise<void> {
  await using source = await openCheckpoint(path);
  const tensors = [];
  for (const name of source.names()) {
    const values = (await source.readF32(name)).slice();
    change(name, values);
    tensors.push({ name, dtype: "F32" as const, shape: source.shapeOf(name)!, data: values });
  }
  await Deno.writeFile(path, ReadableStream.from(encodeSafetensors(tensors, { ...source.metadata })));
}

/** What a finished run counts. */
export async function countsOf({ path, summary }: TrainResult & { path: string }) {
  const { evals } = await readMetrics(path);
  return { steps: summary.steps, clips: summary.clips, evals: evals.map(({ epoch }) => epoch) };
}
