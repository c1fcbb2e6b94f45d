/** A recorded step as a Chrome trace: opens in chrome://tracing and ui.perfetto.dev. */

import type { StepTrace } from "./profile.ts";

const PROCESS = 1, GPU_TRACK = 1, HOST_TRACK = 2;

/** One event of the format ("Trace Event Format", Google): times in microseconds. */
export interface TraceEvent {
  readonly name: string;
  readonly ph: "X" | "M";
  readonly pid: number;
  readonly tid: number;
  readonly ts?: number;
  readonly dur?: number;
  readonly cat?: string;
  readonly args: Readonly<Record<string, string | number>>;
}

/** A whole trace. */
export interface ChromeTrace {
  readonly displayTimeUnit: "ms";
  readonly traceEvents: readonly TraceEvent[];
}

/**
 * Lays a step out on two tracks, launches on the GPU and what the host did. The clocks of both are not one: the first launch is put to
 * where the host had submitted it.
 */
export function chromeTrace({ adapter, recipe, launches, host, submittedMs }: StepTrace): ChromeTrace {
  const first = Math.min(...host.map(({ startMs }) => startMs));
  const startMs = Number.isFinite(first) ? first : submittedMs;
  const us = (ms: number) => Math.round(1e6 * ms) / 1000;
  const name = (tid: number, text: string): TraceEvent => ({
    name: "thread_name",
    ph: "M",
    pid: PROCESS,
    tid,
    args: { name: text },
  });
  return {
    displayTimeUnit: "ms",
    traceEvents: [
      { name: "process_name", ph: "M", pid: PROCESS, tid: 0, args: { name: `a step of ${recipe}` } },
      name(GPU_TRACK, adapter),
      name(HOST_TRACK, "host"),
      ...launches.map((launch): TraceEvent => ({
        name: launch.label,
        ph: "X",
        pid: PROCESS,
        tid: GPU_TRACK,
        ts: us(submittedMs - startMs + launch.startMs),
        dur: us(launch.ms),
        cat: launch.phase,
        args: {
          op: launch.op,
          scope: launch.scope,
          phase: launch.phase,
          program: launch.program,
          flops: Math.round(launch.flops),
          bytes: Math.round(launch.bytes),
        },
      })),
      ...host.map(({ what, startMs: at, ms, bytes }): TraceEvent => ({
        name: what,
        ph: "X",
        pid: PROCESS,
        tid: HOST_TRACK,
        ts: us(at - startMs),
        dur: us(ms),
        cat: "host",
        args: bytes === undefined ? {} : { bytes },
      })),
    ],
  };
}
