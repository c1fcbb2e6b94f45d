/** Lists that `sidenet prepare` writes, its report, and the keys of a recipe that reads them. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import {
  countUnusable,
  formatLabels,
  type FoundClip,
  modalityOf,
  type Split,
  type UnusableClip,
} from "../../data/datasets/entries.ts";
import { formatClipList } from "../../data/datasets/list.ts";
import { formatPairs } from "../../data/datasets/pairs.ts";
import { writeFileWhole } from "../../data/files.ts";
import { formatCount } from "../../lib/text.ts";
import { PUBLISHED_MIN_FRAMES } from "../../train/recipe/config.ts";
import { overrideOf } from "../../train/recipe/overrides.ts";
import { countVideos } from "./clips.ts";
import type { Io } from "./output.ts";

const SPLITS: readonly Split[] = ["train", "val", "test"];

/** What the lists are made of. */
export interface Prepared {
  /** null: clips have captions. */
  classes: readonly string[] | null;
  clips: readonly FoundClip[];
  unusable: readonly UnusableClip[];
  template: string;
}

/** Writes the lists of all splits and the report, and says so. @param prepared.root null: paths are absolute */
export async function writeLists(
  out: string,
  { classes, clips, unusable, root, template }: Prepared & { root: string | null },
  io: Io,
): Promise<void> {
  const listOf = (split: Split) => join(out, `${split}.${classes === null ? "jsonl" : "txt"}`);
  const counts: Partial<Record<Split, number>> = {};
  for (const split of SPLITS) {
    const own = clips.filter((clip) => clip.split === split);
    if (own.length === 0) {
      const earlier = await stat(listOf(split)).then(() => true, () => false);
      if (earlier) io.note(`warning: ${listOf(split)} is of an earlier run: this one has no ${split} clips`);
      continue;
    }
    counts[split] = own.length;
    await writeFileWhole(listOf(split), classes === null ? pairsOf(own) : formatClipList(own));
  }
  if (classes !== null) await writeFileWhole(join(out, "labels.csv"), formatLabels(classes));
  const modality = modalityOf(clips),
    captions = clips.reduce((sum, { captions = [] }) => sum + captions.length, 0);
  const result = {
    folder: out,
    root,
    template,
    modality,
    ...classes === null ? { captions } : { classes: classes.length },
    clips: counts,
    unusable,
  };
  await writeFileWhole(join(out, "report.json"), JSON.stringify(result, null, 2) + "\n");
  const listed = Object.entries(counts).map(([split, count]) => `${formatCount(count)} ${split}`).join(", ");
  const videos = clips.filter(({ kind }) => kind === "video").length;
  const what = classes === null
    ? `with ${formatCount(captions)} ${captions === 1 ? "caption" : "captions"}`
    : `of ${formatCount(classes.length)} classes`;
  io.print(
    `wrote ${listed} clips${videos > 0 ? ` (${countVideos(videos)})` : ""} ${what} to ${out}; ${
      formatCount(countUnusable(unusable))
    } left out`,
  );
  const short = clips.filter(({ frames }) => frames !== null && frames < PUBLISHED_MIN_FRAMES).length;
  if (short > 0 && classes !== null) {
    io.note(
      `warning: clips of fewer than ${PUBLISHED_MIN_FRAMES} frames, which the recipes of Something-Something and Kinetics ` +
        `leave out of training (data.min_frames): ${formatCount(short)}`,
    );
  }
  const keys: [key: string, value: string | number][] = root === null ? [] : [["root", root]];
  if (classes !== null) keys.push(["num_classes", classes.length]);
  if (modality !== "RGB") keys.push(["modality", modality]);
  if (modality !== "video") keys.push(["image_tmpl", template]);
  const validated = counts.val || classes !== null ? "val" : "test";
  if (counts.train) keys.push(["train_list", listOf("train")]);
  if (counts[validated]) keys.push(["val_list", listOf(validated)]);
  if (classes !== null) keys.push(["label_list", join(out, "labels.csv")]);
  const words = keys.map(([key, value]) => shellWord(overrideOf(`data.${key}`, value)));
  io.print(`keys for a recipe: ${words.join(" ")}`);
  io.printJson(result);
}

/** The text of a list of pairs, in the order of the data set: a line for neighbouring captions of one clip. */
function pairsOf(clips: readonly FoundClip[]): string {
  const pairs = clips.flatMap(({ path, captions = [] }) => captions.map((caption) => ({ path, ...caption })));
  pairs.sort((a, b) => a.place - b.place);
  const records: { path: string; captions: string[] }[] = [];
  for (const { path, text } of pairs) {
    const last = records.at(-1);
    if (last?.path === path) last.captions.push(text.trim());
    else records.push({ path, captions: [text.trim()] });
  }
  return formatPairs(records);
}

/** A word as a POSIX shell reads it back. */
function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
