/**
 * Programs that watch what a run computes: one counts what is not finite in all that a checkpoint would hold; another, where
 * updates may be skipped, looks at gradients and loss after every batch and marks the update under way.
 */

import { Graph, sizeOf, type Tensor } from "../../gpu/graph.ts";
import { columnSum, concatRows, countNonFinite, guardMark, guardRevert } from "../../gpu/ops/mod.ts";
import type { Layout } from "../../gpu/layout.ts";
import { planGraph, type PlanLimits } from "../../gpu/plan.ts";
import type { Recorded, RecordedPrograms } from "./programs.ts";

/** Cuts flat memory into windows that a binding can hold. @param range Elements to cut; all by default. */
export function windowsOf(
  g: Graph,
  flat: Tensor,
  { maxBindingBytes }: PlanLimits,
  range: readonly [from: number, to: number] = [0, sizeOf(flat.shape)],
): Tensor[] {
  const most = Math.floor(maxBindingBytes / 256) * 64, windows: Tensor[] = [], [from, to] = range;
  for (let start = from; start < to; start += most) {
    windows.push(g.view(flat, [Math.min(most, to - start)], { offset: start }));
  }
  return windows;
}

/** How many elements of flat memory are not finite, `[1]`. */
function countIn(g: Graph, flat: Tensor, limits: PlanLimits): Tensor {
  const counts = windowsOf(g, flat, limits).map((window) => countNonFinite(g, window));
  return columnSum(g, g.view(concatRows(g, counts), [counts.length, 1]));
}

/** A program that counts. */
export type FiniteCheck = Recorded & {
  /** What it counts in, in the order of `counts`. */
  parts: readonly string[];
  /** `[parts]`. */
  counts: Tensor;
};

/** Records the count of what is not finite in each part of the flat memory that a checkpoint would hold. */
function recordFiniteCheck(
  parts: Readonly<Record<string, Tensor>>,
  { limits }: { limits: PlanLimits },
): FiniteCheck {
  const g = new Graph();
  const counts = concatRows(g, Object.values(parts).map((flat) => countIn(g, flat, limits)));
  g.output("counts", counts);
  return { g, counts, parts: Object.keys(parts), plan: planGraph(g, { limits }) };
}

/** Records what marks the update under way where a gradient or the loss is not finite, and then puts the statistics back. */
function recordGuard(
  { guard, lastLoss }: Pick<RecordedPrograms, "guard" | "lastLoss">,
  flat: { gradients: Tensor; statistics: Tensor; before: Tensor },
  { limits }: { limits: PlanLimits },
): Recorded {
  const g = new Graph();
  g.phase = "update";
  guardMark(g, concatRows(g, [countIn(g, flat.gradients, limits), countNonFinite(g, lastLoss)]), guard);
  const before = windowsOf(g, flat.before, limits);
  windowsOf(g, flat.statistics, limits).forEach((values, i) =>
    guardRevert(g, { before: before[i], values, guard })
  );
  return { g, plan: planGraph(g, { limits }) };
}

/** What watches a session that trains. */
export interface Watch {
  /** The running statistics before the update under way; null where no update is skipped. */
  before: Tensor | null;
  guard: Recorded | null;
  finiteCheck: FiniteCheck;
}

/** Places and records what watches a session. @param flat All that a checkpoint would hold, with the gradients. */
export function recordWatch(
  programs: RecordedPrograms,
  flat: {
    parameters: Tensor;
    statistics: Tensor;
    constants: Tensor | null;
    moments: Readonly<Record<string, Tensor>>;
    /** Moving averages, of weights and of statistics. */
    averages: readonly Tensor[];
    gradients: Tensor;
  },
  options: { layout: Layout; limits: PlanLimits; skipNonFinite?: number | null },
): Watch {
  const { layout } = options, { parameters, statistics, constants, moments, averages, gradients } = flat;
  const [average, averageStatistics] = averages;
  layout.allocate("optimizer", [programs.guard, programs.lastLoss]);
  const before = options.skipNonFinite ? layout.allocateFlat("optimizer", programs.before).flat : null;
  return {
    before,
    guard: before && recordGuard(programs, { gradients, statistics, before }, options),
    finiteCheck: recordFiniteCheck(
      {
        value: parameters,
        statistics,
        ...constants && { constants },
        ...moments,
        ...average && { average, average_statistics: averageStatistics },
        gradient: gradients,
      },
      options,
    ),
  };
}
