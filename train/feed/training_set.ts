/** The clips that a run trains on, and how an epoch goes over them: few-shot selection and balance of the classes. */

import { classWeights } from "../../data/sampling/class_balance.ts";
import { type ClipRecord, formatClipList } from "../../data/datasets/list.ts";
import { batchesPerEpoch, epochOrder, type OrderEntry } from "../../data/sampling/epoch_order.ts";
import { type Config, transformRecipe } from "../recipe/config.ts";
import { namedClasses } from "./list_remarks.ts";
import { chooseShots, listDigest, readSplit } from "./lists.ts";

/** A run's training clips. */
export interface TrainingSet {
  clips: ClipRecord[];
  /** Clips of a loop, repetitions included: of `solver.folds` epochs, which is one where the recipe does not say otherwise. */
  loopClips: number;
  /** Weight of each class's loss; null: all alike. */
  classWeights: Float64Array | null;
  /** Remarks for the user, one line each. */
  notes: string[];
  /** The few-shot selection as a list; null: there is none. */
  shotList: string | null;
  /** The clips and all that decides their order, in a few characters: equal where equal epochs show the same clips in turn. */
  id: string;
  /** The part of a loop's order that is still to come. @param epoch Its first one. @param start Clips that are done. */
  order(epoch: number, start: number): OrderEntry[];
}

/** Reads the training list of a recipe and chooses from it. One that only evaluates does without: its set is then empty. */
export async function readTrainingSet(config: Config): Promise<TrainingSet> {
  const { data, seed, solver: { folds } } = config;
  const notes: string[] = [];
  const isLeftOut = await trainsOnNothing(config);
  const listed = isLeftOut
    ? []
    : await readSplit(config, "train", { everyShot: true, note: (text) => notes.push(text) });
  const clips = isLeftOut ? [] : chooseShots(config, listed);
  const rounds = data.shots_repeat && !isLeftOut ? Math.floor(listed.length / clips.length) : 1;
  const labels = clips.map(({ label }) => label);
  const all = clips.length * rounds * folds, left = all % data.batch_size;
  const loopClips = data.drop_last && all >= data.batch_size ? all - left : all;
  const { mirrorPairs, flipProbability: mirrored } = transformRecipe(config);
  const weights = data.balance === "loss" && !isLeftOut
    ? classWeights(labels, { classes: data.num_classes, mirrorPairs, mirrored })
    : null;
  return {
    clips,
    loopClips,
    classWeights: weights,
    shotList: data.shots === null || isLeftOut ? null : formatClipList(clips),
    notes: [
      ...notes,
      ...isLeftOut
        ? []
        : notesOn(config, labels, { all: listed.length, epochClips: Math.floor(loopClips / folds) }),
    ],
    id: `${listDigest(clips)}, rounds ${rounds}, seed ${seed}${data.balance === "sampler" ? ", even" : ""}${
      folds > 1 ? `, folds ${folds}` : ""
    }`,
    order: (first, start) =>
      Array.from({ length: folds }, (_, fold) =>
        epochOrder({
          clips: clips.length,
          epoch: first + fold,
          seed,
          shuffle: true,
          batchSize: data.batch_size,
          repeat: data.num_sample,
          rounds,
          evenClasses: data.balance === "sampler" ? labels : undefined,
        })).flat().slice(start, loopClips),
  };
}

/** Whether a recipe only evaluates, and has no training list or one that is not here. */
async function trainsOnNothing({ data: { train_list: list }, solver }: Config): Promise<boolean> {
  return solver.evaluate && (list === null || !await Deno.stat(list).then(() => true, () => false));
}

/**
 * Batches of a loop, and clips of its last batch where that is short (0: none is).
 *
 * @param start Clips of the loop that are done already.
 */
export function loopBatches(
  config: Config,
  { loopClips }: Pick<TrainingSet, "loopClips">,
  start = 0,
): { batches: number; lastBatch: number } {
  const { batch_size: batchSize, num_sample: copies } = config.data, clips = Math.max(0, loopClips - start);
  return { batches: batchesPerEpoch({ clips, batchSize }), lastBatch: (clips % batchSize) * copies };
}

function notesOn(
  { data }: Config,
  labels: readonly number[],
  sizes: { all: number; epochClips: number },
): string[] {
  const notes: string[] = [];
  const counts = new Array<number>(data.num_classes).fill(0);
  for (const label of labels) counts[label]++;
  const { shots } = data;
  if (shots !== null) {
    notes.push(
      `data.shots takes ${labels.length} of ${sizes.all} training clips (listed in shots.txt); an epoch has ${sizes.epochClips}`,
    );
    const short = [...counts.keys()].filter((label) => counts[label] > 0 && counts[label] < shots);
    if (short.length > 0) {
      notes.push(
        `fewer than ${shots} training clips in ${short.length} of ${data.num_classes} classes: ` +
          namedClasses(short, (label) => `class ${label} has ${counts[label]}`),
      );
    }
  }
  return notes;
}
