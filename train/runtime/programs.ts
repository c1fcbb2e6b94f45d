/**
 * A model's training as recorded programs over one set of resident tensors: forward and backward of a micro-batch (or, for a loss
 * over the whole batch, encoding, loss and backward), and the evaluation forward. Recording and planning need no device, so
 * memory is known before the run.
 */

import { bytesOf, Graph, resident, type Tensor } from "../../gpu/graph.ts";
import { GUARD_LENGTH } from "../../gpu/ops/mod.ts";
import { type Plan, planGraph, type PlanLimits, TooLargeError } from "../../gpu/plan.ts";
import type { Weight } from "../../models/params.ts";
import {
  type Mode,
  type ModelOutput,
  picturesOf,
  tapShape,
  type VideoModel,
} from "../../models/video_model.ts";
import { addsGradients, GradientWriter, requireReached } from "./gradients.ts";
import type { BatchInputs } from "./objective.ts";
import { microSizes } from "./micro_batches.ts";
import { cutOf, isTwoPass, type ProgramOptions, wholeBatches } from "./program_options.ts";
import type { Query } from "./query.ts";
import type { Optimizer } from "./update_rules.ts";
import { hyperSets } from "./standing.ts";

/** A recorded and planned program. */
export interface Recorded {
  g: Graph;
  plan: Plan;
}

/** Forward, loss and backward of a micro-batch. */
export type TrainProgram = Recorded & { output: ModelOutput; loss: Tensor };

/** The programs of a step whose loss is over the whole batch. */
export interface BatchPrograms {
  /** Clips that run at once, at most. */
  micro: number;
  /** By number of clips: the forward pass alone. Its outputs are gathered. */
  encode: ReadonlyMap<number, Recorded>;
  /** By size of the whole batch: loss and its gradient by every output. */
  loss: ReadonlyMap<number, Recorded & { loss: Tensor; gradients: ReadonlyMap<string, Tensor> }>;
  /** By number of clips: forward again, without effects, and backward from the outputs' gradients. */
  backward: ReadonlyMap<number, Recorded>;
  /** Outputs of the whole batch, and the gradients that flow into a micro-batch, by output. */
  gathered: ReadonlyMap<string, Tensor>;
  arriving: ReadonlyMap<string, Tensor>;
  /** What the whole batch brings, by name. */
  inputs: Readonly<Record<string, Tensor>>;
}

/** Everything a session executes but the update, before any memory is allocated. */
export interface RecordedPrograms {
  frames: Tensor;
  /** What batches bring, by name. */
  inputs: Readonly<Record<string, Tensor>>;
  /** Outputs of the tapped blocks, `[B*T N C]` in f16, in a model whose taps are stored; none where the tower runs. */
  taps: readonly Tensor[];
  /** Gradient that flows into the loss: the share of a part in its batch / accumulation. */
  seed: Tensor;
  /** Step constants of all groups, for 0, 1, … updates that were skipped since the host last looked. */
  hyper: Tensor;
  clip: Tensor;
  /** What marks the update under way as one to skip; zeros where none is. */
  guard: Tensor;
  /** Loss of the last batch, where updates may be skipped. */
  lastLoss: Tensor;
  /** The running statistics as they were before the update under way, where it may be skipped; in the model's order. */
  before: readonly Tensor[];
  /** Weights that are updated, in flat order. */
  trained: readonly Weight[];
  /** Trained weights that no update touches; behind the others in flat order. */
  kept: readonly Weight[];
  /** Moving averages: of `trained` in flat order, then of the running statistics in the model's; empty where none are kept. */
  averages: ReadonlyMap<Weight, Tensor>;
  /** What the averages are moved by, for 0, 1, … updates that were skipped since the host last looked. */
  averageRates: Tensor;
  /** What accompanies each of `trained`, where there is training. */
  gradients: readonly Tensor[];
  moments: Readonly<Record<string, readonly Tensor[]>>;
  /** By size of a batch, or of its parts; empty where the loss is over a batch that goes through in parts. */
  train: ReadonlyMap<number, TrainProgram>;
  batch: BatchPrograms | null;
  evaluation: Recorded & { output: ModelOutput };
  /** Computes the model's constants once; null where it has none. */
  prologue: Recorded | null;
  /** By name; the inputs are each query's own. */
  queries: ReadonlyMap<string, Recorded & { inputs: Readonly<Record<string, Tensor>> }>;
}

