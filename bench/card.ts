/**
 * Measures ours and PyTorch in turn on one card: a product, the frozen tower, and a training step of a published recipe.
 * PyTorch's side is `bench/reference/card.py`, a process for each measurement, so that nothing of it stays on the card meanwhile.
 */

import { fileURLToPath } from "node:url";
import { type Gpu, openGpu } from "../gpu/device.ts";
import { Graph, resident, sizeOf, type Tensor } from "../gpu/graph.ts";
import { matmul } from "../gpu/ops/mod.ts";
import { type Plan, planGraph } from "../gpu/plan.ts";
import { prepareGraph } from "../gpu/run.ts";
import { chooseKernel } from "../gpu/tuning/choose.ts";
import { matmulTrial } from "../gpu/tuning/matmul_trial.ts";
import { tunablesOf } from "../gpu/tuning/tunables.ts";
import { ConfigError } from "../lib/errors.ts";
import { clipTower } from "../models/clip/tower.ts";
import type { ClipSizes } from "../models/clip/vit.ts";
import { createModel } from "../models/mod.ts";
import { SYSTEMS } from "../models/registry.ts";
import type { Config } from "../train/recipe/config.ts";
import { trainingSpec } from "../train/recipe/model.ts";
import { isKnownAdapter, measureKernels, worthMeasuring } from "../train/runtime/device/choose_kernels.ts";
import type { TunedChoices } from "../train/runtime/device/tuned.ts";
import { clipsPerBatch } from "../train/tasks/session_options.ts";
import {
  compareTimes,
  isComparable,
  isSameCard,
  type OwnTime,
  type PeerDevice,
  type PeerRow,
  type PeerTime,
  trainedDifference,
} from "./card_rows.ts";
import { plainSpec } from "./matmul.ts";
import { openStep } from "./step.ts";
import { plansOf } from "./tune.ts";
import { recordTower } from "./vit.ts";

/** As in card.py. An end is seen on a 10 ms poll, so that a repeat lasts long. */
const WARM_UP = 3, REPEATS = 9, REPEAT_MS = 500, ENOUGH_MS = 30_000, MOST_RUNS = 256;
/** The lightest launches keep their default kernels: this share of the operations, as in training. */
const LIGHTEST = 0.03;

/** What is measured. */
export interface CardOptions {
  /** Recipe of the step, whose tower is timed alone too. */
  readonly config: Config;
  /** Side of the square matrices. */
  readonly size: number;
  /** Pictures that the tower gets at once. */
  readonly images: number;
  /** A Python that must have PyTorch; absent: python3, if it has. */
  readonly python?: string;
  readonly choices: TunedChoices;
  readonly signal?: AbortSignal;
  /** Told what cannot be measured, and on what the peer runs. */
  readonly note: (line: string) => void;
}

/** Whether the peer is timed, and on what, or why not. */
export type PeerRun =
  & { name: "peer" }
  & ({ timed: true; device: string } & Omit<PeerDevice, "name"> | { timed: false; why: string });

/** A measurement by either, or what is known of the peer, which comes first. */
export type CardRow = OwnTime | PeerTime | PeerRun;

/** The peer's process. */
interface Peer {
  readonly device: PeerDevice;
  measure(what: string, sizes: Readonly<Record<string, number>>): Promise<PeerRow[]>;
}

/** Refuses a recipe whose step the peer has no counterpart of. */
export function checkCardRecipe(config: Config): void {
  const { id } = SYSTEMS.find(({ example }) => example !== undefined)!;
  const refuse = (what: string) => {
    throw new ConfigError(`Cannot bench "card": ${what}`);
  };
  if (config.system !== id) refuse(`system must be ${id}, current value is ${config.system}`);
  const { backbone } = createModel(trainingSpec(config)).config;
  if (!clipTower.has(backbone)) {
    refuse(`network.arch must be a CLIP tower, current value is ${config.network.arch}`);
  }
  const batches = config.solver.grad_accumulation_steps;
  if (batches !== 1) refuse(`solver.grad_accumulation_steps must be 1, current value is ${batches}`);
}

