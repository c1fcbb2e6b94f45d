/** Where a training step's time goes: by kernel, by op and by part of the network, against the adapter's peaks. */

import type { Gpu } from "../gpu/device.ts";
import type { Node } from "../gpu/graph.ts";
import { nodesOfLaunches, pieceMs } from "../gpu/profile.ts";
import {
  type HostEvent,
  type RecordedLaunch,
  StepRecorder,
  timesLaunches,
} from "../gpu/profiling/recorder.ts";
import type { Config } from "../train/recipe/config.ts";
import { type AdapterRates, idealMs, nodeMs, type Peaks } from "../train/planning/rates.ts";
import { measureStep, type OpenStep, openStep, type StepMeasurement } from "./step.ts";

/** A part of a step. */
export type StepPhase = "forward" | "recompute" | "backward" | "update";

/** A launch of a step with its work. */
export interface ProfiledLaunch extends RecordedLaunch {
  readonly op: string;
  /** Module of the network, such as "backbone/block.3"; "loss" or "update" where there is none. */
  readonly scope: string;
  readonly phase: StepPhase;
  /** Share of its op's work: an op of several launches has one rate. */
  readonly flops: number;
  readonly bytes: number;
}

/** What some launches have in common, and what they take together. */
export interface ProfileRow {
  readonly name: string;
  readonly launches: number;
  readonly ms: number;
  readonly gflops: number;
  readonly gbps: number;
  /** Time at the adapter's peaks, as a share of the time taken: above 1 where caches give more than memory. */
  readonly roofline: number;
  /** Time that the rates of `bench peak` give; absent where they are not known. */
  readonly estimated_ms?: number;
}

/** How launches were timed: each by the GPU's clock, or those of a module together by running them again and again. */
export type ProfileMethod = "timestamps" | "pieces";

/** Where a step's time goes. */
export interface StepProfile {
  readonly step: StepMeasurement;
  readonly method: ProfileMethod;
  readonly peaks: Peaks;
  readonly launches: number;
  /** Sum over launches, whose passes of their own take a little longer than one pass of all. */
  readonly gpu_ms: number;
  readonly phases: Readonly<Record<StepPhase, number>>;
  /** Empty where pieces were timed, whose launches are of many kernels. */
  readonly kernels: readonly ProfileRow[];
  readonly ops: readonly ProfileRow[];
  readonly scopes: readonly ProfileRow[];
  /** Of the launches' time, in launches that take more than twice what the peaks would: null where pieces were timed. */
  readonly below_half: number | null;
}

/** All that a profile is made from, for a trace. */
export interface StepTrace {
  readonly adapter: string;
  readonly recipe: string;
  readonly launches: readonly ProfiledLaunch[];
  readonly host: readonly HostEvent[];
  /** The host's time of the first launch's start. */
  readonly submittedMs: number;
}

/** Measures a recipe's steps, and profiles one more. */
export async function profileStep(
  gpu: Gpu,
  config: Config,
  options: { peaks: Peaks; rates?: AdapterRates | null },
): Promise<{ profile: StepProfile; trace: StepTrace }> {
  await using open = await openStep(gpu, config);
  const step = await measureStep(gpu, open);
  const method: ProfileMethod = timesLaunches(gpu) ? "timestamps" : "pieces";
  const nodes = nodesOf(open), recorder = await recordStep(gpu, open);
  const { launches: timed, submittedMs } = await recorder.launches();
  const recorded = method === "timestamps" ? timed : await timePieces(gpu, open, nodes);
  const launches = withWork(recorded, nodes);
  const rows = (key: (launch: ProfiledLaunch) => string) => rowsOf(launches, key, options);
  const phases = { forward: 0, recompute: 0, backward: 0, update: 0 };
  for (const { phase, ms } of launches) phases[phase] += ms;
  const gpuMs = launches.reduce((sum, { ms }) => sum + ms, 0);
  const isExact = method === "timestamps";
  const slow = launches.filter((one) => idealMs(one, options.peaks) < 0.5 * one.ms);
  const ops = isExact ? rows(({ op }) => op) : [];
  return {
    profile: {
      step,
      method,
      peaks: options.peaks,
      launches: open.programs.reduce((sum, name) => sum + nodes.get(name)!.length, 0),
      gpu_ms: gpuMs,
      phases,
      kernels: isExact ? rows(({ label }) => label) : [],
      ops: options.rates ? withEstimates(ops, open, options.rates) : ops,
      scopes: rows(({ scope }) => scope),
      below_half: isExact ? slow.reduce((sum, { ms }) => sum + ms, 0) / gpuMs : null,
    },
    trace: { adapter: gpu.name, recipe: config.name, launches, host: recorder.host, submittedMs },
  };
}

/** Nodes of every launch, by program. */
function nodesOf({ planned, device, programs }: OpenStep): Map<string, Node[]> {
  const { environment } = device.info;
  return new Map(
    [...new Set(programs)].map((name) => [name, nodesOfLaunches(environment, planned.plans[name])]),
  );
}

/** Records one step, after one that warms up what recording changes. */
async function recordStep(
  gpu: Gpu,
  { step, session, device: { runtime } }: OpenStep,
): Promise<StepRecorder> {
  const record = async () => {
    const recorder = runtime.recorder = new StepRecorder(gpu, { launches: timesLaunches(gpu) });
    try {
      await step();
      await session.finish();
    } finally {
      runtime.recorder = null;
    }
    return recorder;
  };
  if (timesLaunches(gpu)) await (await record()).launches();
  return await record();
}

