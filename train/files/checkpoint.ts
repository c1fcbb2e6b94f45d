/**
 * Weights in and out of a session: the frozen backbone from a CLIP file, the trained weights under the originals' names, and
 * the complete state from which a run resumes exactly.
 */

import { describeNonFinite, findNonFinite } from "../../data/checkpoint/finite.ts";
import { openWeights } from "../../data/checkpoint/open.ts";
import { encodeSafetensors, type TensorToWrite } from "../../data/checkpoint/safetensors.ts";
import { DataError, NonFiniteError } from "../../lib/errors.ts";
import { checkAccount, explainBackbone, type Weight, type WeightSource } from "../../models/mod.ts";
import { fitTower } from "../../models/backbone_file.ts";
import { type FileNames, originalName, underOwnNames } from "../../models/parts/file_names.ts";
import type { System } from "../../models/system.ts";
import type { VideoModel } from "../../models/video_model.ts";
import type { Dtype } from "../../gpu/graph.ts";
import type { Session, WeightPart } from "../runtime/session.ts";
import { type CheckpointInfo, metadataOf, type RunState, type SavedState, stateOf } from "./run_state.ts";

/** Half-way from the largest half, 65504, to the next step: from here on rounding gives infinity. */
const HALF_LIMIT = 65520;

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

/** Writes weights of a file into a session. @param refuse Makes the error where one cannot be what a model is made of. */
async function writeAll(
  session: Pick<Session, "write">,
  weights: readonly Weight[],
  { source, refuse }: { source: WeightSource; refuse: (message: string) => Error },
): Promise<void> {
  for (const { name, tensor } of weights) {
    await session.write(name, await readUsable(source, name, { dtype: tensor.dtype, refuse }));
  }
}

