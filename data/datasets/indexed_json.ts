/**
 * Annotation files of DiST. Something-Something V2: a JSON list of objects with `id` and `label_idx`, the videos are `<id>.mp4`,
 * or the `id` where that has a video's ending already; what else of that name stands there is taken where they do not.
 * Class names: a JSON object from name to index, as number or as text. Its Kinetics-400 lists have one `path label` a line,
 * which `parseClipList` reads as lists of videos.
 */
import { readdir } from "node:fs/promises";
import { basename, dirname, extname } from "node:path";
import { DataError } from "../../lib/errors.ts";
import { clipPath } from "../clip_path.ts";
import { shorten } from "../../lib/text.ts";
import { hasVideoName } from "../video/kind.ts";
import type { ClipRecord } from "./list.ts";
import { isClipId, parseSsv2Labels } from "./ssv2_json.ts";

/**
 * Parses a list with labels, such as `something-something-v2-train-with-label.json`.
 *
 * @param options.classes Number of classes: labels must be 0 … classes − 1. Absent: any label from 0.
 */
export function parseIndexedClips(text: string, options: { file: string; classes?: number }): ClipRecord[] {
  const { file, classes } = options;
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch (error) {
    throw new DataError(`Cannot read "${file}": it must be JSON, ${(error as Error).message}`);
  }
  if (!Array.isArray(value) || value.length === 0) {
    const kind = Array.isArray(value) ? "an empty one" : value === null ? "null" : `a JSON ${typeof value}`;
    throw new DataError(`Cannot read "${file}": it must be a list of clips, current value is ${kind}`);
  }
  return value.map((clip, index) => {
    const { id, label_idx: label } = (clip ?? {}) as { id?: unknown; label_idx?: unknown };
    if (!isClipId(id)) {
      throw new DataError(
        `Cannot read "${file}": clip ${index + 1} must have an id, current value is ${
          shorten(JSON.stringify(id ?? null))
        }`,
      );
    }
    if (!Number.isInteger(label) || !((label as number) >= 0 && (label as number) < (classes ?? Infinity))) {
      const range = classes === undefined ? "from 0" : `in 0 … ${classes - 1}`;
      throw new DataError(
        `Cannot read "${file}": label_idx of clip "${id}" must be an integer ${range}, current value is ${
          shorten(JSON.stringify(label ?? null))
        }`,
      );
    }
    const path = hasVideoName(String(id)) ? String(id) : `${id}.mp4`;
    return { path, label: label as number, frames: null, line: index + 1 };
  });
}

/**
 * The clips of such a list as they stand on the disk: where the video named is not there, the folder of its name without the ending, or
 * a video of that name with another one (the set came as `.webm`). Those of which nothing is there stay as they are.
 */
export async function locateIndexedClips(
  clips: readonly ClipRecord[],
  root: string,
): Promise<ClipRecord[]> {
  const listings = new Map<string, Map<string, string>>();
  const located: ClipRecord[] = [];
  for (const clip of clips) {
    const folder = dirname(clip.path), name = basename(clip.path), stem = basename(name, extname(name));
    let listing = listings.get(folder);
    if (!listing) listings.set(folder, listing = await listingOf(clipPath(root, folder)));
    const found = listing.has(name) ? name : listing.get(stem);
    const path = found === undefined || found === name
      ? clip.path
      : folder === "."
      ? found
      : `${folder}/${found}`;
    located.push({ ...clip, path });
  }
  return located;
}

/** The names in a folder by themselves, and those of videos also by what stands before their endings. */
async function listingOf(folder: string): Promise<Map<string, string>> {
  const names = (await readdir(folder).catch(() => [])).sort(); // the clips are told to be missing one by one
  const byStem = names.filter(hasVideoName).map((name) => [basename(name, extname(name)), name] as const);
  return new Map([...byStem.reverse(), ...names.map((name) => [name, name] as const)]);
}

/** Whether a text is a JSON list of objects; the path of a text list may begin with a bracket as well. */
export function isJsonList(text: string): boolean {
  return /^\s*\[\s*[{\]]/.test(text);
}

/** Parses `labels.json`: class names by index, without the quotes that some names of Kinetics-400 carry. */
export function parseIndexedLabels(text: string, file: string): string[] {
  return parseSsv2Labels(text, file).map((name) => name.replaceAll('"', "").trim());
}
