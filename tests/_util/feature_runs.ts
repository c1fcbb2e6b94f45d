/** Runs on a small synthetic set with and without stored features, for tests that compare them. */
import { join } from "node:path";
import { openSafetensors } from "../../data/checkpoint/safetensors.ts";
import { fileRange } from "../../data/files.ts";
import { synthesize } from "../../data/synth/dataset.ts";
import { type Config, parseConfig, synthOptions } from "../../train/recipe/config.ts";
import { type ExtractEvents, extractFeatures, type ExtractResult } from "../../train/features/writer.ts";
import { createRunFolder, readMetrics } from "../../train/files/run_folder.ts";
import { train, type TrainEvents } from "../../train/run/trainer.ts";

/** Backbones by the system that they go with. */
const BACKBONES = {
  "side4video": "{ image_size: 16, patch_size: 8, width: 32, layers: 2, heads: 2 }",
  "side4video-eva":
    "{ image_size: 16, patch_size: 8, width: 32, layers: 3, heads: 2, eva: { hidden: 64, norm: post } }",
  "tds-clip": "{ image_size: 16, patch_size: 8, width: 32, layers: 1, heads: 2 }",
  dist: "{ image_size: 16, patch_size: 8, width: 32, layers: 2, heads: 2 }",
};

/** What else their networks need. */
const NETWORK_KEYS: Partial<Record<keyof typeof BACKBONES, string>> = {
  dist: `
  text: { width: 16, heads: 1, layers: 1, context: 8 }
  embed_dim: 16
  temporal_dim: 8
  pooling_layers: 1`,
};

/** Ten training clips in batches of four, the last of two; views are the same in every epoch. */
const recipe = (root: string, system: keyof typeof BACKBONES) => `
name: tiny
system: ${system === "side4video-eva" ? "side4video" : system}
seed: 5
run_root: ${join(root, "runs")}
precision: f16
data:
  root: ${join(root, "data")}
  train_list: ${join(root, "data/train.txt")}
  val_list: ${join(root, "data/val.txt")}
  synth: { train_clips: 10, val_clips: 3, classes: [left, right], width: 20, height: 18, frames_per_clip: 8 }
  image_tmpl: "{:05d}.jpg"
  num_segments: 2
  batch_size: 4
  resize: ${system === "dist" ? "auto" : "none"}
  random_shift: false
  crop: centre
  flip: none
  grey: 0
  workers: 1
network:
  arch: custom
  backbone: ${BACKBONES[system]}
  side_dim: 64${NETWORK_KEYS[system] ?? ""}
solver: { epochs: 2, lr: 3.e-3, lr_warmup_step: 1 }
logging: { print_freq: 1, example_clips: 0 }
`;

/** A folder with the data set, its runs and its features. Removed when disposed. */
export class FeatureRuns implements AsyncDisposable {
  private constructor(readonly root: string, readonly system: keyof typeof BACKBONES) {}

  static async create(system: keyof typeof BACKBONES = "side4video"): Promise<FeatureRuns> {
    const runs = new FeatureRuns(await Deno.makeTempDir({ prefix: "sidenet-features-" }), system);
    const config = runs.config();
    await synthesize(config.data.root!, synthOptions(config)!);
    return runs;
  }

  config(...overrides: string[]): Config {
    return parseConfig(recipe(this.root, this.system), { source: "tiny.yaml", overrides }).config;
  }

  file(...parts: string[]): string {
    return join(this.root, ...parts);
  }

  /** Extracts into a folder of this name, by default in shards of some three clips. */
  async extract(
    name: string,
    options: {
      overrides?: string[];
      epochs?: number;
      shardBytes?: number;
      keepMinutes?: number;
      signal?: AbortSignal;
      events?: ExtractEvents;
    } = {},
  ): Promise<ExtractResult> {
    const { overrides = [], shardBytes = 7000, ...rest } = options;
    return await extractFeatures({
      config: this.config(...overrides),
      out: this.file(name),
      shardBytes,
      ...rest,
    });
  }

  /** Trains, and gives what the run computed: losses, accuracies and every final weight by its bytes. */
  async train(name: string, overrides: string[] = [], options: { events?: TrainEvents } = {}) {
    const config = this.config(...overrides);
    using folder = await createRunFolder(config.run_root, name);
    const { summary, problems } = await train({ config, folder, ...options });
    const { steps, evals } = await readMetrics(folder.path);
    return {
      losses: steps.map(({ loss }) => loss),
      evals: evals.map(({ loss, top1 }) => [loss, top1]),
      weights: await tensorsOf(folder.file("last")),
      problems,
      summary,
    };
  }

  /** Every file of a folder of features. */
  async bytesOf(name: string): Promise<Map<string, Uint8Array>> {
    const files = new Map<string, Uint8Array>();
    for await (const entry of Deno.readDir(this.file(name))) {
      files.set(entry.name, await Deno.readFile(this.file(name, entry.name)));
    }
    return files;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.root, { recursive: true });
  }
}

/** Every tensor of a file as bytes. */
export async function tensorsOf(path: string): Promise<Map<string, Uint8Array>> {
  await using range = await fileRange(path);
  const file = await openSafetensors(range, { label: path }), tensors = new Map<string, Uint8Array>();
  for (const name of file.names()) tensors.set(name, await file.readRaw(name));
  return tensors;
}
