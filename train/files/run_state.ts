/** Where a run stands, as the metadata of its checkpoints record it: checked when it is read, so that nothing is built on less. */

import { z } from "zod";
import { parseJson, parseValue } from "../../data/schema.ts";
import { packedVocabulary } from "../../data/text/vocabulary.ts";
import { DataError } from "../../lib/errors.ts";
import { SAVED_PROBLEMS } from "../feed/problems.ts";
import { BEST } from "./records.ts";

const count = z.int().nonnegative();

const SKIPPED = z.object({
  /** All of the run. */
  total: count,
  /** The last ones up to now. */
  inARow: count,
  /** The update under way will be. */
  underWay: z.boolean(),
});

/** What a state records. */
const RUN_STATE = z.object({
  /** Epoch under way, from 0; with `solver.folds` the first one of the loop under way. */
  epoch: count,
  /** Clips of this epoch's (this loop's) order that are done; a clip in several copies counts once. */
  clipsInEpoch: count,
  /** The training clips and what decides their order (`TrainingSet.id`); null in states that do not say. */
  set: z.string().nullable().default(null),
  /**
   * Whether the run has had these clips, in batches, copies and sums of this size, since it began: what it counts then follows from
   * where it stands. Absent in states that do not say.
   */
  steady: z.boolean().optional(),
  /** Optimiser steps done, those that were skipped among them. */
  step: count,
  /** Micro-batches done, which is what batch norms count. */
  microBatches: count,
  /** Micro-batches whose gradients wait for the rest of their accumulation group. */
  accumulated: count,
  /** Clips seen, every copy. */
  clips: count,
  /** Time spent training, in seconds. */
  seconds: z.number().nonnegative(),
  /** The best evaluation so far; null before the first. */
  best: BEST.nullable(),
  /** What `solver.early_stop` waits for: the value to be bettered, the epoch that gave it, and evaluations since. */
  patience: z.object({ best: z.number(), epoch: count, waited: count }).optional(),
  /** Metrics of the evaluation before the first step, where one was made. */
  baseline: z.record(z.string(), z.number()).optional(),
  /** Whether the evaluation due at this step has been made. */
  evaluated: z.boolean(),
  /** Losses of micro-batches since the last line of metrics. */
  pendingLosses: z.array(z.number()),
  /** Loss of the last line of metrics; null before the first. */
  lastLoss: z.number().nullable(),
  /** Steps whose updates were skipped because a gradient or the loss was not finite. */
  skipped: SKIPPED.default({ total: 0, inARow: 0, underWay: false }),
  /** What was wrong with the data so far; only in state files. */
  problems: SAVED_PROBLEMS.optional(),
}).refine(
  ({ step, microBatches, clips }) => step <= microBatches && microBatches <= clips,
  { error: "must have no more steps than micro-batches, and no more of these than clips" },
).refine(
  ({ accumulated, microBatches, skipped, step }) =>
    accumulated <= microBatches && skipped.total <= step && skipped.inARow <= skipped.total,
  { error: "must count no more of a kind than there are of all" },
).refine(
  ({ clips, clipsInEpoch }) => clipsInEpoch <= clips,
  { error: "must have no more clips in its epoch than in all" },
);

/** What a state can record of a run whose loops are of so many epochs. */
const stateWith = (folds: number) =>
  RUN_STATE.refine(
    ({ best, epoch, step }) => best === null || best.epoch < epoch + folds && (best.step ?? 0) <= step,
    { error: "must have its best evaluation before where it stands" },
  );

/** Where a run stands; everything else of its future follows from the config. */
export type RunState = z.infer<typeof RUN_STATE>;

/** The state of a run that has not begun. */
export function initialState(epoch: number): RunState {
  return {
    epoch,
    clipsInEpoch: 0,
    set: null,
    step: 0,
    microBatches: 0,
    accumulated: 0,
    clips: 0,
    seconds: 0,
    best: null,
    evaluated: false,
    pendingLosses: [],
    lastLoss: null,
    skipped: { total: 0, inARow: 0, underWay: false },
  };
}

const STATE_KEY = "sidenet.state",
  CONFIG_KEY = "sidenet.config",
  LABELS_KEY = "sidenet.labels",
  WORDS_KEY = "sidenet.words";