/** Measures all of it, ours before the peer's. Yields every measurement. */
export async function* benchCard(options: CardOptions): AsyncGenerator<CardRow> {
  const { config, size, images, note } = options;
  checkCardRecipe(config);
  const choices = new Map(options.choices.known), model = createModel(trainingSpec(config));
  const { frames } = model.config, backbone = model.config.backbone as ClipSizes;
  const clips = clipsPerBatch(config);
  let adapter: string, hasHalves: boolean;
  {
    using gpu = await openGpu({ choices });
    [adapter, hasHalves] = [gpu.name, gpu.features.has("shader-f16")];
  }
  const found = await openPeer(adapter, options), peer = typeof found === "string" ? null : found;
  if (typeof found === "string") {
    if (options.python !== undefined) throw new ConfigError(`Cannot time PyTorch: ${found}`);
    note(`warning: PyTorch is not timed: ${found}`);
    yield { name: "peer", timed: false, why: found };
  } else {
    const { name, ...device } = found.device, { torch, cuda, threads, driver } = device;
    note(
      `PyTorch ${torch} on ${name}, ${cuda === null ? `${threads} threads` : `CUDA ${cuda}`}, driver ${
        driver ?? "not known"
      }; ours on ${adapter}`,
    );
    yield { name: "peer", timed: true, device: name, ...device };
  }
  if (peer && !isSameCard(adapter, peer.device.name)) {
    note(
      `warning: ours runs on ${adapter}, PyTorch on ${peer.device.name}: not one card, so the targets are not judged`,
    );
  }
  const tower = {
    image: backbone.imageSize,
    patch: backbone.patchSize,
    width: backbone.width,
    heads: backbone.heads,
    layers: backbone.layers,
  };
  const step = {
    ...tower,
    clips,
    frames,
    "side-dim": config.network.side_dim!,
    classes: config.data.num_classes,
  };
  const dtypes = hasHalves ? ["f32", "f16"] as const : ["f32"] as const;
  if (!hasHalves) note(`warning: ${adapter} has no shader-f16: only f32 is measured of ours`);

  const failures: unknown[] = [];
  yield* part(async function* () {
    yield* beside("matmul", { size }, [["f32", await ownProduct()]]);
  });
  yield* part(async function* () {
    const towers: Pair[] = [];
    for (const dtype of dtypes) towers.push([dtype, await ownTower(dtype)]);
    yield* beside("vit", { ...tower, images }, towers);
  });
  yield* part(async function* () {
    const steps: Pair[] = [], trained = new Map<string, number>();
    for (const dtype of dtypes) steps.push([dtype, await ownStep(dtype, trained)]);
    yield* beside("step", step, steps, (row) => {
      const difference = row.error === undefined ? trainedDifference(trained, row) : null;
      if (difference !== null) {
        throw new Error(`Cannot compare with PyTorch: both must train the same tensors, but ${difference}`);
      }
    });
  });
  if (failures.length > 0) throw failures[0];

  /** A part of the measurement: a card may be lent for a short time, so what fails does not keep the others from being measured. */
  async function* part(measure: () => AsyncGenerator<CardRow>): AsyncGenerator<CardRow> {
    try {
      yield* measure();
    } catch (error) {
      options.signal?.throwIfAborted();
      failures.push(error);
      note(`warning: ${(error as Error).message}`);
    }
  }

  /** Ours, then the peer's. */
  async function* beside(
    what: string,
    sizes: Readonly<Record<string, number>>,
    owns: readonly Pair[],
    check?: (row: PeerRow) => void,
  ): AsyncGenerator<CardRow> {
    for (const [, own] of owns) yield own;
    for (const row of await peer?.measure(what, sizes) ?? []) {
      check?.(row);
      const halves = owns.some(([dtype]) => dtype === "f16");
      for (const [dtype, own] of owns) {
        if (isComparable(dtype, row.variant, halves)) yield compareTimes(own, row, peer!.device);
      }
    }
  }

  async function ownProduct(): Promise<OwnTime> {
    using gpu = await openGpu({ choices });
    const g = new Graph(), trial = matmulTrial(plainSpec(size, size, size));
    const a = resident("input", "a", [size, size]), b = resident("input", "b", [size, size]);
    const c = matmul(g, a, b);
    g.output("c", c);
    const values = new Map([[a, trial.inputs.a as Float32Array], [b, trial.inputs.b as Float32Array]]);
    const { result, program } = await timeGraph(gpu, g, values);
    const [product] = await program.read([c]), wrong = trial.check({ c: product });
    if (wrong !== undefined) throw new Error(`Cannot time matmul: ${wrong}`);
    const kernels = program.labels().join("+");
    gpu.memory[Symbol.dispose]();
    return { name: "matmul f32", variant: kernels, shape: `${size}x${size}x${size}`, ...result };
  }

  async function ownTower(dtype: "f32" | "f16"): Promise<OwnTime> {
    using gpu = await openGpu({ choices });
    const { g, values } = recordTower(backbone, { dtype, frames: images });
    const { result } = await timeGraph(gpu, g, values);
    gpu.memory[Symbol.dispose]();
    const { imageSize, layers } = backbone, shape = `${images}x3x${imageSize}x${imageSize}`;
    return { name: `vit ${dtype}`, variant: `${config.network.arch}/${layers} blocks`, shape, ...result };
  }

  async function timeGraph(gpu: Gpu, g: Graph, values: Map<Tensor, Float32Array>) {
    await tune(gpu, [planGraph(g, { limits: gpu })]);
    const program = await prepareGraph(gpu, g, values), { flops, bytesMoved } = program.plan;
    const ms = await medianMs(() => program.run(), () => gpu.device.queue.onSubmittedWorkDone());
    return { program, result: rates(gpu, ms, { flops, bytesMoved, bytes: gpu.memory.allocatedBytes }) };
  }

  async function ownStep(dtype: "f32" | "f16", trained: Map<string, number>): Promise<OwnTime> {
    using gpu = await openGpu({ choices });
    const recipe: Config = { ...config, precision: dtype };
    await tune(gpu, plansOf(gpu, recipe));
    await using open = await openStep(gpu, recipe);
    for (const { name, tensor } of open.session.updated) trained.set(name, sizeOf(tensor.shape));
    const ms = await medianMs(() => open.step(), () => open.session.finish());
    const plans = open.programs.map((name) => open.planned.plans[name]);
    const sum = (of: (plan: Plan) => number) => plans.reduce((total, plan) => total + of(plan), 0);
    const { imageSize } = backbone;
    return {
      name: `step ${dtype}`,
      variant: `${recipe.system}/${recipe.network.arch}/${recipe.memory}`,
      shape: `${clips}x${frames}x3x${imageSize}x${imageSize}`,
      ...rates(gpu, ms, {
        flops: sum(({ flops }) => flops),
        bytesMoved: sum(({ bytesMoved }) => bytesMoved),
        bytes: open.session.allocatedBytes,
      }),
    };
  }

  /** Chooses kernels as a run would. */
  async function tune(gpu: Gpu, plans: readonly Plan[]): Promise<void> {
    const { keep } = options.choices, { environment } = gpu;
    if (keep === undefined || isKnownAdapter(environment)) return;
    const tunables = worthMeasuring(tunablesOf(plans, environment), { known: choices, lightest: LIGHTEST });
    if (tunables.length === 0) return;
    const measured = await measureKernels(
      { choose: (launch, more) => chooseKernel(gpu, launch, more) },
      tunables,
      { signal: options.signal },
    );
    for (const [key, name] of measured.choices) choices.set(key, name);
    await keep(measured);
  }

  /** Median time of a run. */
  async function medianMs(run: () => Promise<void>, wait: () => Promise<unknown>): Promise<number> {
    const began = performance.now(), isLate = () => performance.now() - began > ENOUGH_MS;
    const time = async (runs: number) => {
      options.signal?.throwIfAborted();
      const started = performance.now();
      for (let i = 0; i < runs; i++) await run();
      await wait();
      return performance.now() - started;
    };
    let once = 0;
    for (let i = 0; i < WARM_UP && !(i > 0 && isLate()); i++) once = await time(1);
    const runs = Math.max(1, Math.min(MOST_RUNS, Math.round(REPEAT_MS / once)));
    const times: number[] = [];
    while (times.length < REPEATS && !(times.length > 0 && isLate())) times.push(await time(runs) / runs);
    times.sort((a, b) => a - b);
    return (times[(times.length - 1) >> 1] + times[times.length >> 1]) / 2;
  }
}

