/** `plan --ranks`: how long a step would take on more ranks, from what is measured here. */
import { copySeconds } from "../../bench/mpi.ts";
import { benchStep } from "../../bench/step.ts";
import { type Gpu, openGpu } from "../../gpu/device.ts";
import { ConfigError } from "../../lib/errors.ts";
import { formatBytes, formatCount, formatShare } from "../../lib/text.ts";
import {
  type MeasuredStep,
  parseBandwidth,
  payingSteps,
  paysUpTo,
  type ScaledStep,
  type ScalingFacts,
  scalingOf,
  splitStep,
} from "../../mpi/scaling.ts";
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
/** Clips of a step that is measured first, and how long one of more clips may take: a software adapter takes seconds for each. */
const MEASURED_CLIPS = 8, MEASURED_SECONDS = 1;

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
  using gpu = await openGpu({ choices: (await tunedChoices(io)).known });
  const { few, many } = await measuredSteps(gpu, config, options.ranks), clips = clipsPerBatch(config);
  io.status("measuring the loading of clips");
  const gradientBytes = 4 * parameterCounts(config).trainable;
  const facts: ScalingFacts = {
    clips,
    ...splitStep(few, many),
    gradientBytes,
    copySeconds: await copySeconds(gpu, gradientBytes),
    bandwidth,
    latencySeconds: LATENCY_SECONDS,
    loadedPerSecond: await loadingRate(config, io.signal),
    ranksPerNode,
  };
  io.status("");
  const steps = scalingOf(facts, options.ranks), worth = paysUpTo(steps);
  for (const line of premises(facts, { adapter: gpu.name, few, many, options })) io.print(line);
  const row = (...cells: string[]) =>
    io.print(`  ${cells.map((cell, i) => cell.padStart(i === 0 ? 7 : 13)).join("")}`);
  row("ranks", "clips/rank", "compute", "exchange", "loading", "step", "clips/s", "efficiency", "limit");
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
      step.limit,
    );
  }
  for (const line of conclusions(facts, steps)) io.print(line);
  io.printJson({ scaling: { facts, measured: [few, many], steps, pays_up_to: worth } });
}

function seconds(value: number): string {
  return value >= 1 ? `${value.toFixed(2)} s` : `${(1000 * value).toFixed(1)} ms`;
}

/** What the table is made from: measured, given or assumed. */
function premises(
  facts: ScalingFacts,
  { adapter, few, many, options }: {
    adapter: string;
    few: MeasuredStep;
    many: MeasuredStep;
    options: { bandwidth?: string; ranksPerNode?: number };
  },
): string[] {
  const { fixedSeconds, clipSeconds, gradientBytes, loadedPerSecond, ranksPerNode } = facts;
  const assumed = (isGiven: boolean, flag: string) => isGiven ? "" : ` (assumed; ${flag})`;
  const fixed = fixedSeconds > 0
    ? `${seconds(fixedSeconds)} whatever the clips`
    : "what a step takes whatever its clips is too little to be told (0 is taken)";
  return [
    "  on more ranks (docs/clusters.md):",
    `    arithmetic: steps of ${few.clips} and ${many.clips} clips took ${seconds(few.seconds)} and ${
      seconds(many.seconds)
    } on ${adapter}: ${fixed}, and ${seconds(clipSeconds)} a clip`,
    `    exchange: ${formatBytes(gradientBytes)} of gradients at ${options.bandwidth?.trim() ?? BANDWIDTH}${
      assumed(options.bandwidth !== undefined, "--bandwidth")
    }, and ${seconds(facts.copySeconds)} to the host and back`,
    loadedPerSecond === null
      ? "    loading: not measured, the clips cannot be read here"
      : `    loading: ${formatCount(Math.round(loadedPerSecond))} clips/s, as this machine does, shared by ${
        formatCount(ranksPerNode)
      } ranks of each machine${assumed(options.ranksPerNode !== undefined, "--ranks-per-node")}`,
  ];
}

/** How many ranks pay, and what stands against more of them. */
function conclusions(facts: ScalingFacts, steps: readonly ScaledStep[]): string[] {
  const paying = payingSteps(steps),
    last = paying.at(-1)!,
    rule = "each doubling makes a step a quarter shorter at least";
  const idle = steps.filter((step) => !paying.includes(step));
  const beyond = idle.find(({ ranks }) => ranks > last.ranks);
  const between = idle.filter(({ ranks }) => ranks < last.ranks);
  const lines = [
    beyond === undefined
      ? `  up to ${last.ranks} ranks pay: ${rule}`
      : `  it stops paying beyond ${last.ranks} ranks: the next doubling makes a step shorter by less than a quarter; ${
        limitWords(facts, beyond)
      }`,
  ];
  for (const step of between) {
    lines.push(`  ${step.ranks} ranks do not pay, more of them do: ${limitWords(facts, step)}`);
  }
  return lines;
}

/** What a step on so many ranks waits for. */
function limitWords({ fixedSeconds, ranksPerNode }: ScalingFacts, step: ScaledStep): string {
  const { ranks, limit, computeSeconds, exchangeSeconds, loadingSeconds } = step;
  if (limit === "loading") {
    return `at ${ranks} the limit is loading (${seconds(loadingSeconds)}): the ${
      Math.min(ranks, ranksPerNode)
    } ranks of a machine share what it loads`;
  }
  if (limit === "exchange") return `at ${ranks} the limit is the exchange (${seconds(exchangeSeconds)})`;
  return `at ${ranks} the limit is arithmetic (${seconds(computeSeconds)}, of which ${
    seconds(fixedSeconds)
  } whatever the clips; the exchange takes ${seconds(exchangeSeconds)})`;
}

/**
 * Steps of as few clips as one of so many ranks has, and of as many as one alone has, or as are measured in a second: what lies between
 * them, the table is of.
 */
async function measuredSteps(
  gpu: Gpu,
  config: Config,
  ranks: number,
): Promise<{ few: MeasuredStep; many: MeasuredStep }> {
  const all = clipsPerBatch(config), copies = config.data.num_sample;
  const whole = (clips: number) => copies * Math.max(1, Math.floor(clips / copies));
  const first = Math.max(2 * copies, whole(Math.min(all, MEASURED_CLIPS)));
  const few = await measure(Math.min(whole(Math.ceil(all / ranks)), whole(first / 2)));
  let many = await measure(first);
  const most = whole(Math.min(all, first * MEASURED_SECONDS / many.seconds));
  if (most > first) {
    try {
      many = await measure(most);
    } catch (error) {
      if ((error as Error).name !== "OutOfMemoryError") throw error; // then it is known for fewer
    }
  }
  return { few, many };

  async function measure(clips: number): Promise<MeasuredStep> {
    const data = { ...config.data, batch_size: clips / copies, micro_batch_size: null };
    const solver = { ...config.solver, grad_accumulation_steps: 1 };
    for await (const { ms } of benchStep(gpu, { ...config, data, solver })) {
      return { clips, seconds: ms / 1000 };
    }
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
