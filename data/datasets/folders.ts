/**
 * A folder per class with the class's clips in it, each a folder of frames or a video file: `<root>/<class>/<clip>`, split by
 * a seed; or the same once for training and once for validation: `<root>/train/<class>/<clip>`, `<root>/val/…`.
 */
import { readdir } from "node:fs/promises";
import { basename, dirname, extname, join } from "node:path";
import { ConfigError, DataError } from "../../lib/errors.ts";
import { createPrng } from "../../lib/random.ts";
import { reasonOf } from "../files.ts";
import { identifyFile } from "../video/identify.ts";
import { hasVideoName } from "../video/kind.ts";
import {
  detectTemplate,
  type Entry,
  findClips,
  type FindOptions,
  type FoundClip,
  PUBLISHED_TEMPLATES,
  type Split,
  type UnusableClip,
  whyNot,
} from "./entries.ts";
import { mapConcurrently, sortNames } from "./walk.ts";

export interface ClassFolderOptions extends Pick<FindOptions, "countVideos" | "signal" | "onProgress"> {
  /** Share of each class that goes to validation, 0 … 1; no matter where the folders give the splits. */
  valShare: number;
  seed: number;
  /** Names of the frames; null: found out. */
  template: string | null;
  /** Tried before the published ones when the template is found out. */
  likelyTemplate?: string;
}

/** What a folder of class folders holds. */
export interface ClassFolders {
  /** Classes with a usable clip, in code-point order. */
  classes: string[];
  clips: FoundClip[];
  unusable: UnusableClip[];
  template: string;
  /** Whether there is a folder for each split. */
  hasSplits: boolean;
  /** Folders that have no usable clip and are no class. */
  emptyClasses: string[];
}

/** Folders of the splits, by their names in published data sets. The test clips stand in where there are no others. */
export const SPLIT_FOLDERS: Readonly<Record<string, Split>> = {
  train: "train",
  training: "train",
  val: "val",
  valid: "val",
  validation: "val",
  test: "test",
  testing: "test",
};

/** Why a video outside of the class folders is in no list. */
const BESIDE_CLASSES = "it lies beside the folders of the classes, and its class is not known";
/** Pictures of a class are named up to this number, else one for all: where clips are due they are many. */
const PICTURES_NAMED = 3;
/** Files opened at once to see what they are. */
const FILES_AT_ONCE = 16;

/** Finds the classes and their clips. */
export async function readClassFolders(root: string, options: ClassFolderOptions): Promise<ClassFolders> {
  const unusable: UnusableClip[] = [];
  const splits = await splitFolders(root, unusable, options.signal);
  const found: ClassListing[] = [];
  for (const [folder, split] of splits ?? [["", "train"]] as const) {
    found.push(...await readClasses(root, { folder, split, unusable, signal: options.signal }));
  }
  const names = sortNames(new Set(found.map(({ name }) => name)));
  const beside = () => besideClasses(root, unusable, options.signal);
  if (names.length === 0) throw noClasses(root, await beside());
  const entries: Entry[] = found.flatMap(({ split, name, clips }) => {
    const label = names.indexOf(name);
    return clips.map((path) => ({ split, label, paths: [path] }));
  });
  const template = options.template ?? await templateOf(root, entries, options.likelyTemplate);
  const usable = await findClips({ classes: names, entries, unusable }, { ...options, root, template });
  const misplaced = usable.clips.length === 0 ? await beside() : null;
  // Pictures may be anything where there are clips to be looked at.
  if (misplaced !== null && (misplaced.what === "video" || entries.length === 0)) {
    throw noClasses(root, misplaced);
  }
  const { clips, doubles } = withoutDoubles(usable.clips);
  const used = new Set(clips.map(({ label }) => label));
  const classes = names.filter((_, label) => used.has(label));
  const labels = names.map((name) => classes.indexOf(name));
  const labelled = clips.map((clip) => ({ ...clip, label: labels[clip.label] }));
  return {
    classes,
    clips: splits === null ? splitClips(labelled, options) : labelled,
    unusable: [...usable.unusable, ...doubles],
    template,
    hasSplits: splits !== null,
    emptyClasses: names.filter((_, label) => !used.has(label)),
  };
}

