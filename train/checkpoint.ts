/**
 * Weights in and out of a session: the frozen backbone from a CLIP file, the trained weights under the originals' names, and
 * the complete state from which a run resumes exactly.
 */

import {
  encodeSafetensors,
  openSafetensors,
  type SafetensorsFile,
  type TensorToWrite,
} from "../data/checkpoint/safetensors.ts";
import { fileRange, reasonOf } from "../data/files.ts";
import { DataError } from "../lib/errors.ts";
import { checkAccount, createModel, explainClip, type ModelSpec, type WeightSource } from "../models/mod.ts";
import type { SessionClient } from "./session_client.ts";
import type { WeightPart } from "./session.ts";

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
}

const STATE_KEY = "sidenet.state", CONFIG_KEY = "sidenet.config", LABELS_KEY = "sidenet.labels";
const PARTS: readonly WeightPart[] = ["exp_avg", "exp_avg_sq"];
/** What `pretrain` may reinitialise when the number of classes differs. */
const HEAD_NAMES: readonly string[] = ["fc.weight", "fc.bias"];

/** A checkpoint open for reading, with sidenet's metadata where it has any. */
export interface OpenCheckpoint extends WeightSource, AsyncDisposable {
  readonly metadata: Readonly<Record<string, string>>;
}

/** Opens a safetensors file as a source of weights. */
export async function openCheckpoint(path: string): Promise<OpenCheckpoint> {
  let range;
  try {
    range = await fileRange(path);
  } catch (error) {
    throw new DataError(`Cannot read "${path}": ${reasonOf(error)}`);
  }
  const file: SafetensorsFile = await openSafetensors(range, { label: path });
  return {
    label: path,
    metadata: file.metadata,
    names: () => file.names(),
    shapeOf: (name) => (file.has(name) ? file.describe(name).shape : undefined),
    readF32: (name) => file.readF32(name),
    [Symbol.asyncDispose]: () => range[Symbol.asyncDispose](),
  };
}

/** Weights of a model by kind, without a session. */
function declared(spec: ModelSpec) {
  const model = createModel(spec);
  return {
    model,
    trained: [...model.weights.of("trained"), ...model.weights.of("statistic")],
    frozen: model.weights.of("frozen"),
  };
}

/** Loads the frozen backbone from a CLIP checkpoint. */
export async function loadBackbone(client: SessionClient, spec: ModelSpec, path: string): Promise<void> {
  const { model, frozen } = declared(spec);
  await using source = await openCheckpoint(path);
  checkAccount(frozen, source, { ignore: model.unusedInBackbone, explain: explainClip });
  for (const { name } of frozen) await client.write(name, await source.readF32(name));
}

/**
 * Loads trained weights and running statistics from a file written here or converted from the originals.
 *
 * @param options.head "reinit" leaves the classifier at its initial values when its number of classes differs.
 * @returns Names that were left as they were.
 */
export async function loadTrained(
  client: SessionClient,
  spec: ModelSpec,
  source: WeightSource,
  options: { head: "reinit" | "strict" },
): Promise<string[]> {
  const { model, trained, frozen } = declared(spec);
  const differs = options.head === "reinit" &&
    HEAD_NAMES.some((name) => source.shapeOf(name)?.join() !== model.weights.get(name)?.shape.join());
  const wanted = differs ? trained.filter(({ name }) => !HEAD_NAMES.includes(name)) : trained;
  // A full training checkpoint of the originals also holds the frozen backbone.
  const ignore = [
    ...frozen.map(({ name }) => name),
    ...model.weights.counters,
    ...(differs ? HEAD_NAMES : []),
    ...model.unusedInBackbone,
  ];
  checkAccount(wanted, source, { ignore });
  for (const { name } of wanted) await client.write(name, await source.readF32(name));
  return differs ? [...HEAD_NAMES] : [];
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
  return [...encodeSafetensors(tensors, metadataOf(info))];
}

/** The whole state of a run as one file: weights, statistics, moments and position. */
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
  for (const part of PARTS) await add(part, model.weights.of("trained"));
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
  const groups: [WeightPart, typeof trained][] = [
    ["value", trained],
    ...PARTS.map((part) => [part, model.weights.of("trained")] as [WeightPart, typeof trained]),
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
  const state = stateOf(source);
  await client.restoreSteps(state.step);
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