/** A tensor's values, all finite, also as the type in which they will be stored. */
export async function readUsable(
  source: WeightSource,
  name: string,
  { dtype, refuse }: { dtype: Dtype; refuse: (message: string) => Error },
): Promise<Float32Array> {
  const values = await source.readF32(name);
  const found = findNonFinite(bytesOf(values), "F32");
  if (found) throw refuse(`Cannot use "${source.label}": ${describeNonFinite(name, found)}`);
  const beyond = dtype === "f16" ? values.find((value) => Math.abs(value) >= HALF_LIMIT) : undefined;
  if (beyond !== undefined) {
    throw refuse(
      `Cannot use "${source.label}": tensor "${name}" must be below ${HALF_LIMIT} to be stored in f16, current value is ${beyond}; use precision=f32`,
    );
  }
  return values;
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

const refuseData = (message: string) => new DataError(message);
const refuseTrained = (message: string) =>
  new NonFiniteError(`${message}; the training went wrong before this was written`);
const refuseState = (message: string) =>
  new NonFiniteError(
    `${
      refuseTrained(message).message
    }: nothing can go on from it; begin again, or from weights that are finite with pretrain=FILE, such as the run's best.safetensors`,
  );

/** Loads the frozen backbone from a CLIP checkpoint, and what else begins with its values. */
export async function loadBackbone(
  session: Pick<Session, "write" | "model">,
  path: string,
): Promise<void> {
  const { model } = session, wanted = model.weights.list.filter(({ pretrained }) => pretrained);
  await using file = await openCheckpoint(path);
  const { source } = fitTower(file, model.config.backbone);
  const explain = (file: WeightSource) => explainBackbone(file, { text: model.text !== undefined });
  checkAccount(wanted, source, { ignore: model.unusedInBackbone, explain });
  await writeAll(session, wanted, { source, refuse: refuseData });
}

/**
 * Loads the frozen backbone from a training checkpoint of the originals, which holds it beside the trained weights.
 *
 * @returns Whether the checkpoint holds one.
 */
export async function loadOwnBackbone(
  session: Pick<Session, "write" | "model">,
  file: WeightSource,
  { system }: { system: Pick<System, "files"> },
): Promise<boolean> {
  const source = underOwnNames(file, system.files);
  const { model } = session, frozen = model.weights.of("frozen");
  if (!holdsBackbone(file, { model, system })) return false;
  const ignore = [
    ...keptWeights(model).map(({ name }) => name),
    ...model.weights.counters,
    ...model.unusedInBackbone,
  ];
  checkAccount(frozen, source, { ignore, explain: explainBackbone });
  await writeAll(session, frozen, { source, refuse: refuseData });
  return true;
}

/** Whether a training checkpoint holds the frozen backbone, or some of it. */
export function holdsBackbone(
  file: WeightSource,
  { model, system }: { model: Pick<VideoModel, "weights">; system: Pick<System, "files"> },
): boolean {
  const source = underOwnNames(file, system.files);
  return model.weights.of("frozen").some(({ name }) => source.shapeOf(name) !== undefined);
}

/** How to take weights from a file. */
export interface LoadOptions {
  system: Pick<System, "head" | "files">;
  /** "reinit" leaves the head at its initial values when its shape differs. */
  head: "reinit" | "strict";
  /** Weights that are left as they are; none by default. */
  except?: readonly string[];
}

/**
 * Checks that a file holds what a model's trained weights and running statistics need. Takes no GPU.
 *
 * @returns The weights to load, and the names that are left as they are.
 * @throws {DataError} naming the first tensor that is missing, mis-shaped or unknown.
 */
export function checkTrained(
  model: VideoModel,
  file: WeightSource,
  { system, head, except = [] }: LoadOptions,
): { wanted: Weight[]; left: string[] } {
  const source = underOwnNames(file, system.files);
  // Constants follow from other weights: a file of the originals does without.
  const kept = keptWeights(model).filter(({ kind, name }) =>
    !except.includes(name) && (kind !== "constant" || source.shapeOf(name))
  );
  const heads = system.head;
  const differs = head === "reinit" &&
    heads.some((name) => source.shapeOf(name)?.join() !== model.weights.get(name)?.shape.join());
  const wanted = differs ? kept.filter(({ name }) => !heads.includes(name)) : kept;
  // A full training checkpoint of the originals also holds the frozen backbone.
  const ignore = [
    ...model.weights.of("frozen").map(({ name }) => name),
    ...model.weights.counters,
    ...(differs ? heads : []),
    ...except,
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
  file: WeightSource,
  options: LoadOptions,
): Promise<string[]> {
  const { wanted, left } = checkTrained(session.model, file, options);
  const source = underOwnNames(file, options.system.files);
  await writeAll(session, wanted, { source, refuse: refuseTrained });
  const { weights } = session.model;
  if (weights.of("constant").some((weight) => !wanted.includes(weight))) await session.computeConstants();
  return left;
}

/** The trained weights and running statistics, or their averages where those are kept, as a file under the originals' names. @param files How these name them. */
export async function encodeWeights(
  session: Session,
  info: CheckpointInfo,
  files: FileNames = {},
): Promise<Uint8Array[]> {
  const kept = keptWeights(session.model), averaged = new Set(session.averaged);
  const names = kept.filter((weight) => !averaged.has(weight)).map(({ name }) => name);
  const values = new Map([
    ...await session.read(names),
    ...await session.read([...averaged].map(({ name }) => name), "average"),
  ]);
  const tensors: TensorToWrite[] = kept.map(({ name, shape }) => ({
    name: originalName(files, name),
    dtype: "F32",
    shape,
    data: values.get(name)!,
  }));
  for (const counter of session.model.weights.counters) {
    const name = originalName(files, counter);
    tensors.push({ name, dtype: "I64", shape: [], data: BigInt64Array.of(BigInt(info.state.microBatches)) });
  }
  const state = { ...info.state, problems: undefined };
  return [...encodeSafetensors(tensors, metadataOf({ ...info, state }))];
}

/**
 * Parts of a session with the weights that have them, in the order of a state file. Where a sum of gradients is under way, also that;
 * and where updates may be skipped, the statistics to go back to. Of an update that will be skipped the gradients do not matter.
 */
function stateParts(session: Session, { accumulated, skipped }: RunState): [WeightPart, readonly Weight[]][] {
  const { model, updated, moments, averaged, skips } = session, isUnderWay = accumulated > 0;
  const parts: [WeightPart, readonly Weight[]][] = [["value", keptWeights(model)]];
  for (const moment of moments) parts.push([moment, updated]);
  if (averaged.length > 0) parts.push(["average", averaged]);
  if (isUnderWay && !skipped.underWay) parts.push(["gradient", updated]);
  if (isUnderWay && skips) parts.push(["before", model.weights.of("statistic")]);
  return parts;
}

/** The name of the first tensor of a state that is not finite; null where all are. Reads everything back. */
export async function firstNonFinite(session: Session, state: RunState): Promise<string | null> {
  for (const [part, weights] of stateParts(session, state)) {
    for (const [name, values] of await session.read(weights.map(({ name }) => name), part)) {
      const found = findNonFinite(bytesOf(values), "F32");
      if (found) return describeNonFinite(part === "value" ? name : `${part}.${name}`, found);
    }
  }
  return null;
}

/** The whole state of a run as one file: weights, statistics, moments, averages, gradients summed so far, and position. */
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

/**
 * Restores a state file into a session. The GPU then holds what it held when the state was written, bit for bit.
 *
 * @throws {NonFiniteError} naming a tensor of the state that is not finite.
 */
export async function restoreState(
  session: Session,
  path: string,
  { note }: { note?: (text: string) => void } = {},
): Promise<RunState> {
  await using source = await openCheckpoint(path);
  const { state } = stateOf(source);
  const averages = [...session.model.weights.of("trained"), ...session.model.weights.of("statistic")]
    .map(({ name }) => `average.${name}`);
  const hasAverages = averages.some((name) => source.shapeOf(name)), keeps = session.averaged.length > 0;
  const parts = stateParts(session, state).filter(([part]) => part !== "average" || hasAverages);
  const wanted = parts.flatMap(([part, weights]) =>
    weights.map((weight) => {
      const name = `${part}.${weight.name}`;
      // A run that skipped no updates kept no statistics to go back to: those that it has.
      const stored = part === "before" && !source.shapeOf(name) ? `value.${weight.name}` : name;
      return { part, weight, stored };
    })
  );
  const before = session.model.weights.of("statistic").map(({ name }) => `before.${name}`);
  const ignore = keeps ? before : [...before, ...averages];
  checkAccount(wanted.map(({ weight, stored }) => ({ ...weight, name: stored })), source, { ignore });
  for (const { part, weight, stored } of wanted) {
    const values = await readUsable(source, stored, { dtype: "f32", refuse: refuseState });
    await session.write(weight.name, values, part);
  }
  if (keeps && !hasAverages) {
    await session.beginAverages();
    note?.("the state holds no averages (solver.ema): they begin with its weights");
  }
  if (hasAverages && !keeps) note?.("the state's averages are left out, because solver.ema is null");
  await session.restore({ steps: state.step, accumulated: state.accumulated, skipped: state.skipped });
  return state;
}

/** The state of a state file, without loading its tensors. */
export async function savedState(path: string): Promise<RunState> {
  return (await savedRun(path)).state;
}

/** The same, with the recipe that it was written with. */
export async function savedRun(path: string): Promise<SavedState> {
  await using source = await openCheckpoint(path);
  return stateOf(source);
}