/** The folders of the splits; null where the root holds the classes themselves. */
async function splitFolders(
  root: string,
  unusable: UnusableClip[],
  signal: AbortSignal | undefined,
): Promise<[folder: string, split: Split][] | null> {
  const { folders } = await listFolder(root);
  const named = folders.flatMap((folder): [string, Split][] => {
    const split = SPLIT_FOLDERS[folder.toLowerCase()];
    return split === undefined ? [] : [[folder, split]];
  });
  const has = (split: Split) => named.some(([, one]) => one === split);
  if (!has("train") || !has("val") && !has("test")) return null;
  for (const [folder] of named) {
    // A class of videos that is called "train" holds no classes.
    const { files } = await listFolder(join(root, folder));
    if ((await sortFiles(join(root, folder), files, { signal })).videos.length > 0) return null;
  }
  const splitNames = new Set(named.map(([folder]) => folder));
  for (const path of folders) {
    const reason = "it stands beside the folders of the splits";
    if (!splitNames.has(path)) unusable.push({ split: null, path, reason });
  }
  return has("val") ? named : named.map(([folder, split]) => [folder, split === "test" ? "val" : split]);
}

/** What to say of classes that are all named like splits, which is seldom meant; null for others. */
export function remarkOnSplits(
  { classes, hasSplits }: Pick<ClassFolders, "classes" | "hasSplits">,
): string | null {
  if (hasSplits || !classes.every((name) => SPLIT_FOLDERS[name.toLowerCase()] !== undefined)) return null;
  return `${
    classes.map((name) => JSON.stringify(name)).join(", ")
  } are taken for classes: for splits, make a folder for each class in each of them`;
}

/** What lies in place of class folders, and what would be a clip of one; null: nothing. */
interface Beside {
  count: number;
  what: "video" | "picture";
  /** The first, by its path below the root. */
  path: string;
}

/** Videos that are known to lie beside the class folders, or else pictures that do. */
async function besideClasses(
  root: string,
  unusable: readonly UnusableClip[],
  signal: AbortSignal | undefined,
): Promise<Beside | null> {
  const videos = unusable.filter(({ reason }) => reason === BESIDE_CLASSES);
  if (videos.length > 0) return { count: videos.length, what: "video", path: videos[0].path };
  const { others } = await sortFiles(root, (await listFolder(root)).files, { signal });
  const pictures = others.filter(({ isPicture }) => isPicture);
  return pictures.length === 0 ? null : { count: pictures.length, what: "picture", path: pictures[0].name };
}

/** The error of a folder without folders of classes. */
function noClasses(root: string, beside: Beside | null): DataError {
  const none = `Cannot read "${root}": it must hold a folder for each class, current count is 0`;
  if (beside === null) return new DataError(none);
  const { count, what, path } = beside, isVideo = what === "video";
  const example = join(root, dirname(path), "CLASS", ...isVideo ? [] : ["CLIP"], basename(path));
  return new DataError(
    `${none} beside ${count} ${what}${count === 1 ? "" : "s"}: make a folder for each class and ${
      isVideo ? "move its videos there" : "in it one for the frames of each clip"
    }, such as "${example}"`,
  );
}

/** A folder of a class and what may be clips in it. */
interface ClassListing {
  split: Split;
  name: string;
  clips: string[];
}

/** The classes in a folder and what may be clips of them; videos beside the classes are unusable. */
async function readClasses(
  root: string,
  options: { folder: string; split: Split; unusable: UnusableClip[]; signal?: AbortSignal },
): Promise<ClassListing[]> {
  const { folder, split, unusable, signal } = options, prefix = folder === "" ? "" : `${folder}/`;
  const known = folder === "" ? null : split;
  const found: ClassListing[] = [];
  const top = await listFolder(join(root, folder));
  for (const { name } of (await sortFiles(join(root, folder), top.files, { signal })).videos) {
    unusable.push({ split: known, path: `${prefix}${name}`, reason: BESIDE_CLASSES });
  }
  for (const name of top.folders) {
    const path = `${prefix}${name}`;
    try {
      const { folders, files } = await listFolder(join(root, path));
      const { videos, others } = await sortFiles(join(root, path), files, { signal });
      unusable.push(...strays(path, known, others));
      const clips = sortNames([...folders, ...videos.map(({ name }) => name)]);
      found.push({ split, name, clips: clips.map((clip) => `${path}/${clip}`) });
      if (clips.length > 0) continue;
      const reason = "the class has no folder of frames and no video file";
      unusable.push({ split: known, path, reason, ...others.length > 0 && { files: 0 } });
    } catch (error) {
      if (error instanceof ConfigError || signal?.aborted) throw error;
      const reason = whyNot(name, error instanceof Error ? error.cause : error);
      unusable.push({ split: known, path, reason });
      found.push({ split, name, clips: [] });
    }
  }
  return found;
}

