/** A plain folder per class: `<root>/<class>/<clip>/` with the clip's frames in it, split by a seed. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { DataError } from "../../lib/errors.ts";
import { createPrng } from "../../lib/random.ts";
import { reasonOf } from "../files.ts";
import { type Dataset, type Entry, sortNames, type UnusableClip } from "./entries.ts";

export interface FolderOptions {
  /** Share of each class that goes to validation, 0 … 1. */
  valShare: number;
  seed: number;
}

/** Finds the classes, in code-point order of their folders, and splits the clips of each. */
export async function readClassFolders(root: string, options: FolderOptions): Promise<Dataset> {
  const unusable: UnusableClip[] = [], entries: Entry[] = [];
  const { folders: classes } = await listFolder(root);
  if (classes.length === 0) {
    throw new DataError(
      `Cannot prepare "${root}": it must hold a folder for each class, current count of folders is 0`,
    );
  }
  for (const [label, name] of classes.entries()) {
    const { folders: clips, others, failure } = await listFolder(join(root, name)).catch(unreadable);
    if (failure !== undefined) {
      unusable.push({ split: null, path: name, reason: failure });
      continue;
    }
    for (const other of others) {
      unusable.push({ split: null, path: `${name}/${other}`, reason: "it is no folder of frames" });
    }
    if (clips.length === 0) {
      unusable.push({ split: null, path: name, reason: "the class has no folder of frames" });
    }
    const val = stratifiedSplit(clips.length, options.valShare, [options.seed, label]);
    clips.forEach((clip, i) =>
      entries.push({ split: val.has(i) ? "val" : "train", label, folders: [`${name}/${clip}`] })
    );
  }
  return { classes, entries, unusable };
}

/**
 * Which of a class's clips go to validation: the nearest whole number to the share, at least one of two or more (unless
 * the share is 0), never all unless the share is 1.
 */
export function stratifiedSplit(count: number, share: number, seeds: readonly number[]): Set<number> {
  let chosen = Math.round(count * share);
  if (count >= 2 && share > 0 && share < 1) chosen = Math.min(Math.max(chosen, 1), count - 1);
  else if (share < 1) chosen = 0;
  const prng = createPrng(...seeds), order = Array.from({ length: count }, (_, i) => i);
  for (let i = 0; i < chosen; i++) {
    const other = i + prng.integer(count - i);
    [order[i], order[other]] = [order[other], order[i]];
  }
  return new Set(order.slice(0, chosen));
}

interface Listing {
  folders: string[];
  others: string[];
  /** Why it could not be read. */
  failure?: string;
}

/** What a folder holds, in code-point order; hidden files are left out, links count as what they lead to. */
async function listFolder(path: string): Promise<Listing> {
  try {
    const items = (await readdir(path, { withFileTypes: true })).filter(({ name }) => !name.startsWith("."));
    const isFolder = await Promise.all(
      items.map((item) =>
        item.isSymbolicLink()
          ? readdir(join(path, item.name)).then(() => true, () => false)
          : item.isDirectory()
      ),
    );
    const pick = (wanted: boolean) =>
      sortNames(items.filter((_, i) => isFolder[i] === wanted).map(({ name }) => name));
    return { folders: pick(true), others: pick(false) };
  } catch (error) {
    throw new DataError(`Cannot read "${path}": ${reasonOf(error)}`, { cause: error });
  }
}

/** A class whose folder cannot be read is named, and the others go on. */
function unreadable(error: unknown): Listing {
  return { folders: [], others: [], failure: reasonOf(error instanceof Error ? error.cause : error) };
}
