/**
 * Weights in and out of a session: the frozen backbone from a CLIP file, the trained weights under the originals' names, and
 * the complete state from which a run resumes exactly.
 */

import { openWeights } from "../../data/checkpoint/open.ts";
import { encodeSafetensors, type TensorToWrite } from "../../data/checkpoint/safetensors.ts";
import { DataError } from "../../lib/errors.ts";
import { checkAccount, explainBackbone, type Weight, type WeightSource } from "../../models/mod.ts";
import { fitTower } from "../../models/backbone_file.ts";
import type { System } from "../../models/system.ts";
import type { VideoModel } from "../../models/video_model.ts";
import type { SavedProblems } from "../feed/problems.ts";
import type { Session, WeightPart } from "../runtime/session.ts";
import type { Metrics } from "../tasks/task.ts";

/** Where a run stands; everything else of its future follows from the config. */
export interface RunState {
  /** Epoch under way, from 0. */
  epoch: number;
  /** Batches of this epoch that are done. */
  batch: number;
  /** Optimiser steps done. */
  step: number;
  /** Batches done, or their parts where those went through the GPU one by one: what batch norms count. */
  microBatches: number;
  /** Batches whose gradients wait for the rest of their accumulation group. */
  accumulated: number;
  /** Clips seen. */
  clips: number;
  /** Time spent training, in seconds. */
  seconds: number;
  /** The best evaluation so far, by the task's metrics; null before the first. */
  best: ({ epoch: number } & Metrics) | null;
  /** Whether the evaluation due at this step has been made. */
  evaluated: boolean;
  /** Losses of batches since the last line of metrics. */
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

/** What a checkpoint keeps of a model: trained weights, running statistics and computed constants. */
function keptWeights({ weights }: Pick<VideoModel, "weights">): Weight[] {
  return [...weights.of("trained"), ...weights.of("statistic"), ...weights.of("constant")];
}

async function writeAll(
  session: Pick<Session, "write">,
  weights: readonly Weight[],
  source: WeightSource,
): Promise<void> {
  for (const { name } of weights) await session.write(name, await source.readF32(name));
}

/** Loads the frozen backbone from a CLIP checkpoint. */
export async function loadBackbone(
  session: Pick<Session, "write" | "model">,
  path: string,
): Promise<void> {
  const { model } = session, frozen = model.weights.of("frozen");
  await using file = await openCheckpoint(path);
  const { source } = fitTower(file, model.config.backbone);
  checkAccount(frozen, source, { ignore: model.unusedInBackbone, explain: explainBackbone });
  await writeAll(session, frozen, source);
}

/**
 * Loads the frozen backbone from a training checkpoint of the originals, which holds it beside the trained weights.
 *
 * @returns Whether the checkpoint holds one.
 */
export async function loadOwnBackbone(
  session: Pick<Session, "write" | "model">,
  source: WeightSource,
): Promise<boolean> {
  const { model } = session, frozen = model.weights.of("frozen");
  if (frozen.every(({ name }) => source.shapeOf(name) === undefined)) return false;
  const ignore = [
    ...keptWeights(model).map(({ name }) => name),
    ...model.weights.counters,
    ...model.unusedInBackbone,
  ];
  checkAccount(frozen, source, { ignore, explain: explainBackbone });
  await writeAll(session, frozen, source);
  return true;
}

/** How to take weights from a file. */
export interface LoadOptions {
  system: Pick<System, "head" | "files">;
  /** "reinit" leaves the head at its initial values when its shape differs. */
  head: "reinit" | "strict";
}

/**
 * Checks that a file holds what a model's trained weights and running statistics need. Takes no GPU.
 *
 * @returns The weights to load, and the names that are left as they are.
 * @throws {DataError} naming the first tensor that is missing, mis-shaped or unknown.
 */
export function checkTrained(
  model: VideoModel,
  source: WeightSource,
  { system, head }: LoadOptions,
): { wanted: Weight[]; left: string[] } {
  // Constants follow from other weights: a file of the originals does without.
  const kept = keptWeights(model).filter(({ kind, name }) => kind !== "constant" || source.shapeOf(name));
  const heads = system.head;
  const differs = head === "reinit" &&
    heads.some((name) => source.shapeOf(name)?.join() !== model.weights.get(name)?.shape.join());
  const wanted = differs ? kept.filter(({ name }) => !heads.includes(name)) : kept;
  // A full training checkpoint of the originals also holds the frozen backbone.
  const ignore = [
    ...model.weights.of("frozen").map(({ name }) => name),
    ...model.weights.counters,
    ...(differs ? heads : []),
    ...model.unusedInBackbone,
  ];
  checkAccount(wanted, source, { ignore, explain: (file) => system.files.explain(file) });
  return { wanted, left: differs ? [...heads] : [] };
}

/**
 * Loads trained weights and running statistics from a file written here or converted from the originals. Constants that the file
 * does not hold are computed, so the backbone must be there.
 *
 * @returns Names that were left as they were.
 */
export async function loadTrained(
  session: Pick<Session, "write" | "model" | "computeConstants">,
  source: WeightSource,
  options: LoadOptions,
): Promise<string[]> {
  const { wanted, left } = checkTrained(session.model, source, options);
  await writeAll(session, wanted, source);
  const { weights } = session.model;
  if (weights.of("constant").some((weight) => !wanted.includes(weight))) await session.computeConstants();
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
export async function encodeWeights(session: Session, info: CheckpointInfo): Promise<Uint8Array[]> {
  const kept = keptWeights(session.model), values = await session.read(kept.map(({ name }) => name));
  const tensors: TensorToWrite[] = kept.map(({ name, shape }) => ({
    name,
    dtype: "F32",
    shape,
    data: values.get(name)!,
  }));
  for (const name of session.model.weights.counters) {
    tensors.push({ name, dtype: "I64", shape: [], data: BigInt64Array.of(BigInt(info.state.microBatches)) });
  }
  const state = { ...info.state, problems: undefined };
  return [...encodeSafetensors(tensors, metadataOf({ ...info, state }))];
}

/** What a state holds of every updated weight besides its value. Gradients only where a sum of them is under way. */
function partsOf(session: Pick<Session, "moments">, state: RunState): WeightPart[] {
  return [...session.moments, ...state.accumulated > 0 ? ["gradient"] : []];
}

/** Parts of a session with the weights that have them, in the order of a state file. */
function stateParts(session: Session, state: RunState): [WeightPart, readonly Weight[]][] {
  return [
    ["value", keptWeights(session.model)],
    ...partsOf(session, state).map((part) => [part, session.updated] as [WeightPart, readonly Weight[]]),
  ];
}

/** The whole state of a run as one file: weights, statistics, moments, gradients summed so far, and position. */
export async function encodeState(session: Session, info: CheckpointInfo): Promise<Uint8Array[]> {
  const tensors: TensorToWrite[] = [];
  for (const [part, weights] of stateParts(session, info.state)) {
    const values = await session.read(weights.map(({ name }) => name), part);
    for (const { name, shape } of weights) {
      tensors.push({ name: `${part}.${name}`, dtype: "F32", shape, data: values.get(name)! });
    }
  }
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
export async function restoreState(session: Session, path: string): Promise<RunState> {
  await using source = await openCheckpoint(path);
  const state = stateOf(source), parts = stateParts(session, state);
  checkAccount(
    parts.flatMap(([part, weights]) =>
      weights.map((weight) => ({ ...weight, name: `${part}.${weight.name}` }))
    ),
    source,
  );
  for (const [part, weights] of parts) {
    for (const { name } of weights) await session.write(name, await source.readF32(`${part}.${name}`), part);
  }
  session.restoreSteps(state.step, state.accumulated);
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