/** What the recipe beside a state tells of the run that wrote it; the whole recipe is checked where it is used. */
const RECIPE = z.looseObject({
  data: z.looseObject({ batch_size: z.int().positive(), num_sample: z.int().positive().default(1) }),
  solver: z.looseObject({
    grad_accumulation_steps: z.int().positive().default(1),
    start_epoch: count.default(0),
    folds: z.int().positive().default(1),
  }),
});

/** The recipe that a state was written with, as far as resuming looks at it. */
export type StateRecipe = z.infer<typeof RECIPE>;

/** A file with metadata. */
export interface Described {
  /** For messages: the file. */
  readonly label: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** What is written beside the weights. */
export interface CheckpointInfo {
  /** The resolved recipe. */
  config: unknown;
  labels: readonly string[];
  state: RunState;
}

/** The metadata of a checkpoint. */
export function metadataOf({ config, labels, state }: CheckpointInfo): Record<string, string> {
  return {
    format: "pt",
    [CONFIG_KEY]: JSON.stringify(config),
    [LABELS_KEY]: JSON.stringify(labels),
    [STATE_KEY]: JSON.stringify(state),
  };
}

/** The metadata that a network which reads sentences has besides: its table of words, so that its file is all that a page needs. */
export async function wordsMetadata(): Promise<Record<string, string>> {
  return { [WORDS_KEY]: await packedVocabulary() };
}

/** The table of words that a checkpoint carries, packed; null: none. */
export function wordsOf({ metadata }: Pick<Described, "metadata">): string | null {
  return metadata[WORDS_KEY] ?? null;
}

/** Metadata as they are shown: of the table of words only how long it is. */
export function shownMetadata(metadata: Described["metadata"]): Record<string, string> {
  const words = metadata[WORDS_KEY];
  return words === undefined ? metadata : { ...metadata, [WORDS_KEY]: `${words.length} characters` };
}

/** A state as it was read, with the recipe that it was written with. */
export interface SavedState {
  state: RunState;
  recipe: StateRecipe;
}

/**
 * The state a checkpoint records.
 *
 * @throws {DataError} where it records none, or one that cannot be.
 */
export function stateOf(source: Described): SavedState {
  const { [STATE_KEY]: text, [CONFIG_KEY]: config } = source.metadata;
  const fail = (key: string) => (what: string) =>
    new DataError(`Cannot resume from "${source.label}": ${key}: ${what}; the file has been damaged`);
  if (text === undefined || config === undefined) {
    throw new DataError(`Cannot resume from "${source.label}": it must be a state file written by sidenet`);
  }
  const recipe = parseJson(config, RECIPE, fail(CONFIG_KEY));
  const written = parseJson(text, z.record(z.string(), z.unknown()), fail(STATE_KEY));
  // States of earlier versions count batches.
  const { batch } = written;
  const counted = written.clipsInEpoch === undefined && batch !== undefined
    ? { ...written, clipsInEpoch: clipsOf(batch, { most: written.clips, each: recipe.data.batch_size }) }
    : written;
  return { state: parseValue(counted, stateWith(recipe.solver.folds), fail(STATE_KEY)), recipe };
}

/** Clips of an epoch's batches, of which the last may be short. */
function clipsOf(batches: unknown, { most, each }: { most: unknown; each: number }): unknown {
  if (typeof batches !== "number") return batches;
  return typeof most === "number" ? Math.min(batches * each, most) : batches * each;
}

/**
 * Recipe and class names that a checkpoint written here carries; null for a file from elsewhere.
 *
 * @throws {DataError} where they cannot be read.
 */
export function recipeOf(source: Described): { config: unknown; labels: string[] } | null {
  const { [CONFIG_KEY]: config, [LABELS_KEY]: labels } = source.metadata;
  if (config === undefined || labels === undefined) return null;
  const fail = (key: string) => (what: string) =>
    new DataError(`Cannot read "${source.label}": ${key}: ${what}; the file has been damaged`);
  return {
    config: parseJson(config, z.record(z.string(), z.unknown()), fail(CONFIG_KEY)),
    labels: parseJson(labels, z.array(z.string()), fail(LABELS_KEY)),
  };
}