type Shared = Pick<RecordedPrograms, "frames" | "inputs" | "taps" | "seed" | "trained" | "gradients">;

/**
 * The trained weights in flat order: group by group, so that each optimiser group is one range; then those left alone.
 *
 * @throws {Error} naming a weight of a group that the optimiser does not have.
 */
export function flatOrder(
  model: VideoModel,
  { groups }: Pick<Optimizer, "groups">,
  leftAlone: ProgramOptions["leftAlone"] = () => false,
): { trained: Weight[]; kept: Weight[] } {
  const all = model.weights.of("trained"), names = groups.map(({ name }) => name);
  const stray = all.find(({ group }) => !names.includes(group));
  if (stray) {
    throw new Error(
      `Cannot train "${stray.name}": its optimiser group must be one of ${
        names.join(", ")
      }, current value is "${stray.group}"`,
    );
  }
  const updated = all.filter((weight) => !leftAlone(weight, model));
  return {
    trained: names.flatMap((name) => updated.filter(({ group }) => group === name)),
    kept: all.filter((weight) => leftAlone(weight, model)),
  };
}

/** Records and plans all programs. */
export function recordPrograms(model: VideoModel, options: ProgramOptions): RecordedPrograms {
  const { optimizer: { rule, groups }, trainClips } = options;
  const trains = trainClips.length > 0, whole = isTwoPass(options);
  const sizes = microSizes(trainClips, cutOf(options));
  const most = Math.max(options.evalClips, ...sizes);
  const size = model.config.backbone.imageSize;
  const frames = resident("input", "frames", [most * picturesOf(model), 3, size, size]);
  const inputs = batchTensors(options.inputs, most), taps = storedTaps(model, most);
  // Before anything is recorded: of a batch far too large, that takes long.
  requireAddressable([frames, ...Object.values(inputs), ...taps], options.limits);
  const { trained, kept } = flatOrder(model, options.optimizer, options.leftAlone);
  const updated = trains ? trained : [];
  const beside = (prefix: string) =>
    updated.map((weight) => resident("state", `${prefix}.${weight.name}`, weight.shape));
  const shared: Shared = {
    frames,
    inputs,
    taps,
    seed: resident("input", "loss_gradient", [1]),
    trained,
    gradients: beside("gradient"),
  };
  const train = new Map(
    whole ? [] : sizes.map((clips) => [clips, recordTraining(model, clips, shared, options)] as const),
  );
  const batch = whole ? recordBatch(model, sizes, shared, options) : null;
  return {
    ...shared,
    kept,
    hyper: resident("input", "hyper", [hyperSets(options) * groups.length * rule.hyperLength]),
    clip: resident("state", "clip_factor", [1]),
    guard: resident("state", "guard", [GUARD_LENGTH]),
    lastLoss: resident("state", "last_loss", [1]),
    before: options.skipNonFinite
      ? model.weights.of("statistic").map(({ name, shape }) => resident("state", `before.${name}`, shape))
      : [],
    averages: new Map(
      options.average && trains
        ? [...trained, ...model.weights.of("statistic")].map((weight) => [
          weight,
          resident("state", `average.${weight.name}`, weight.shape),
        ])
        : [],
    ),
    averageRates: resident("input", "average_rates", [hyperSets(options)]),
    moments: Object.fromEntries(rule.moments.map((name) => [name, beside(name)])),
    train,
    batch,
    evaluation: recordEvaluation(model, shared, options),
    prologue: recordPrologue(model, options),
    queries: new Map(options.queries?.map((query) => [query.name, recordQuery(model, query, options)])),
  };
}

