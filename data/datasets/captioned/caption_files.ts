/**
 * A folder of clips with a file of captions beside each, as captioning tools keep them: `a.mp4`, or a folder `a` of frames, and `a.txt`, a
 * caption a line. Folders named train, val and test give the splits, at the root; else the clips are split by a seed.
 */
import { realpath } from "node:fs/promises";
import { basename, extname, join } from "node:path";
import { DataError } from "../../../lib/errors.ts";
import { hasVideoName } from "../../video/kind.ts";
import { type Dataset, type Split, type UnusableClip, whyNot } from "../entries.ts";
import { listFolder, SPLIT_FOLDERS, stratifiedSplit } from "../folders.ts";
import { readText } from "../read.ts";
import { boundedLines } from "../text.ts";
import { mapConcurrently, sortNames, type WalkOptions } from "../walk.ts";
import { captionedDataset, inOrder } from "./dataset.ts";

export interface CaptionFolderOptions extends WalkOptions {
  /** Share of the clips that goes to validation, 0 … 1; no matter where folders give the splits. */
  valShare: number;
  seed: number;
}

/** Files opened at once. */
const FILES_AT_ONCE = 16;
const CAPTIONS = ".txt";
const PICTURE = /\.(jpe?g|png|webp|bmp|tiff?|avif)$/i;

/**
 * Whether videos or folders of frames with captions beside them lie in a folder itself, or in its folders of splits: then it holds no class
 * folders.
 */
export async function hasCaptionFiles(root: string): Promise<boolean> {
  const top = await listFolder(root);
  if (await hasCaptionedClip(root, top)) return true;
  for (const folder of top.folders) {
    if (splitNamed(folder) === undefined) continue;
    const path = join(root, folder);
    if (await hasCaptionedClip(path, await listFolder(path))) return true;
  }
  return false;
}

async function hasCaptionedClip(path: string, { folders, files }: Listing): Promise<boolean> {
  const captions = captionsAmong(files);
  if (files.some((name) => hasVideoName(name) && captions.has(stemOf(name)))) return true;
  for (const folder of folders) {
    // A list "train.txt" beside a folder of clips "train" holds no captions of it.
    if (captions.has(folder) && holdsFrames(await listFolder(join(path, folder)))) return true;
  }
  return false;
}

/** Names of the files of captions, without their ending. */
function captionsAmong(files: readonly string[]): Set<string> {
  return new Set(files.filter((name) => extname(name) === CAPTIONS).map(stemOf));
}

function holdsFrames({ folders, files }: Listing): boolean {
  return folders.length === 0 && files.some((name) => PICTURE.test(name));
}

/** Finds clips with their captions. What has none is named, and so are captions without a clip. */
export async function readCaptionFolder(root: string, options: CaptionFolderOptions): Promise<Dataset> {
  const found: Found = { clips: [], unusable: [], seen: new Set() };
  await visit(root, "", found);
  const texts = await mapConcurrently(found.clips, async (path) => {
    try {
      const file = join(root, path + CAPTIONS);
      return boundedLines(await readText(file), file).filter((line) => line.trim() !== "");
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      return error;
    }
  }, { ...options, atOnce: FILES_AT_ONCE });
  const splits = new Set(found.clips.map(splitOf));
  const hasSplits = splits.has("train") && (splits.has("val") || splits.has("test"));
  const validated = stratifiedSplit(found.clips.length, options.valShare, [options.seed]);
  const bySeed = (index: number): Split => validated.has(index) ? "val" : "train";
  const clips = found.clips.map((path, index) => ({
    split: hasSplits ? splitOf(path) : bySeed(index),
    paths: [path],
    texts: texts[index],
  }));
  const readable = clips.flatMap(({ split, paths, texts }) =>
    split === undefined || texts instanceof DataError ? [] : [{ split, paths, texts }]
  );
  const others = clips.flatMap(({ split, paths: [path], texts }): UnusableClip[] =>
    split === undefined
      ? [{ split: null, path, reason: "it stands beside the folders of the splits" }]
      : texts instanceof DataError
      ? [{ split, path, reason: texts.message }]
      : []
  );
  const dataset = captionedDataset(inOrder(readable));
  return { ...dataset, unusable: [...found.unusable, ...others, ...dataset.unusable] };
}

type Listing = Awaited<ReturnType<typeof listFolder>>;

interface Found {
  /** Paths below the root of what has captions, without the ending of a file. */
  clips: string[];
  unusable: UnusableClip[];
  /** Where folders lie: each is looked into once, however many links lead to it. */
  readonly seen: Set<string>;
}

async function visit(root: string, folder: string, found: Found): Promise<void> {
  const place = await realpath(join(root, folder));
  if (found.seen.has(place)) return;
  found.seen.add(place);
  const { folders, files } = await listFolder(join(root, folder));
  const below = (name: string) => folder === "" ? name : `${folder}/${name}`;
  const note = (path: string, reason: string) => void found.unusable.push({ split: null, path, reason });
  const captions = captionsAmong(files);
  const clips = new Set([...folders, ...files.filter((name) => extname(name) !== CAPTIONS).map(stemOf)]);
  for (const name of sortNames(captions)) {
    if (clips.has(name)) found.clips.push(below(name));
    else note(below(name + CAPTIONS), "no clip of this name stands beside it");
  }
  for (const name of files) {
    if (hasVideoName(name) && !captions.has(stemOf(name))) {
      note(below(name), `it has no captions: "${stemOf(name)}${CAPTIONS}" is missing`);
    }
  }
  if (folder !== "" && holdsFrames({ folders, files })) {
    note(folder, `it has no captions: "${basename(folder)}${CAPTIONS}" is missing`);
  }
  for (const name of folders) {
    if (captions.has(name)) continue; // it holds frames
    try {
      await visit(root, below(name), found);
    } catch (error) {
      note(below(name), whyNot(name, error instanceof DataError ? error.cause : error));
    }
  }
}

function splitOf(path: string): Split | undefined {
  const [first, ...rest] = path.split("/");
  return rest.length === 0 ? undefined : splitNamed(first);
}

function splitNamed(folder: string): Split | undefined {
  const name = folder.toLowerCase();
  return Object.hasOwn(SPLIT_FOLDERS, name) ? SPLIT_FOLDERS[name] : undefined;
}

function stemOf(name: string): string {
  return basename(name, extname(name));
}
