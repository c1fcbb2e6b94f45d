/** `plan --ranks`: how long a step would take on more ranks, from what is measured here. */
import { copySeconds } from "../../bench/mpi.ts";
import { benchStep } from "../../bench/step.ts";
import { openGpu } from "../../gpu/device.ts";
import { ConfigError } from "../../lib/errors.ts";
import { formatBytes, formatCount, formatShare } from "../../lib/text.ts";
import { parseBandwidth, paysUpTo, type ScalingFacts, scalingOf } from "../../mpi/scaling.ts";
import { readTrainingSet } from "../../train/feed/training_set.ts";
import { trainingFeed } from "../../train/feed/training_feed.ts";
import { withFoundModality } from "../../train/feed/modality.ts";
import type { Config } from "../../train/recipe/config.ts";
import { parameterCounts } from "../../train/run/prepare.ts";
import { clipsPerBatch } from "../../train/tasks/session_options.ts";
import type { Io } from "../shared/output.ts";
import { tunedChoices } from "../shared/tuned.ts";

/** Flags of the scaling plan. */
export const SCALING_OPTIONS = {
  ranks: {
    type: "integer",
    min: 2,
    placeholder: "N",
    help: "also how long a step would take on up to N ranks (MPI)",
  },
  bandwidth: {
    type: "string",
    placeholder: "RATE",
    help: "between two ranks, such as 25GB/s or 100Gbit/s; 10GB/s by default",
  },
  "ranks-per-node": {
    type: "integer",
    min: 1,
    placeholder: "N",
    help: "ranks of one machine, which share what it loads; 8 by default",
  },
} as const;

const BANDWIDTH = "10GB/s", RANKS_PER_NODE = 8;
/** Of one message between two ranks, in a cluster's network. */
const LATENCY_SECONDS = 5e-6;
/** Clips that are loaded to know how fast that is, and for how long at most. */
const LOADED_CLIPS = 96, LOADED_MS = 5000;
/** Clips of a measured step, at most: a software adapter takes seconds for one. */
const MEASURED_CLIPS = 8;

/** Refuses flags of the scaling plan without the one that asks for it. */
export function requireRanks(
  values: { ranks?: number; bandwidth?: string; "ranks-per-node"?: number },
): void {
  const idle = (["bandwidth", "ranks-per-node"] as const).find((name) => values[name] !== undefined);
  if (values.ranks !== undefined || idle === undefined) return;
  throw new ConfigError(
    `Cannot plan ranks: --${idle} must come with --ranks N, the number of ranks to plan up to, which is missing`,
  );
}

/** Bytes a second of `--bandwidth`. */
export function bandwidthOf(text: string = BANDWIDTH): number {
  const bandwidth = parseBandwidth(text);
  if (bandwidth !== null) return bandwidth;
  throw new ConfigError(
    `Cannot plan ranks: --bandwidth must be a rate such as 25GB/s or 100Gbit/s, current value is "${text}"`,
  );
}

/** Measures here, and prints steps on more ranks. */
export async function printScaling(
  config: Config,
  options: { ranks: number; bandwidth?: string; ranksPerNode?: number },
  io: Io,
): Promise<void> {
  const bandwidth = bandwidthOf(options.bandwidth), { ranksPerNode = RANKS_PER_NODE } = options;
  io.status("measuring a step");
  using gpu = await openGpu({ choices: (await tunedChoices()).known });
  const clips = clipsPerBatch(config), copies = config.data.num_sample;
  const many = Math.max(2 * copies, Math.min(clips, MEASURED_CLIPS)), few = Math.max(copies, many >> 1);
  const [manySeconds, fewSeconds] = [await stepSeconds(config, many), await stepSeconds(config, few)];
  const clipSeconds = Math.max(0, manySeconds - fewSeconds) / (many - few);
  io.status("measuring the loading of clips");
  const gradientBytes = 4 * parameterCounts(config).trainable;
  const facts: ScalingFacts = {
    clips,
    clipSeconds,
    fixedSeconds: Math.max(0, manySeconds - clipSeconds * many),
    gradientBytes,
    copySeconds: await copySeconds(gpu, gradientBytes),
    bandwidth,
    latencySeconds: LATENCY_SECONDS,
    loadedPerSecond: await loadingRate(config, io.signal),
    ranksPerNode,
  };
  io.status("");
  const steps = scalingOf(facts, options.ranks), worth = paysUpTo(steps);
  io.print(
    `  on more ranks, from a step measured on ${gpu.name} (${few} and ${many} clips), ${
      formatBytes(gradientBytes)
    } of gradients at ${formatBytes(bandwidth)}/s, ` +
      (facts.loadedPerSecond === null
        ? "loading not measured (the clips cannot be read here):"
        : `${
          formatCount(Math.round(facts.loadedPerSecond))
        } clips/s loaded by a machine of ${ranksPerNode} ranks:`),
  );
  const row = (...cells: string[]) =>
    io.print(`  ${cells.map((cell, i) => cell.padStart(i === 0 ? 7 : 13)).join("")}`);
  row("ranks", "clips/rank", "compute", "exchange", "loading", "step", "clips/s", "efficiency");
  const seconds = (value: number) => value >= 1 ? `${value.toFixed(2)} s` : `${(1000 * value).toFixed(1)} ms`;
  for (const step of steps) {
    row(
      String(step.ranks),
      String(step.clips),
      seconds(step.computeSeconds),
      seconds(step.exchangeSeconds),
      facts.loadedPerSecond === null ? "-" : seconds(step.loadingSeconds),
      seconds(step.stepSeconds),
      step.clipsPerSecond.toFixed(1),
      formatShare(step.efficiency, 0),
    );
  }
  io.print(
    worth === options.ranks
      ? `  up to ${worth} ranks pay: each doubling makes a step a quarter shorter at least (docs/clusters.md)`
      : `  it stops paying beyond ${worth} ranks: the next doubling makes a step shorter by less than a quarter (docs/clusters.md)`,
  );
  io.printJson({ scaling: { facts, steps, pays_up_to: worth } });

  async function stepSeconds(recipe: Config, count: number): Promise<number> {
    const data = {
      ...recipe.data,
      batch_size: Math.max(1, Math.round(count / copies)),
      micro_batch_size: null,
    };
    const solver = { ...recipe.solver, grad_accumulation_steps: 1 };
    for await (const { ms } of benchStep(gpu, { ...recipe, data, solver })) return ms / 1000;
    throw new Error("Cannot measure a step");
  }
}

/** Clips a second that this machine decodes; null where it cannot read them. */
async function loadingRate(given: Config, signal: AbortSignal): Promise<number | null> {
  try {
    const config = await withFoundModality(given, { splits: ["train"] }), set = await readTrainingSet(config);
    await using feed = trainingFeed(config, set.clips);
    let clips = 0, started: number | null = null;
    for await (const batch of feed.epoch(set.order(0, 0).slice(0, LOADED_CLIPS), 4)) {
      signal.throwIfAborted();
      // The first ones came while workers were started.
      if (started === null) started = performance.now();
      else clips += batch.clips.length;
      if (performance.now() - started > LOADED_MS) break;
    }
    return clips === 0 ? null : clips / ((performance.now() - started!) / 1000);
  } catch (error) {
    if (signal.aborted) throw error;
    return null;
  }
}