function recordTraining(
  model: VideoModel,
  clips: number,
  shared: Shared,
  options: ProgramOptions,
): TrainProgram {
  const g = graphFor(options);
  const output = recordForward(g, model, shared, { clips, mode: "train" });
  const inputs = rowsOf(g, shared.inputs, clips);
  const recorded = options.objective.record(g, { outputs: output.outputs, inputs, model });
  for (const [name, tensor] of Object.entries({ ...output.outputs, ...recorded })) {
    if (options.objective.reads.includes(name) || name in recorded) g.output(name, tensor);
  }
  if (options.keepActivations) {
    for (const [name, tensor] of output.activations) g.output(`act.${name}`, tensor);
  }
  const gradients = new GradientWriter(g, shared, options, { adds: addsGradients(options) });
  gradients.sweep([{ output: recorded.loss, gradient: shared.seed }]);
  gradients.requireAll();
  return { g, output, loss: recorded.loss, plan: gradients.plan() };
}

/** The programs of a step whose loss is over the whole batch. */
function recordBatch(
  model: VideoModel,
  sizes: readonly number[],
  shared: Shared,
  options: ProgramOptions,
): BatchPrograms {
  const { objective } = options;
  const batches = wholeBatches(options), micro = Math.max(...sizes), largest = Math.max(...batches);
  const shapes = outputShapes(model, micro, shared, options);
  const whole = (name: string, shape: readonly number[]) =>
    resident("input", `batch.${name}`, [shape[0] / micro * largest, ...shape.slice(1)], "f32", {
      gradient: true,
    });
  const gathered = new Map([...shapes].map(([name, shape]) => [name, whole(name, shape)]));
  const arriving = new Map(
    [...shapes].map(([name, shape]) => [name, resident("input", `gradient.${name}`, shape)]),
  );
  const inputs = batchTensors(options.inputs, largest, "batch.");
  const reached = new Set<Weight>();
  const each = <R>(counts: Iterable<number>, record: (clips: number) => R) =>
    new Map([...counts].map((clips) => [clips, record(clips)]));
  const programs: BatchPrograms = {
    micro,
    gathered,
    arriving,
    inputs,
    encode: each(sizes, (clips) => {
      const g = graphFor(options), { outputs } = recordForward(g, model, shared, { clips, mode: "train" });
      for (const name of objective.reads) g.output(name, outputs[name]);
      return { g, plan: planGraph(g, { limits: options.limits }) };
    }),
    loss: each(batches, (clips) => {
      const g = graphFor(options), share = clips / largest;
      const outputs = Object.fromEntries(
        [...gathered].map(([name, all]) => [name, firstShare(g, all, share)]),
      );
      const recorded = objective.record(g, { outputs, inputs: rowsOf(g, inputs, clips), model });
      for (const [name, tensor] of Object.entries(recorded)) g.output(name, tensor);
      const sweep = new GradientWriter(g, shared, options, { adds: true });
      // A short batch reads the leading rows alone: its gradients are those of the windows.
      const found = sweep.sweep([{ output: recorded.loss, gradient: shared.seed }], Object.values(outputs));
      for (const weight of sweep.reached) reached.add(weight);
      const gradients = new Map(Object.entries(outputs).map(([name, rows]) => [name, found.get(rows)!]));
      for (const [name, gradient] of gradients) g.output(`gradient.${name}`, gradient);
      return { g, loss: recorded.loss, gradients, plan: sweep.plan() };
    }),
    backward: each(sizes, (clips) => {
      const g = graphFor(options);
      const { outputs } = recordForward(g, model, shared, { clips, mode: "train" });
      dropEffects(g); // running statistics have seen these clips already
      const sweep = new GradientWriter(g, shared, options, { adds: true });
      sweep.sweep([...arriving].map(([name, gradient]) => ({
        output: outputs[name],
        gradient: firstShare(g, gradient, clips / micro),
      })));
      for (const weight of sweep.reached) reached.add(weight);
      return { g, plan: sweep.plan() };
    }),
  };
  requireReached(shared.trained, reached);
  return programs;
}

/** Shapes of what the loss reads of a micro-batch, from a recording that is thrown away. */
function outputShapes(
  model: VideoModel,
  clips: number,
  shared: Shared,
  options: ProgramOptions,
): Map<string, readonly number[]> {
  const { outputs } = recordForward(graphFor(options), model, shared, { clips, mode: "train" });
  return new Map(options.objective.reads.map((name) => [name, outputs[name].shape]));
}

