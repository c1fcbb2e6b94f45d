/**
 * The optimiser's update as one program: the global norm if it is limited, then the rule over every group's range, cut where a
 * binding would exceed the adapter's limit, then what the model does after an update, then the moving averages. And the program that
 * exchanges weights and averages.
 */

import { Graph, sizeOf, type Tensor } from "../../gpu/graph.ts";
import {
  clipFactor,
  clipTensors,
  concatRows,
  copyInto,
  exchange,
  gradNorm,
  guardSettle,
  moveAverage,
} from "../../gpu/ops/mod.ts";
import { planGraph } from "../../gpu/plan.ts";
import type { Weight } from "../../models/params.ts";
import type { VideoModel } from "../../models/video_model.ts";
import type { Recorded, RecordedPrograms } from "./programs.ts";
import type { ProgramOptions } from "./program_options.ts";
import { hyperSets } from "./standing.ts";
import { windowsOf } from "./watch.ts";

/** The flat memory of trained weights and what accompanies them, as `Layout.allocateFlat` lays it out. */
export interface FlatMemory {
  /** Those left alone lie behind the others. */
  parameters: Tensor;
  gradients: Tensor;
  /** By the rule's names. */
  moments: Readonly<Record<string, Tensor>>;
  /** First element of every trained weight, in flat order. */
  starts: readonly number[];
}

/** Flat memory of what is averaged, with the averages in the same places. */
export interface AveragedMemory {
  readonly values: Tensor;
  readonly averages: Tensor;
}

/** Records and plans the exchange of weights with their averages. */
export function recordExchange(
  averaged: readonly AveragedMemory[],
  { limits }: Pick<ProgramOptions, "limits">,
): Recorded {
  const g = new Graph();
  for (const [values, averages] of averagedWindows(g, averaged, { limits })) exchange(g, values, averages);
  return { g, plan: planGraph(g, { limits }) };
}

/** Windows of what is averaged, each with its average. Behind trained weights may lie others, which have none. */
function averagedWindows(
  g: Graph,
  averaged: readonly AveragedMemory[],
  { limits }: Pick<ProgramOptions, "limits">,
): [values: Tensor, averages: Tensor][] {
  return averaged.flatMap(({ values, averages }) => {
    const own = windowsOf(g, values, limits, [0, sizeOf(averages.shape)]);
    return windowsOf(g, averages, limits).map((window, i): [Tensor, Tensor] => [own[i], window]);
  });
}

/** Records and plans the update. */
export function recordUpdate(
  programs: RecordedPrograms,
  flat: FlatMemory,
  options: Pick<ProgramOptions, "limits" | "clipGradNorm" | "optimizer" | "skipNonFinite"> & {
    model?: Pick<VideoModel, "afterUpdate">;
    /** What is averaged; nothing by default. */
    averaged?: readonly AveragedMemory[];
  },
): Recorded {
  const g = new Graph(), { optimizer: { rule, groups }, limits, skipNonFinite } = options;
  g.phase = "update";
  const total = sizeOf(flat.gradients.shape);
  if (options.clipGradNorm !== null) {
    const norms = windowsOf(g, flat.gradients, limits).map((window) => gradNorm(g, window));
    const norm = norms.length === 1 ? norms[0] : gradNorm(g, concatRows(g, norms));
    g.output("norm", norm);
    copyInto(g, clipFactor(g, norm, options.clipGradNorm), programs.clip);
  }
  // No gradient is larger than all of them, so a limit of all makes a larger or equal one of each needless: what it would change is
  // the 1e-6 that is added to norms.
  const { tensorNorm = Infinity } = rule;
  if (tensorNorm < (options.clipGradNorm ?? Infinity)) {
    clipTensors(g, flat.gradients, {
      starts: flat.starts.slice(0, programs.trained.length),
      clip: programs.clip,
      maxNorm: tensorNorm,
      maxBytes: limits.maxBindingBytes,
    });
  }
  const numbers = new Map(groups.map(({ name }, i) => [name, i]));
  const hyperStride = groups.length * rule.hyperLength, hyperRows = hyperSets(options);
  for (const [group, range] of groupRanges(programs.trained, flat.starts, total)) {
    const cut = (t: Tensor) => windowsOf(g, t, limits, range);
    const params = cut(flat.parameters), grads = cut(flat.gradients);
    const moments = rule.moments.map((name) => [name, cut(flat.moments[name])] as const);
    params.forEach((param, i) =>
      rule.record(g, {
        param,
        grad: grads[i],
        moments: Object.fromEntries(moments.map(([name, windows]) => [name, windows[i]])),
        hyper: programs.hyper,
        clip: programs.clip,
        guard: programs.guard,
      }, { hyperOffset: numbers.get(group)! * rule.hyperLength, hyperStride, hyperRows })
    );
  }
  options.model?.afterUpdate?.(g);
  const { averageRates: rates, guard } = programs;
  for (const [value, average] of averagedWindows(g, options.averaged ?? [], options)) {
    moveAverage(g, { average, value, rates, guard }, { count: hyperRows });
  }
  if (skipNonFinite) guardSettle(g, programs.guard, { most: skipNonFinite });
  return { g, plan: planGraph(g, { limits }) };
}

/** Range of flat elements of every group that has weights. */
function groupRanges(
  trained: readonly Weight[],
  starts: readonly number[],
  total: number,
): Map<string, [number, number]> {
  const ranges = new Map<string, [number, number]>();
  trained.forEach((weight, i) => {
    const end = i + 1 < trained.length ? starts[i + 1] : total;
    const range = ranges.get(weight.group);
    if (range) range[1] = end;
    else ranges.set(weight.group, [starts[i], end]);
  });
  return ranges;
}
