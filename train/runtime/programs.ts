/**
 * A training run as three recorded programs over one set of resident tensors: forward and backward of a micro-batch, the
 * optimiser's update, and the evaluation forward. Recording and planning need no device, so memory is known before the run.
 */

import { differentiate } from "../../gpu/autodiff.ts";
import { bytesOf, Graph, resident, sizeOf, type Tensor } from "../../gpu/graph.ts";
import {
  accumulateInto,
  adamw,
  ADAMW_HYPER_LENGTH,
  clipFactor,
  concatRows,
  copyInto,
  crossEntropy,
  gradNorm,
  softCrossEntropy,
} from "../../gpu/ops/mod.ts";
import { align, type Plan, planGraph, type PlanLimits, TooLargeError } from "../../gpu/plan.ts";
import type { Weight } from "../../models/params.ts";
import {
  type Mode,
  type ModelOutput,
  picturesOf,
  tapShape,
  type VideoModel,
} from "../../models/video_model.ts";

/** Optimiser groups in the order of the published optimiser state. */
export const PARAMETER_GROUPS = ["side", "head", "batch_norm"] as const;

/** How a model is trained, as far as its programs depend on it. */
export interface ProgramOptions {
  /** Clips of a training micro-batch; the largest is the size of the input. Empty: evaluation alone, without gradients and moments. */
  trainClips: readonly number[];
  /** Clips of an evaluation batch. */
  evalClips: number;
  /** Recompute side blocks in the backward pass. */
  recompute: boolean;
  /** Micro-batches an update sums over. */
  accumulation: number;
  /** Label smoothing. */
  smoothing: number;
  /** Training batches are mixed: their targets are distributions (smoothed already), not labels. */
  mixes?: boolean;
  /** The classes of training batches are weighted: their targets come with the batch too. */
  weighs?: boolean;
  /** Limit of the global gradient norm; null: none. */
  clipGradNorm: number | null;
  limits: PlanLimits;
  /** Keep every named activation readable, for parity checks. */
  keepActivations?: boolean;
}

/** A recorded and planned program. */
export interface Recorded {
  g: Graph;
  plan: Plan;
}

/** Everything a training run executes, before any memory is allocated. */
export interface TrainingPrograms {
  frames: Tensor;
  labels: Tensor;
  /** Targets of mixed or weighted batches, `[B K]`; null where labels are the targets. */
  targets: Tensor | null;
  /** Outputs of the tapped blocks, `[B*T N C]` in f16, in a model whose taps are stored; none where the tower runs. */
  taps: readonly Tensor[];
  /** Gradient that flows into the loss: 1 / accumulation, written once. */
  seed: Tensor;
  hyper: Tensor;
  clip: Tensor;
  /** Trained weights in flat order, with the tensors that accompany each when there is training. */
  trained: readonly Weight[];
  gradients: readonly Tensor[];
  firstMoments: readonly Tensor[];
  secondMoments: readonly Tensor[];
  /** By micro-batch size. */
  train: ReadonlyMap<number, Recorded & { output: ModelOutput; loss: Tensor }>;
  evaluation: Recorded & { output: ModelOutput };
}

/** The trained weights in flat order: group by group, so that each optimiser group is one range. */
export function flatOrder(model: VideoModel): Weight[] {
  const trained = model.weights.of("trained");
  return PARAMETER_GROUPS.flatMap((group) => trained.filter((weight) => weight.group === group));
}

/** Records and plans all programs. */
export function recordPrograms(model: VideoModel, options: ProgramOptions): TrainingPrograms {
  const { backbone } = model.config;
  const most = Math.max(options.evalClips, ...options.trainClips);
  const size = backbone.imageSize;
  const frames = resident("input", "frames", [most * picturesOf(model), 3, size, size]);
  const labels = resident("input", "labels", [most], "u32");
  const targets = options.mixes || options.weighs
    ? resident("input", "targets", [most, model.config.classes!])
    : null;
  const taps = storedTaps(model, most, options.limits);
  const seed = resident("input", "loss_gradient", [1]);
  const trained = flatOrder(model);
  const updated = options.trainClips.length > 0 ? trained : [];
  const beside = (prefix: string) =>
    updated.map((weight) => resident("state", `${prefix}.${weight.name}`, weight.shape));
  const gradients = beside("gradient");
  const shared = { frames, labels, targets, taps, seed, trained, gradients };
  return {
    ...shared,
    hyper: resident("input", "hyper", [PARAMETER_GROUPS.length * ADAMW_HYPER_LENGTH]),
    clip: resident("state", "clip_factor", [1]),
    firstMoments: beside("exp_avg"),
    secondMoments: beside("exp_avg_sq"),
    train: new Map(options.trainClips.map((clips) => [clips, recordTraining(model, clips, shared, options)])),
    evaluation: recordEvaluation(model, shared, options),
  };
}

