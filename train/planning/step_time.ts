/** How long a planned step takes on an adapter whose rates are known: an estimate, made without a GPU. */

import type { Plan } from "../../gpu/plan.ts";
import { type AdapterRates, nodeMs } from "./rates.ts";

/** What a step does, as a plan says it. */
export interface PlannedStep {
  /** Programs of a batch in order, without the update. */
  readonly programs: readonly Plan[];
  /** Batches of an update. */
  readonly batches: number;
  /** What an update runs besides. */
  readonly updates: readonly Plan[];
  /** Bytes that the host sends for a batch. */
  readonly uploadedBytes: number;
  /** Products of the frozen backbone may be multiplied in f16 (`arithmetic: f16`). */
  readonly multipliesHalves: boolean;
  /** Bytes of frozen blocks that are streamed in for a batch, while others run. */
  readonly streamedBytes: number;
}

/** An estimate. */
export interface StepTime {
  readonly seconds: number;
  /** Of them, in kernels and in uploads that nothing covers. */
  readonly kernelSeconds: number;
  readonly uploadSeconds: number;
  /** Seconds in kernels by op, the longest first. */
  readonly byOp: readonly { readonly op: string; readonly seconds: number }[];
}

/**
 * Adds up the times of a step's nodes. Streamed blocks come while others run, so that the longer of the two counts; the batch is sent
 * before.
 */
export function stepTime(step: PlannedStep, rates: AdapterRates): StepTime {
  const byOp = new Map<string, number>(), uploadRate = rates.peaks.upload_gbps * 1e9;
  const add = (plans: readonly Plan[], times: number) => {
    for (const { steps } of plans) {
      for (const { node } of steps) {
        const seconds = times * nodeMs(node, rates, step) / 1000;
        byOp.set(node.op.name, (byOp.get(node.op.name) ?? 0) + seconds);
      }
    }
  };
  add(step.programs, step.batches);
  add(step.updates, 1);
  const kernelSeconds = [...byOp.values()].reduce((a, b) => a + b, 0);
  const streamed = step.batches * step.streamedBytes / uploadRate;
  const uploadSeconds = step.batches * step.uploadedBytes / uploadRate +
    Math.max(0, streamed - kernelSeconds);
  return {
    seconds: kernelSeconds + uploadSeconds,
    kernelSeconds,
    uploadSeconds,
    byOp: [...byOp].map(([op, seconds]) => ({ op, seconds })).sort((a, b) => b.seconds - a.seconds),
  };
}