/** Times of launches, of which those of one module in a row are timed together and share their time evenly. */
async function timePieces(
  gpu: Gpu,
  { programs, device: { runtime } }: OpenStep,
  nodes: ReadonlyMap<string, readonly Node[]>,
): Promise<RecordedLaunch[]> {
  const times = new Map<string, number[]>();
  for (const [name, list] of nodes) {
    const program = runtime.program(name), labels = program.labels(), ms: number[] = [];
    for (let from = 0, to = 0; from < labels.length; from = to) {
      const key = pieceOf(name, list[from]);
      while (to < labels.length && pieceOf(name, list[to]) === key) to++;
      const each = await pieceMs(gpu, program, { from, to }) / (to - from);
      for (let i = from; i < to; i++) ms.push(each);
    }
    times.set(name, ms);
  }
  let startMs = 0;
  return programs.flatMap((program) =>
    runtime.program(program).labels().map((label, index) => {
      const ms = times.get(program)![index], launch = { program, index, label, startMs, ms };
      startMs += ms;
      return launch;
    })
  );
}

function pieceOf(program: string, node: Node): string {
  return `${phaseOf(program, node)} ${moduleOf(node)}`;
}

/** Adds what is known of the node of every launch. */
function withWork(
  launches: readonly RecordedLaunch[],
  nodes: ReadonlyMap<string, readonly Node[]>,
): ProfiledLaunch[] {
  const result: ProfiledLaunch[] = [];
  for (let from = 0, to = 0; from < launches.length; from = to) {
    const { program, index } = launches[from], node = nodes.get(program)![index];
    to++;
    while (to < launches.length && sameUse(launches[to - 1], launches[to], nodes)) to++;
    const { flops, bytes } = node.op.work(node), own = launches.slice(from, to);
    const all = own.reduce((sum, { ms }) => sum + ms, 0);
    for (const launch of own) {
      const share = all > 0 ? launch.ms / all : 1 / own.length;
      result.push({
        ...launch,
        op: node.op.name,
        scope: moduleOf(node),
        phase: phaseOf(program, node),
        flops: flops * share,
        bytes: bytes * share,
      });
    }
  }
  return result;
}

/** Whether a launch belongs to the same run of the same op as the one before it. */
function sameUse(
  before: RecordedLaunch,
  launch: RecordedLaunch,
  nodes: ReadonlyMap<string, readonly Node[]>,
): boolean {
  if (launch.program !== before.program || launch.index !== before.index + 1) return false;
  const list = nodes.get(launch.program)!;
  return list[launch.index] === list[before.index];
}

/** The module of the network that a node works for, in whatever pass. */
export function moduleOf({ scope, phase }: Pick<Node, "scope" | "phase">): string {
  const module = scope.replace(/^((grad|recompute)(\/|$))+/, "");
  return module !== "" ? module : phase === "update" ? "update" : "loss";
}

/** The part of a step. A backward program that goes forward once more recomputes. */
export function phaseOf(program: string, { scope, phase }: Pick<Node, "scope" | "phase">): StepPhase {
  if (/^(grad\/)*recompute\//.test(scope)) return "recompute";
  return phase === "forward" && program.startsWith("backward.") ? "recompute" : phase;
}

/** Sums by key, the longest first. */
export function rowsOf(
  launches: readonly ProfiledLaunch[],
  key: (launch: ProfiledLaunch) => string,
  { peaks }: { peaks: Peaks },
): ProfileRow[] {
  const sums = new Map<
    string,
    { launches: number; ms: number; flops: number; bytes: number; ideal: number }
  >();
  for (const launch of launches) {
    const name = key(launch), { ms, flops, bytes } = launch;
    const sum = sums.get(name) ?? { launches: 0, ms: 0, flops: 0, bytes: 0, ideal: 0 };
    sums.set(name, {
      launches: sum.launches + 1,
      ms: sum.ms + ms,
      flops: sum.flops + flops,
      bytes: sum.bytes + bytes,
      ideal: sum.ideal + idealMs(launch, peaks),
    });
  }
  return [...sums].map(([name, { launches, ms, flops, bytes, ideal }]) => ({
    name,
    launches,
    ms,
    gflops: ms > 0 ? flops / ms / 1e6 : 0,
    gbps: ms > 0 ? bytes / ms / 1e6 : 0,
    roofline: ms > 0 ? ideal / ms : 0,
  })).sort((a, b) => b.ms - a.ms);
}

/** Rows of ops with what their nodes would take by the adapter's rates. */
function withEstimates(rows: readonly ProfileRow[], open: OpenStep, rates: AdapterRates): ProfileRow[] {
  const estimated = new Map<string, number>();
  for (const { steps } of open.programs.map((name) => open.planned.plans[name])) {
    for (const { node } of steps) {
      estimated.set(
        node.op.name,
        (estimated.get(node.op.name) ?? 0) + nodeMs(node, rates, open.device.info.environment),
      );
    }
  }
  return rows.map((row) => ({ ...row, estimated_ms: estimated.get(row.name) }));
}