/** Takes out what a forward pass does besides its outputs. */
function dropEffects(g: Graph): void {
  const kept = g.nodes.filter(({ op }) => op.updates.length === 0);
  g.nodes.splice(0, g.nodes.length, ...kept);
}

function recordEvaluation(model: VideoModel, shared: Shared, options: ProgramOptions) {
  const g = graphFor(options);
  const output = recordForward(g, model, shared, { clips: options.evalClips, mode: "eval" });
  for (const name of options.collects) g.output(name, output.outputs[name]);
  return { g, output, plan: planGraph(g, { limits: options.limits }) };
}

function recordPrologue(model: VideoModel, options: ProgramOptions): Recorded | null {
  if (!model.prologue) return null;
  const g = graphFor(options);
  model.prologue(g);
  return { g, plan: planGraph(g, { limits: options.limits }) };
}

function recordQuery(model: VideoModel, { name, inputs: shapes, record }: Query, options: ProgramOptions) {
  const g = graphFor(options);
  const inputs = Object.fromEntries(
    Object.entries(shapes).map(([input, { shape, dtype }]) =>
      [input, resident("input", `${name}.${input}`, shape, dtype)] as const
    ),
  );
  requireAddressable(Object.values(inputs), options.limits);
  for (const [output, tensor] of Object.entries(record(g, model, inputs))) g.output(output, tensor);
  return { g, inputs, plan: planGraph(g, { limits: options.limits }) };
}

function graphFor({ limits, ranks }: Pick<ProgramOptions, "limits" | "ranks">): Graph {
  const maxTensorBytes = Math.min(limits.maxBindingBytes, limits.maxBufferBytes);
  return new Graph({ maxTensorBytes, normRanks: ranks?.syncNorms ? ranks : undefined });
}

/** The forward pass of the first `clips` of the inputs. */
function recordForward(
  g: Graph,
  model: VideoModel,
  { frames, inputs, taps }: Pick<Shared, "frames" | "inputs" | "taps">,
  options: { clips: number; mode: Mode },
): ModelOutput {
  const { clips, mode } = options;
  const [rows] = tapShape(model, clips);
  return model.forward(g, {
    frames: firstRows(g, frames, clips * picturesOf(model)),
    batch: rowsOf(g, inputs, clips),
    ...model.taps === "stored" && { taps: taps.map((tap) => firstRows(g, tap, rows)) },
  }, { mode });
}

/** @throws {TooLargeError} naming a tensor that no kernel of the adapter could see whole. */
function requireAddressable(tensors: readonly Tensor[], limits: PlanLimits): void {
  const most = Math.min(limits.maxBindingBytes, limits.maxBufferBytes);
  const tooLarge = tensors.find((tensor) => bytesOf(tensor) > most);
  if (tooLarge) throw TooLargeError.of(tooLarge, most);
}

/** Resident tensors for what so many clips bring. */
function batchTensors(inputs: BatchInputs, clips: number, prefix = ""): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, { shape, dtype }]) =>
      [name, resident("input", prefix + name, [clips, ...shape], dtype)] as const
    ),
  );
}

/** Inputs for the taps of so many clips, in a model that does not compute them. */
function storedTaps(model: VideoModel, clips: number): Tensor[] {
  if (model.taps === "tower") return [];
  return model.tapped.map((block) => resident("input", `tap.${block}`, tapShape(model, clips), "f16"));
}

/** The leading rows of a resident tensor. */
function firstRows(g: Graph, tensor: Tensor, rows: number): Tensor {
  return rows === tensor.shape[0] ? tensor : g.view(tensor, [rows, ...tensor.shape.slice(1)]);
}

function firstShare(g: Graph, tensor: Tensor, share: number): Tensor {
  return firstRows(g, tensor, Math.round(tensor.shape[0] * share));
}

function rowsOf(g: Graph, inputs: Readonly<Record<string, Tensor>>, clips: number): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, tensor]) => [name, firstRows(g, tensor, clips)]),
  );
}

/** Bytes of a tensor's rows of so many of its clips. @param most Clips that it holds. */
export function bytesOfClips(tensor: Tensor, clips: number, most: number): number {
  return bytesOf(tensor) / most * clips;
}
