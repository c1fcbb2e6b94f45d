/** The lists and the class names of a recipe. */

import { createHash } from "node:crypto";
import { groupedPairs, trainingPairs } from "../../data/datasets/pairs.ts";
import { readClipList, readLabels, readPairs } from "../../data/datasets/read.ts";
import type { ClipRecord } from "../../data/datasets/list.ts";
import { selectShots } from "../../data/sampling/few_shot.ts";
import { ConfigError } from "../../lib/errors.ts";
import { formatCount } from "../../lib/text.ts";
import { systemOf } from "../../models/registry.ts";
import { type Config, dataRoots } from "../recipe/config.ts";
import { clipModality } from "./sampling.ts";

/** Whether a recipe's lists are of clips with captions. */
export function hasCaptions({ system }: Pick<Config, "system">): boolean {
  return systemOf(system).captions ?? false;
}

/** Class names of a recipe: its label list, those of its synthetic set, or the class numbers; none where clips have captions. */
export async function classNames(
  config: Pick<Config, "system"> & { data: Pick<Config["data"], "label_list" | "num_classes" | "synth"> },
): Promise<string[]> {
  const { label_list: path, num_classes: classes, synth } = config.data;
  if (hasCaptions(config)) return [];
  if (path === null) return synth?.classes ?? Array.from({ length: classes }, (_, i) => String(i));
  const labels = await readLabels(path, { classes });
  if (labels.length !== classes) {
    throw new ConfigError(
      `Cannot use "${path}": it must name data.num_classes (${classes}) classes, current count is ${labels.length}`,
    );
  }
  return labels;
}

/**
 * A list of pairs as clips. To train on: one a pair, or with `data.captions: random` one a path with all its captions, of which an
 * epoch draws one; to search among: one a path.
 */
async function readCaptioned({ data }: Pick<Config, "data">, split: "train" | "val", path: string) {
  const pairs = await readPairs(path);
  return split === "train" && data.captions === "all" ? trainingPairs(pairs) : groupedPairs(pairs);
}

/**
 * One of a recipe's two lists; of the training list, the clips of a few-shot selection where there is one.
 *
 * @param options.path Another list instead.
 * @param options.keepShort Also clips that state fewer frames than `data.min_frames`, as the published test protocol does.
 * @param options.everyShot The whole training list, whatever `data.shots` says.
 * @param options.note Takes a line about what is left out of the list or was repaired in it.
 */
export async function readSplit(
  config: Pick<Config, "system" | "data" | "seed">,
  split: "train" | "val",
  options: { path?: string; keepShort?: boolean; everyShot?: boolean; note?: (text: string) => void } = {},
): Promise<ClipRecord[]> {
  const { data } = config;
  const path = options.path ?? (split === "train" ? data.train_list : data.val_list);
  if (path === null) throw new ConfigError(`Cannot read the clips: data.${split}_list must be given`);
  if (hasCaptions(config)) return await readCaptioned(config, split, path);
  const dropShorterThan = options.keepShort ? undefined : data.min_frames;
  const modality = clipModality(config);
  const { clips, dropped, repairedLines } = await readClipList(path, {
    classes: data.num_classes,
    dropShorterThan,
    modality,
    root: dataRoots(config)[split],
  });
  if (dropped > 0) {
    options.note?.(
      `${formatCount(dropped)} of ${formatCount(dropped + clips.length)} clips of "${path}" are left out: ` +
        `the list states fewer than ${dropShorterThan} frames (data.min_frames)`,
    );
  }
  if (repairedLines.length > 0) {
    options.note?.(`"${path}": ${describeRepaired(repairedLines)}`);
  }
  return split === "train" && !options.everyShot ? chooseShots(config, clips) : clips;
}

/** Lines named of those that were split. */
const LINES_NAMED = 10;

/** Lines of a list that held two clips, in words. */
export function describeRepaired(lines: readonly number[]): string {
  const more = lines.length > LINES_NAMED ? ` and ${formatCount(lines.length - LINES_NAMED)} more` : "";
  return `lines with two records glued together were split: ${lines.slice(0, LINES_NAMED).join(", ")}${more}`;
}

/** The clips of a recipe's few-shot selection; all of them where it makes none. */
export function chooseShots(
  { data, seed }: Pick<Config, "data" | "seed">,
  clips: ClipRecord[],
): ClipRecord[] {
  const { shots } = data;
  if (shots === null) return clips;
  return selectShots(clips.map(({ label }) => label), { shots, seed }).map((clip) => clips[clip]);
}

/** The content of a list: paths, labels and parts of clips in order. */
export function listDigest(clips: readonly ClipRecord[]): string {
  const hash = createHash("sha256");
  for (const { path, label, range, captions = [] } of clips) {
    hash.update(`${path}\n${label}${range ? ` ${range.first} ${range.count}` : ""}\n`);
    for (const caption of captions) hash.update(`${caption}\n`);
  }
  return `${clips.length} clips, sha256 ${hash.digest("hex").slice(0, 16)}`;
}