type Pair = readonly [dtype: "f32" | "f16", own: OwnTime];

function rates(
  gpu: Gpu,
  ms: number,
  { flops, bytesMoved, bytes }: { flops: number; bytesMoved: number; bytes: number },
): Pick<OwnTime, "ms" | "gflops" | "gbps" | "bytes" | "adapter"> {
  return {
    ms: Number(ms.toFixed(3)),
    gflops: Number((flops / ms / 1e6).toFixed(2)),
    gbps: Number((bytesMoved / ms / 1e6).toFixed(2)),
    bytes,
    adapter: gpu.name,
  };
}

/** Why a process of Python measured nothing, in words; null where that is not a matter of what is installed. */
export function withoutTorch(python: string, stderr: string): string | null {
  return /No module named '?(torch|numpy)/.test(stderr)
    ? `${python} has no torch; name a Python that has with --python`
    : null;
}

/** Asks PyTorch what it runs on; where it cannot be asked, why. */
async function openPeer(
  adapter: string,
  { python = "python3", signal }: CardOptions,
): Promise<Peer | string> {
  const script = fileURLToPath(new URL("./reference/card.py", import.meta.url));
  const notTorch = `"${python}" must be a Python that has torch; name one with --python`;
  if (Deno.build.standalone || !await Deno.stat(script).then(() => true, () => false)) {
    return "its script is in the sources alone; use ./denow bench card there";
  }
  const run = async (what: string, sizes: Readonly<Record<string, number>>): Promise<PeerRow[]> => {
    const numbers = Object.entries(sizes).flatMap(([name, value]) => [`--${name}`, `${value}`]);
    const args = [script, what, "--name", adapter, ...numbers];
    const { success, stdout, stderr } = await new Deno.Command(python, { args, stdin: "null", signal })
      .output();
    const told = new TextDecoder().decode(stderr).trim();
    if (!success) throw new PeerError(told);
    const lines = new TextDecoder().decode(stdout).split("\n").filter((line) => line.startsWith("{"));
    return lines.map((line) => JSON.parse(line));
  };
  try {
    const [device] = await run("device", {}) as unknown as (PeerDevice | undefined)[];
    if (device?.torch === undefined) throw new Deno.errors.NotFound(python); // some other program
    return { device, measure: run };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.PermissionDenied) {
      return notTorch;
    }
    if (error instanceof Deno.errors.NotCapable) {
      throw new ConfigError(
        "Cannot time PyTorch: it runs in a process of its own, which this task may not start; use ./denow bench card",
      );
    }
    if (!(error instanceof PeerError)) throw error;
    const why = error.told === "" ? notTorch : withoutTorch(python, error.told); // says nothing: some other program
    if (why === null) throw error;
    return why;
  }
}

/** The peer's process failed. */
class PeerError extends Error {
  override name = "PeerError";
  constructor(readonly told: string) {
    super(
      `Cannot time PyTorch: it must run through, current end of its words is: ${told.split("\n").at(-1)}`,
    );
  }
}
