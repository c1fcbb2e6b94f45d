/** Weights out of open checkpoints into a session: the frozen backbone, and what was trained beside it. */

import { describeNonFinite, findNonFinite } from "../../data/checkpoint/finite.ts";
import { DataError, NonFiniteError } from "../../lib/errors.ts";
import { checkAccount, explainBackbone, type Weight, type WeightSource } from "../../models/mod.ts";
import { fitTower } from "../../models/backbone_file.ts";
import { underOwnNames } from "../../models/parts/file_names.ts";
import type { System } from "../../models/system.ts";
import type { VideoModel } from "../../models/video_model.ts";
import type { Dtype } from "../../gpu/graph.ts";
import type { Session } from "../runtime/session.ts";

/** Half-way from the largest half, 65504, to the next step: from here on rounding gives infinity. */
const HALF_LIMIT = 65520;

/** What a checkpoint keeps of a model: trained weights, running statistics and computed constants. */
export function keptWeights({ weights }: Pick<VideoModel, "weights">): Weight[] {
  return [...weights.of("trained"), ...weights.of("statistic"), ...weights.of("constant")];
}

/** Ends a loading between two tensors. */
export interface LoadSignal {
  signal?: AbortSignal;
}

/** Writes weights of a file into a session. @param refuse Makes the error where one cannot be what a model is made of. */
async function writeAll(
  session: Pick<Session, "write">,
  weights: readonly Weight[],
  { source, refuse, signal }: { source: WeightSource; refuse: (message: string) => Error } & LoadSignal,
): Promise<void> {
  for (const { name, tensor } of weights) {
    signal?.throwIfAborted();
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

export function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

const refuseData = (message: string) => new DataError(message);
export const refuseTrained = (message: string) =>
  new NonFiniteError(`${message}; the training went wrong before this was written`);
/** Loads the frozen backbone from an open CLIP checkpoint, and what else begins with its values. */
export async function loadBackboneFrom(
  session: Pick<Session, "write" | "model">,
  file: WeightSource,
  { signal }: LoadSignal = {},
): Promise<void> {
  const { model } = session, wanted = model.weights.list.filter(({ pretrained }) => pretrained);
  const { source } = fitTower(file, model.config.backbone);
  const explain = (file: WeightSource) => explainBackbone(file, { text: model.text !== undefined });
  checkAccount(wanted, source, { ignore: model.unusedInBackbone, explain });
  await writeAll(session, wanted, { source, refuse: refuseData, signal });
}

/**
 * Loads the frozen backbone from a training checkpoint of the originals, which holds it beside the trained weights.
 *
 * @returns Whether the checkpoint holds one.
 */
export async function loadOwnBackbone(
  session: Pick<Session, "write" | "model">,
  file: WeightSource,
  { system, signal }: { system: Pick<System, "files"> } & LoadSignal,
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
  await writeAll(session, frozen, { source, refuse: refuseData, signal });
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
export interface LoadOptions extends LoadSignal {
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
  await writeAll(session, wanted, { source, refuse: refuseTrained, signal: options.signal });
  const { weights } = session.model;
  if (weights.of("constant").some((weight) => !wanted.includes(weight))) await session.computeConstants();
  return left;
}