function recordTraining(
  model: VideoModel,
  clips: number,
  shared: Pick<TrainingPrograms, "frames" | "labels" | "targets" | "taps" | "seed" | "trained" | "gradients">,
  options: ProgramOptions,
) {
  const g = new Graph();
  const { labels, targets } = shared;
  const output = recordForward(g, model, shared, { clips, mode: "train" });
  const { loss, lossPerSample } = targets
    ? softCrossEntropy(g, output.outputs.logits, firstRows(g, targets, clips))
    : crossEntropy(g, output.outputs.logits, {
      labels: firstRows(g, labels, clips),
      smoothing: options.smoothing,
    });
  g.output("loss", loss);
  g.output("loss_per_sample", lossPerSample);
  g.output("logits", output.outputs.logits);
  if (options.keepActivations) {
    for (const [name, tensor] of output.activations) g.output(`act.${name}`, tensor);
  }
  const home = new Map(shared.trained.map((weight, i) => [weight.tensor, shared.gradients[i]]));
  const pinned = new Map<Tensor, Tensor>();
  differentiate(g, {
    seeds: [{ output: loss, gradient: shared.seed }],
    recompute: options.recompute,
    onParameter: (parameter, gradient) => {
      const target = home.get(parameter)!;
      const owner = gradient.base ?? gradient;
      const whole = owner.role === "value" && sizeOf(owner.shape) === sizeOf(target.shape) &&
        !pinned.has(owner);
      if (options.accumulation > 1) accumulateInto(g, gradient, { dst: target });
      else if (whole) pinned.set(owner, target); // written where it belongs, without a copy
      else copyInto(g, gradient, target);
    },
  });
  return { g, output, loss, plan: planGraph(g, { limits: options.limits, pinned }) };
}

function recordEvaluation(
  model: VideoModel,
  inputs: Pick<TrainingPrograms, "frames" | "taps">,
  options: ProgramOptions,
) {
  const g = new Graph();
  const output = recordForward(g, model, inputs, { clips: options.evalClips, mode: "eval" });
  g.output("logits", output.outputs.logits);
  return { g, output, plan: planGraph(g, { limits: options.limits }) };
}

/** The forward pass of the first `clips` of the inputs. */
function recordForward(
  g: Graph,
  model: VideoModel,
  { frames, taps }: Pick<TrainingPrograms, "frames" | "taps">,
  options: { clips: number; mode: Mode },
): ModelOutput {
  const { clips, mode } = options;
  const [rows] = tapShape(model, clips);
  return model.forward(g, {
    frames: firstRows(g, frames, clips * picturesOf(model)),
    ...model.taps === "stored" && { taps: taps.map((tap) => firstRows(g, tap, rows)) },
  }, { mode });
}

/** Inputs for the taps of so many clips, in a model that does not compute them. */
function storedTaps(model: VideoModel, clips: number, limits: PlanLimits): Tensor[] {
  if (model.taps === "tower") return [];
  const limitBytes = Math.min(limits.maxBindingBytes, limits.maxBufferBytes);
  return model.tapped.map((block) => {
    const tap = resident("input", `tap.${block}`, tapShape(model, clips), "f16");
    if (bytesOf(tap) > limitBytes) throw new TooLargeError(tap, limitBytes);
    return tap;
  });
}

/** The leading rows of a resident tensor. */
function firstRows(g: Graph, tensor: Tensor, rows: number): Tensor {
  return rows === tensor.shape[0] ? tensor : g.view(tensor, [rows, ...tensor.shape.slice(1)]);
}

/** The flat memory of trained weights and what accompanies them, as `Residency.allocateFlat` lays it out. */
export interface FlatMemory {
  parameters: Tensor;
  gradients: Tensor;
  firstMoments: Tensor;
  secondMoments: Tensor;
  /** First element of every trained weight. */
  starts: readonly number[];
}

/**
 * The optimiser's update as one program: the global norm if it is limited, then AdamW over every group's range, cut where a
 * binding would exceed the adapter's limit.
 */
export function recordUpdate(
  programs: TrainingPrograms,
  flat: FlatMemory,
  options: ProgramOptions,
): Recorded {
  const g = new Graph();
  g.phase = "update";
  const total = sizeOf(flat.parameters.shape);
  const most = Math.floor(options.limits.maxBindingBytes / 256) * 64;
  if (options.clipGradNorm !== null) {
    const norms: Tensor[] = [];
    for (let start = 0; start < total; start += most) {
      norms.push(gradNorm(g, g.view(flat.gradients, [Math.min(most, total - start)], { offset: start })));
    }
    const norm = norms.length === 1 ? norms[0] : gradNorm(g, concatRows(g, norms));
    g.output("norm", norm);
    copyInto(g, clipFactor(g, norm, options.clipGradNorm), programs.clip);
  }
  for (const [group, [from, to]] of groupRanges(programs.trained, flat.starts, total)) {
    for (let start = from; start < to; start += most) {
      const window = (t: Tensor) => g.view(t, [Math.min(most, to - start)], { offset: start });
      adamw(g, {
        param: window(flat.parameters),
        grad: window(flat.gradients),
        m: window(flat.firstMoments),
        v: window(flat.secondMoments),
        hyper: programs.hyper,
        clip: programs.clip,
      }, { hyperOffset: PARAMETER_GROUPS.findIndex((one) => one === group) * ADAMW_HYPER_LENGTH });
    }
  }
  return { g, plan: planGraph(g, { limits: options.limits }) };
}

/** Range of flat elements of every group that has weights. */
function groupRanges(
  trained: readonly Weight[],
  starts: readonly number[],
  total: number,
): Map<string, [number, number]> {
  const ranges = new Map<string, [number, number]>();
  trained.forEach((weight, i) => {
    const end = starts[i + 1] ?? total;
    const range = ranges.get(weight.group);
    if (range) range[1] = end;
    else ranges.set(weight.group, [starts[i], end]);
  });
  return ranges;
}

/** Bytes of tensors that each start at a binding boundary. */
export function alignedBytes(tensors: Iterable<Tensor>): number {
  let bytes = 0;
  for (const tensor of tensors) bytes += align(bytesOf(tensor));
  return bytes;
}
