/** Runs that would teach nothing, or measure nothing, although everything works: refused, or told in one line before they begin. */

import { clipPath } from "../../data/clip_path.ts";
import type { ClipRecord } from "../../data/datasets/list.ts";
import { batchesPerEpoch } from "../../data/sampling/epoch_order.ts";
import { ConfigError } from "../../lib/errors.ts";
import { formatCount } from "../../lib/text.ts";
import { type Config, dataRoots } from "../recipe/config.ts";
import { hasCaptions } from "./lists.ts";

/** Classes that a remark lists by number. */
const CLASSES_NAMED = 10;

/** Share of a run's batches that may be left over without a word. */
const LEFT_OVER_SHARE = 0.01;

/** What a run reads. */
export interface RunLists {
  train: readonly ClipRecord[];
  /** Clips of a loop (`TrainingSet.loopClips`). */
  loopClips: number;
  val: readonly ClipRecord[];
}

/**
 * Remarks on the lists of a run, each one line.
 *
 * @throws {ConfigError} where the run has not one step, or nothing to evaluate on
 */
export function remarksOnLists(config: Config, lists: RunLists): string[] {
  const { train, val } = lists, isEvaluation = config.solver.evaluate && train.length === 0;
  if (!isEvaluation) requireClips("train", train, config);
  requireClips("val", val, config);
  if (isEvaluation) return hasCaptions(config) ? [] : unmeasuredRemarks(config.data.num_classes, val);
  requireSteps(config, lists.loopClips);
  if (hasCaptions(config) && !config.solver.evaluate) requireContrast(config, train);
  return [
    ...hasCaptions(config)
      ? largeBatchRemarks(config, lists.loopClips)
      : classRemarks(config.data.num_classes, lists),
    ...leftOverRemarks(config, lists.loopClips),
    ...overlapRemarks(config, lists),
  ];
}

function requireClips(split: "train" | "val", clips: readonly ClipRecord[], { data }: Config): void {
  if (clips.length > 0) return;
  throw new ConfigError(
    `Cannot train: one or more clips of "${data[`${split}_list`]}" must be used, current count is 0; ` +
      `data.min_frames (${data.min_frames}) leaves out those with fewer frames`,
  );
}

/** A loss that compares the sentences and clips of a batch is 0, and teaches nothing, where there is one of each. */
function requireContrast({ data }: Config, train: readonly ClipRecord[]): void {
  if (data.batch_size < 2) {
    throw new ConfigError(
      "Cannot train: data.batch_size must be at least 2 where clips have captions, which are compared with those of the " +
        `other clips of a batch, current value is ${data.batch_size}`,
    );
  }
  if (train.length < 2) {
    throw new ConfigError(
      `Cannot train on "${data.train_list}": it must give at least 2 clips with captions, which are compared with each other, ` +
        `current count is ${train.length}`,
    );
  }
}

/** What a batch is compared with decides the loss, so a smaller batch than asked for is told. */
function largeBatchRemarks({ data, solver }: Config, loopClips: number): string[] {
  if (loopClips >= data.batch_size) return [];
  const clips = formatCount(loopClips);
  return [
    `data.batch_size is ${formatCount(data.batch_size)} and ${
      solver.folds > 1 ? "a loop" : "an epoch"
    } has ${clips} clips: ` +
    `every batch has these ${clips}, and none is repeated`,
  ];
}

/** Batches of a whole run. */
function batchesOf({ data, solver }: Config, loopClips: number): number {
  const perLoop = batchesPerEpoch({ clips: loopClips, batchSize: data.batch_size });
  return (solver.epochs - solver.start_epoch) / solver.folds * perLoop;
}

/** An update needs the gradients of so many batches; what is left at the end of a run is thrown away. */
function requireSteps(config: Config, loopClips: number): void {
  const { data, solver } = config, batches = batchesOf(config, loopClips);
  if (solver.evaluate || batches >= solver.grad_accumulation_steps) return;
  throw new ConfigError(
    `Cannot train: solver.grad_accumulation_steps must be at most ${
      formatCount(batches)
    }, the batches of the whole run ` +
      `(${formatCount(loopClips)} clips in batches of ${data.batch_size}, ${
        (solver.epochs - solver.start_epoch) / solver.folds
      } ${solver.folds > 1 ? "loops" : "epochs"}), ` +
      `current value is ${solver.grad_accumulation_steps}: no step would ever be made`,
  );
}

/** Batches at the end of a run that are too few for an update, where they are a part of it worth a word. */
function leftOverRemarks(config: Config, loopClips: number): string[] {
  const { solver } = config, group = solver.grad_accumulation_steps, batches = batchesOf(config, loopClips);
  const left = batches % group;
  if (solver.evaluate || solver.max_steps !== null || left / batches < LEFT_OVER_SHARE) return [];
  return [
    `the last ${formatCount(left)} of the run's ${formatCount(batches)} batches make no update: ` +
    `solver.grad_accumulation_steps (${group}) does not divide them`,
  ];
}

/** Classes that cannot be learned, or all that can; and those of which nothing is measured. */
function classRemarks(classes: number, { train, val }: RunLists): string[] {
  const trained = new Set(train.map(({ label }) => label)), remarks: string[] = [];
  if (trained.size === 1) {
    remarks.push(`every training clip is of class ${train[0].label}: the network only learns to say that`);
  } else remarks.push(...withoutClip("training", classes, trained));
  return [...remarks, ...unmeasuredRemarks(classes, val)];
}

function unmeasuredRemarks(classes: number, val: readonly ClipRecord[]): string[] {
  return withoutClip("validation", classes, new Set(val.map(({ label }) => label)));
}

function withoutClip(what: string, classes: number, used: ReadonlySet<number>): string[] {
  const empty = Array.from({ length: classes }, (_, label) => label).filter((label) => !used.has(label));
  return empty.length === 0
    ? []
    : [`no ${what} clip in ${empty.length} of ${classes} classes: ${namedClasses(empty, String)}`];
}

/** The first of some classes in words, and how many more there are. */
export function namedClasses(classes: readonly number[], text: (label: number) => string): string {
  return classes.slice(0, CLASSES_NAMED).map(text).join(", ") +
    (classes.length > CLASSES_NAMED ? ` and ${classes.length - CLASSES_NAMED} more` : "");
}

/** Clips that are trained on are known: what is measured on them says little of others. */
function overlapRemarks(config: Config, { train, val }: RunLists): string[] {
  const roots = dataRoots(config);
  const nameOf = (root: string, { path, range }: ClipRecord) => JSON.stringify([clipPath(root, path), range]);
  const trained = new Set(train.map((clip) => nameOf(roots.train, clip)));
  const known = val.filter((clip) => trained.has(nameOf(roots.val, clip))).length;
  if (known === 0) return [];
  const which = known === val.length
    ? val.length === 1 ? "the validation clip is a training clip" : "all validation clips are training clips"
    : `${formatCount(known)} of ${formatCount(val.length)} validation clips are training clips`;
  return [
    `${which}: what is measured on them does not tell how others are ${
      hasCaptions(config) ? "found" : "recognised"
    }`,
  ];
}
