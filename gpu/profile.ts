/** Where the time of a program goes: by launch, by node, and of pieces that are run again and again. */

import type { Gpu } from "./device.ts";
import type { Node } from "./graph.ts";
import type { KernelEnvironment } from "./op.ts";
import type { Plan } from "./plan.ts";
import { type LaunchTime, PassTimes, StepRecorder, timesLaunches } from "./profiling/recorder.ts";
import type { Program } from "./program.ts";

/** The node of every launch of a plan, in order. */
export function nodesOfLaunches(environment: KernelEnvironment, plan: Plan): Node[] {
  return plan.steps.flatMap(({ node }) => node.op.dispatches({ ...node, environment }).map(() => node));
}

/**
 * Runs the program once and returns the time of every launch, in order.
 *
 * @throws {Error} when the adapter has no timestamp queries.
 */
export async function profileProgram(gpu: Gpu, program: Program): Promise<LaunchTime[]> {
  const recorder = new StepRecorder(gpu, { launches: true });
  const encoder = gpu.device.createCommandEncoder({ label: "profile" });
  gpu.device.queue.submit([(await program.encode(encoder, "profile", recorder)).finish()]);
  const { launches } = await recorder.launches();
  return launches.map(({ label, ms }) => ({ label, ms }));
}

/**
 * Milliseconds of one run of launches `from` to `to` of a program: the best of several short series of runs, because other work on the
 * machine makes some of them slower. Where the GPU's clock cannot be read, of one long series: its end is seen on a 10 ms poll.
 *
 * @param options.after Launches that run, untimed, before each of several single runs: such as fill the caches with something else. Only
 * with the GPU's clock.
 */
export async function pieceMs(
  gpu: Gpu,
  program: Program,
  options: { from?: number; to?: number; after?: { from: number; to: number } } = {},
): Promise<number> {
  const { from = 0, to = program.launchCount } = options, { device } = gpu, isExact = timesLaunches(gpu);
  const after = isExact ? options.after : undefined;
  const time = async (runs: number, series: number): Promise<number> => {
    const times = isExact ? new PassTimes(gpu) : null;
    const encoder = device.createCommandEncoder({ label: "piece" });
    for (let i = 0; i < series; i++) {
      if (after) {
        const pass = encoder.beginComputePass({ label: "before" });
        program.encodeLaunches(pass, after.from, after.to);
        pass.end();
      }
      const pass = encoder.beginComputePass({ label: "piece", timestampWrites: times?.next() });
      for (let run = 0; run < runs; run++) program.encodeLaunches(pass, from, to);
      pass.end();
    }
    const started = performance.now();
    device.queue.submit([encoder.finish()]);
    if (times) return Math.min(...(await times.read()).map(({ ms }) => ms));
    await device.queue.onSubmittedWorkDone();
    return performance.now() - started;
  };
  const { series, leastMs } = isExact ? { series: 8, leastMs: 2 } : { series: 1, leastMs: 100 };
  await time(1, 1); // warms up
  let runs = 1, ms = await time(1, 1);
  if (after) return Math.min(ms, await time(1, ms > LONG_MS ? 1 : series));
  while (ms < leastMs && runs < MAX_RUNS) {
    runs = Math.min(
      MAX_RUNS,
      Math.ceil(runs * Math.min(16, Math.max(2, 1.2 * leastMs / Math.max(ms, 0.01)))),
    );
    ms = await time(runs, 1);
  }
  return Math.min(ms, await time(runs, ms > LONG_MS ? 1 : series)) / runs;
}

/** Runs of a piece in one series, at most. */
const MAX_RUNS = 4096;
/** A series that is not repeated often. */
const LONG_MS = 50;
