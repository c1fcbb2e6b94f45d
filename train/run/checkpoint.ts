/**
 * Weights in and out of a session: the frozen backbone from a CLIP file, the trained weights under the originals' names, and
 * the complete state from which a run resumes exactly.
 */

import { openWeights } from "../../data/checkpoint/open.ts";
import { encodeSafetensors, type TensorToWrite } from "../../data/checkpoint/safetensors.ts";
import { DataError } from "../../lib/errors.ts";
import {
  checkAccount,
  createModel,
  explainBackbone,
  type ModelSpec,
  systemOf,
  type Weight,
  type WeightSource,
} from "../../models/mod.ts";
import type { SavedProblems } from "../feed/problems.ts";
import type { SessionClient } from "../runtime/session_client.ts";
import type { WeightPart } from "../runtime/session_plan.ts";

/** Where a run stands; everything else of its future follows from the config. */
export interface RunState {
  /** Epoch under way, from 0. */
  epoch: number;
  /** Batches of this epoch that are done. */
  batch: number;
  /** Optimiser steps done. */
  step: number;
  /** Micro-batches done, which is what batch norms count. */
  microBatches: number;
  /** Micro-batches whose gradients wait for the rest of their accumulation group. */
  accumulated: number;
  /** Clips seen. */
  clips: number;
  /** Time spent training, in seconds. */
  seconds: number;
  /** Best validation accuracy so far; null before the first evaluation. */
  best: { epoch: number; top1: number; top5: number; loss: number } | null;
  /** Whether the evaluation due at this step has been made. */
  evaluated: boolean;
  /** Losses of micro-batches since the last line of metrics. */
  pendingLosses: number[];
  /** Loss of the last line of metrics; null before the first. */
  lastLoss: number | null;
  /** What was wrong with the data so far; only in state files. */
  problems?: SavedProblems;
}

const STATE_KEY = "sidenet.state", CONFIG_KEY = "sidenet.config", LABELS_KEY = "sidenet.labels";

/** A checkpoint open for reading, with sidenet's metadata where it has any. */
export interface OpenCheckpoint extends WeightSource, AsyncDisposable {
  readonly metadata: Readonly<Record<string, string>>;
}

/** Opens a checkpoint of any format as a source of weights: the state dict alone, whatever lies around it. */
export function openCheckpoint(path: string): Promise<OpenCheckpoint> {
  return openWeights(path);
}

/** Weights of a model by kind, without a session. */
function declared(spec: ModelSpec) {
  const model = createModel(spec);
  return {
    model,
    trained: (["trained", "statistic", "constant"] as const).flatMap((kind) => model.weights.of(kind)),
    frozen: model.weights.of("frozen"),
  };
}

/** Loads the frozen backbone from a CLIP checkpoint. */
export async function loadBackbone(
  client: Pick<SessionClient, "write">,
  spec: ModelSpec,
  path: string,
): Promise<void> {
  const { model, frozen } = declared(spec);
  await using source = await openCheckpoint(path);
  checkAccount(frozen, source, { ignore: model.unusedInBackbone, explain: explainBackbone });
  for (const { name } of frozen) await client.write(name, await source.readF32(name));
}

/**
 * Loads the frozen backbone from a training checkpoint of the originals, which holds it beside the trained weights.
 *
 * @returns Whether the checkpoint holds one.
 */
export async function loadOwnBackbone(
  client: SessionClient,
  spec: ModelSpec,
  source: WeightSource,
): Promise<boolean> {
  const { model, trained, frozen } = declared(spec);
  if (frozen.every(({ name }) => source.shapeOf(name) === undefined)) return false;
  const ignore = [...trained.map(({ name }) => name), ...model.weights.counters, ...model.unusedInBackbone];
  checkAccount(frozen, source, { ignore, explain: explainBackbone });
  for (const { name } of frozen) await client.write(name, await source.readF32(name));
  return true;
}

/** How to take weights from a file. */
export interface LoadOptions {
  /** "reinit" leaves the classifier at its initial values when its number of classes differs. */
  head: "reinit" | "strict";
}

/**
 * Checks that a file holds what a model's trained weights and running statistics need. Takes no GPU.
 *
 * @returns The weights to load, and the names that are left as they are.
 * @throws {DataError} naming the first tensor that is missing, mis-shaped or unknown.
 */
export function checkTrained(
  spec: ModelSpec,
  source: WeightSource,
  options: LoadOptions,
): { wanted: Weight[]; left: string[] } {
  const { model, trained, frozen } = declared(spec), { head, files } = systemOf(spec.system);
  const differs = options.head === "reinit" &&
    head.some((name) => source.shapeOf(name)?.join() !== model.weights.get(name)?.shape.join());
  const wanted = differs ? trained.filter(({ name }) => !head.includes(name)) : trained;
  // A full training checkpoint of the originals also holds the frozen backbone.
  const ignore = [
    ...frozen.map(({ name }) => name),
    ...model.weights.counters,
    ...(differs ? head : []),
    ...model.unusedInBackbone,
  ];
  checkAccount(wanted, source, { ignore, explain: files.explain });
  return { wanted, left: differs ? [...head] : [] };
}

