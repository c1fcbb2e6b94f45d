/** Measures the exchange of gradients: sums over ranks by size, beside the machine's memory, and what they take of a step. */

import { Collectives, type Ranks } from "../gpu/ranks/collective.ts";
import type { Gpu } from "../gpu/device.ts";
import type { MpiWorld } from "../mpi/mpi_world.ts";
import type { Config } from "../train/recipe/config.ts";
import { parameterCounts } from "../train/run/prepare.ts";
import type { Measurement } from "./matmul.ts";
import { benchStep } from "./step.ts";

/** Floats of the sums: from a batch norm's to the gradients of Side4Video on ViT-B/16. */
const SIZES = [2 ** 10, 2 ** 16, 2 ** 20, 2 ** 22, 21_000_000];
const REPEATS = 7;

/** A measurement of an exchange. */
export interface ExchangeMeasurement extends Measurement {
  ranks: number;
  /** Of a step of the recipe on as many clips as a rank has, with its exchange. */
  share_of_step?: number;
}

/** Times copying in memory, on every rank at once. @returns Bytes a second of one rank: read and written. */
export async function memoryRate(world: MpiWorld): Promise<number> {
  const from = new Float32Array(SIZES.at(-1)!).fill(1), to = new Float32Array(from.length);
  const seconds = await measured(world, () => Promise.resolve(to.set(from)));
  return 2 * from.byteLength / seconds;
}

/** Sums over ranks. All ranks go through them; the figures are those of the slowest. */
export async function* benchExchange(world: MpiWorld): AsyncGenerator<ExchangeMeasurement> {
  const common = { adapter: world.mpi, gflops: 0, ranks: world.size };
  const rate = await memoryRate(world);
  const bytes = SIZES.at(-1)! * 4;
  yield {
    name: "memory",
    variant: "copy, all ranks at once",
    shape: sizeText(bytes),
    ms: 2 * bytes / rate * 1000,
    gbps: rate / 1e9,
    ...common,
  };
  for (const floats of SIZES) {
    const seconds = await sumSeconds(world, floats), ring = 2 * (world.size - 1) / world.size * floats * 4;
    yield {
      name: "allreduce",
      variant: `${world.size} ranks`,
      shape: sizeText(floats * 4),
      ms: seconds * 1000,
      gbps: ring / seconds / 1e9,
      ...common,
    };
  }
}

/** The step of a recipe on a rank's clips, one rank after the other, and its exchange on all. */
export async function benchSharedStep(
  world: MpiWorld,
  gpu: Gpu,
  config: Config,
): Promise<ExchangeMeasurement> {
  const clips = Math.max(1, Math.floor(config.data.batch_size / world.size));
  const own = { ...config, data: { ...config.data, batch_size: clips } };
  let stepMs = 0, shape = "";
  // They may share cores: each has the machine for itself while it computes.
  for (let rank = 0; rank < world.size; rank++) {
    if (rank === world.rank) {
      for await (const row of benchStep(gpu, own)) [stepMs, shape] = [row.ms, row.shape];
    }
    await world.meet("the next rank's step", { limitSeconds: 3600 });
  }
  const floats = parameterCounts(config).trainable;
  const copies = await copySeconds(gpu, floats * 4);
  const exchange = await sumSeconds(world, floats) + copies;
  const [slowest, slowestExchange] = await world.max([stepMs, exchange * 1000], "the steps");
  return {
    name: "shared step",
    variant: `${config.system}/${config.network.arch}, ${sizeText(floats * 4)} of gradients`,
    shape,
    ms: slowest + slowestExchange,
    gflops: 0,
    gbps: 0,
    adapter: gpu.name,
    ranks: world.size,
    share_of_step: slowestExchange / (slowest + slowestExchange),
  };
}

/** Time of gradients on their way to the host and back, without other ranks. */
export async function copySeconds(gpu: Gpu, bytes: number): Promise<number> {
  const alone: Ranks = { meet: () => {}, sum: (values, into) => into.set(values), broadcast: () => {} };
  using collectives = new Collectives(gpu.device, alone);
  const usage = GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST | GPUBufferUsage.STORAGE;
  const buffer = gpu.device.createBuffer({ label: "gradients", size: bytes, usage });
  try {
    let best = Infinity;
    for (let i = 0; i <= 3; i++) {
      const started = performance.now();
      await collectives.sum([{ buffer: 0, offset: 0, bytes }], [buffer], "nothing");
      await gpu.device.queue.onSubmittedWorkDone();
      if (i > 0) best = Math.min(best, performance.now() - started);
    }
    return best / 1000;
  } finally {
    buffer.destroy();
  }
}

async function sumSeconds(world: MpiWorld, floats: number): Promise<number> {
  const values = new Float32Array(floats).fill(world.rank), into = new Float32Array(floats);
  return await measured(world, () => Promise.resolve(world.sum(values, into, "a sum")));
}

/** A size in the units of networks, with three digits. */
function sizeText(bytes: number): string {
  const [value, unit] = bytes < 1e6 ? [bytes / 1e3, "kB"] : [bytes / 1e6, "MB"];
  return `${Number(value.toPrecision(3))} ${unit}`;
}

/** The median of several times, each that of the slowest rank. */
async function measured(world: MpiWorld, body: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i <= REPEATS; i++) {
    await world.meet("a measurement");
    const started = performance.now();
    await body();
    const [ms] = await world.max([performance.now() - started], "a measurement");
    if (i > 0) times.push(ms / 1000);
  }
  return times.sort((a, b) => a - b)[REPEATS >> 1];
}