/** The files of a class that are no clips. */
function strays(path: string, split: Split | null, files: readonly SortedFile[]): UnusableClip[] {
  const pictures = files.filter(({ isPicture }) => isPicture);
  const one = ({ name, problem }: SortedFile) => ({ split, path: `${path}/${name}`, reason: problem! });
  if (pictures.length <= PICTURES_NAMED) return files.map(one);
  const { name } = pictures[0];
  return [
    {
      split,
      path: `${path}/${name}`,
      reason: `it and ${
        pictures.length - 1
      } other files of its class are pictures, neither folders of frames nor video files`,
      files: pictures.length,
    },
    ...files.filter(({ isPicture }) => !isPicture).map(one),
  ];
}

async function templateOf(root: string, entries: readonly Entry[], likely?: string): Promise<string> {
  const templates = [...likely === undefined ? [] : [likely], ...PUBLISHED_TEMPLATES];
  const folders = entries.map(({ paths }) => paths[0]).filter((path) => !hasVideoName(path));
  return await detectTemplate(root, folders, templates) ?? templates[0];
}

/** Leaves out videos beside a folder of frames of the same name: they are one clip, and must not end up in two splits. */
function withoutDoubles(clips: readonly FoundClip[]): { clips: FoundClip[]; doubles: UnusableClip[] } {
  const folders = new Set(clips.filter(({ kind }) => kind === "frames").map(({ path }) => path));
  const folderOf = ({ kind, path }: FoundClip) => {
    const stem = path.slice(0, path.length - extname(path).length);
    return kind === "video" && folders.has(stem) ? stem : null;
  };
  return {
    clips: clips.filter((clip) => folderOf(clip) === null),
    doubles: clips.filter((clip) => folderOf(clip) !== null).map((clip) => ({
      split: clip.split,
      path: clip.path,
      reason: `its frames are taken from the folder "${folderOf(clip)}"`,
    })),
  };
}

/** Splits the clips of each class. */
function splitClips(
  clips: readonly FoundClip[],
  { valShare, seed }: Pick<ClassFolderOptions, "valShare" | "seed">,
): FoundClip[] {
  return [...Map.groupBy(clips, ({ label }) => label)].flatMap(([label, own]) => {
    const val = stratifiedSplit(own.length, valShare, [seed, label]);
    return own.map((clip, i) => ({ ...clip, split: val.has(i) ? "val" as const : "train" as const }));
  });
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
  files: string[];
}

/** What a folder holds, in code-point order; hidden files are left out, links count as what they lead to. */
export async function listFolder(path: string): Promise<Listing> {
  try {
    const items = (await readdir(path, { withFileTypes: true })).filter(({ name }) => !name.startsWith("."));
    const isFolder = await Promise.all(
      items.map((item) =>
        item.isSymbolicLink()
          ? readdir(join(path, item.name)).then(() => true, () => false)
          : item.isDirectory()
      ),
    );
    return {
      folders: sortNames(items.filter((_, i) => isFolder[i]).map(({ name }) => name)),
      files: sortNames(items.filter((_, i) => !isFolder[i]).map(({ name }) => name)),
    };
  } catch (error) {
    throw new DataError(`Cannot read "${path}": ${reasonOf(error)}`, { cause: error });
  }
}

/** A file and why it is no video. */
interface SortedFile {
  name: string;
  problem: string | null;
  isPicture: boolean;
}

/** Which files of a folder are videos. Those named so are looked at no further here. */
async function sortFiles(
  folder: string,
  files: readonly string[],
  options: { signal?: AbortSignal },
): Promise<{ videos: SortedFile[]; others: SortedFile[] }> {
  const sorted = await mapConcurrently(files, async (name): Promise<SortedFile> => {
    if (hasVideoName(name)) return { name, problem: null, isPicture: false };
    try {
      const { content, problem } = await identifyFile(join(folder, name), options);
      return { name, problem, isPicture: content === "picture" };
    } catch (error) {
      if (error instanceof ConfigError || options.signal?.aborted) throw error;
      return { name, problem: whyNot(name, error), isPicture: false };
    }
  }, { atOnce: FILES_AT_ONCE, signal: options.signal });
  return {
    videos: sorted.filter(({ problem }) => problem === null),
    others: sorted.filter(({ problem }) => problem !== null),
  };
}
