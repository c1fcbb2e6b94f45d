/**
 * Weights in and out of a session: the frozen backbone from a CLIP file, the trained weights under the originals' names, and
 * the complete state from which a run resumes exactly.
 */

import { describeNonFinite, findNonFinite } from "../../data/checkpoint/finite.ts";
import { openWeights } from "../../data/checkpoint/open.ts";
import { encodeSafetensors, type TensorToWrite } from "../../data/checkpoint/safetensors.ts";
import { NonFiniteError } from "../../lib/errors.ts";
import { checkAccount, type Weight, type WeightSource } from "../../models/mod.ts";
import { type FileNames, originalName } from "../../models/parts/file_names.ts";
import type { Session, WeightPart } from "../runtime/session.ts";
import {
  bytesOf,
  keptWeights,
  loadBackboneFrom,
  type LoadSignal,
  readUsable,
  refuseTrained,
} from "./load_weights.ts";
import {
  type CheckpointInfo,
  metadataOf,
  type RunState,
  type SavedState,
  stateOf,
  wordsMetadata,
} from "./run_state.ts";

export {
  checkTrained,
  holdsBackbone,
  type LoadOptions,
  loadOwnBackbone,
  loadTrained,
  readUsable,
} from "./load_weights.ts";

/** A checkpoint open for reading, with sidenet's metadata where it has any. */
export interface OpenCheckpoint extends WeightSource, AsyncDisposable {
  readonly metadata: Readonly<Record<string, string>>;
}

/** Opens a checkpoint of any format as a source of weights: the state dict alone, whatever lies around it. */
export function openCheckpoint(path: string): Promise<OpenCheckpoint> {
  return openWeights(path);
}

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
  options: LoadSignal = {},
): Promise<void> {
  await using file = await openCheckpoint(path);
  await loadBackboneFrom(session, file, options);
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
  const words = session.model.text ? await wordsMetadata() : {};
  return [...encodeSafetensors(tensors, { ...metadataOf({ ...info, state }), ...words })];
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