/**
 * Loads trained weights and running statistics from a file written here or converted from the originals.
 *
 * @returns Names that were left as they were.
 */
export async function loadTrained(
  client: SessionClient,
  spec: ModelSpec,
  source: WeightSource,
  options: LoadOptions,
): Promise<string[]> {
  const { wanted, left } = checkTrained(spec, source, options);
  for (const { name } of wanted) await client.write(name, await source.readF32(name));
  return left;
}

/** What is written beside the weights. */
export interface CheckpointInfo {
  /** The resolved recipe. */
  config: unknown;
  labels: readonly string[];
  state: RunState;
}

/** The trained weights and running statistics as a file, under the originals' names. */
export async function encodeWeights(
  client: SessionClient,
  spec: ModelSpec,
  info: CheckpointInfo,
): Promise<Uint8Array[]> {
  const { model, trained } = declared(spec);
  const values = await client.read(trained.map(({ name }) => name));
  const tensors: TensorToWrite[] = trained.map(({ name, shape }) => ({
    name,
    dtype: "F32",
    shape,
    data: values.get(name)!,
  }));
  for (const name of model.weights.counters) {
    tensors.push({ name, dtype: "I64", shape: [], data: BigInt64Array.of(BigInt(info.state.microBatches)) });
  }
  const state = { ...info.state, problems: undefined };
  return [...encodeSafetensors(tensors, metadataOf({ ...info, state }))];
}

/** What a state holds of every trained weight besides its value. Gradients only where a sum of them is under way. */
function partsOf(state: RunState): WeightPart[] {
  return state.accumulated > 0 ? ["exp_avg", "exp_avg_sq", "gradient"] : ["exp_avg", "exp_avg_sq"];
}

/** The whole state of a run as one file: weights, statistics, moments, gradients summed so far, and position. */
export async function encodeState(
  client: SessionClient,
  spec: ModelSpec,
  info: CheckpointInfo,
): Promise<Uint8Array[]> {
  const { model, trained } = declared(spec);
  const tensors: TensorToWrite[] = [];
  const add = async (part: WeightPart, weights: typeof trained) => {
    const values = await client.read(weights.map(({ name }) => name), part);
    for (const { name, shape } of weights) {
      tensors.push({ name: `${part}.${name}`, dtype: "F32", shape, data: values.get(name)! });
    }
  };
  await add("value", trained);
  for (const part of partsOf(info.state)) await add(part, model.weights.of("trained"));
  return [...encodeSafetensors(tensors, metadataOf(info))];
}

function metadataOf({ config, labels, state }: CheckpointInfo): Record<string, string> {
  return {
    format: "pt",
    [CONFIG_KEY]: JSON.stringify(config),
    [LABELS_KEY]: JSON.stringify(labels),
    [STATE_KEY]: JSON.stringify(state),
  };
}

/** Restores a state file into a session. The GPU then holds what it held when the state was written, bit for bit. */
export async function restoreState(client: SessionClient, spec: ModelSpec, path: string): Promise<RunState> {
  const { model, trained } = declared(spec);
  await using source = await openCheckpoint(path);
  const state = stateOf(source);
  const groups: [WeightPart, typeof trained][] = [
    ["value", trained],
    ...partsOf(state).map((part) => [part, model.weights.of("trained")] as [WeightPart, typeof trained]),
  ];
  checkAccount(
    groups.flatMap(([part, weights]) =>
      weights.map((weight) => ({ ...weight, name: `${part}.${weight.name}` }))
    ),
    source,
  );
  for (const [part, weights] of groups) {
    for (const { name } of weights) await client.write(name, await source.readF32(`${part}.${name}`), part);
  }
  await client.restoreSteps(state.step, state.accumulated);
  return state;
}

/** The state a checkpoint records. */
export function stateOf(source: OpenCheckpoint): RunState {
  const text = source.metadata[STATE_KEY];
  if (text === undefined) {
    throw new DataError(`Cannot resume from "${source.label}": it must be a state file written by sidenet`);
  }
  return JSON.parse(text) as RunState;
}

/** The state of a state file, without loading its tensors. */
export async function savedState(path: string): Promise<RunState> {
  await using source = await openCheckpoint(path);
  return stateOf(source);
}

/** Recipe and class names that a checkpoint written here carries; null for a file from elsewhere. */
export function recipeOf(source: OpenCheckpoint): { config: unknown; labels: string[] } | null {
  const config = source.metadata[CONFIG_KEY], labels = source.metadata[LABELS_KEY];
  return config && labels ? { config: JSON.parse(config), labels: JSON.parse(labels) } : null;
}
