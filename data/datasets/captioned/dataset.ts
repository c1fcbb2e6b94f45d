/** What the readers of data sets with captions share: their files, captions in order, lists of ids, where clips may lie. */
import { DataError } from "../../../lib/errors.ts";
import { shorten } from "../../../lib/text.ts";
import {
  type AnnotationFile,
  type Caption,
  type Dataset,
  type Entry,
  type Split,
  splitOfFile,
} from "../entries.ts";
import { listFolder } from "../folders.ts";
import { isPairsList } from "../pairs.ts";
import { boundedLines, MOST_LINE, MOST_PATH, quoted } from "../text.ts";

/** The files that a data set is given by, by their forms. */
export interface CaptionFiles {
  /** JSON, and pickles, which hold the same. */
  readonly json: readonly { file: string; value: unknown }[];
  /** Everything else. */
  readonly texts: readonly AnnotationFile[];
}

/** A data set whose clips have captions. */
export interface CaptionedReader {
  /** Whether files are those of the data set, by what they hold. */
  recognises(files: CaptionFiles): boolean;
  /** @throws {DataError} for what does not have its form, {@link ConfigError} where a file is missing */
  read(files: CaptionFiles): Dataset;
}

/** A clip and its captions, before anybody has looked whether it is there. */
export interface CaptionedClip {
  readonly split: Split;
  /** As in `Entry`. */
  readonly paths: readonly string[];
  readonly captions: readonly Caption[];
}

/** Folders of a root that are no clips and are looked into; a root of more holds clips of another list. */
const MOST_FOLDERS = 20;

/** Sorts files by their forms. @throws {DataError} for a `.json` that is none */
export function captionFiles(files: readonly AnnotationFile[]): CaptionFiles {
  const isJson = ({ file, text }: AnnotationFile) =>
    /\.(json|pkl|pickle)$/i.test(file) && !(isPairsList(text) && /\}\s*\{/.test(text));
  return {
    json: files.filter(isJson).map(({ file, text }) => ({ file, value: parseJson(text, file) })),
    texts: files.filter((one) => !isJson(one)),
  };
}

function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch (error) {
    throw new DataError(`Cannot read "${file}": it must be JSON, ${(error as Error).message}`);
  }
}

/** Whether a value is a JSON object. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The first value of a JSON object; undefined for anything else. */
export function firstValue(value: unknown): unknown {
  if (!isObject(value)) return undefined;
  for (const key in value) return value[key];
}

/** An id of a file, which becomes part of a path. @throws {DataError} for anything else */
export function idOf(value: unknown, file: string, line?: number): string {
  const id = typeof value === "string" ? value.trim() : value;
  // deno-lint-ignore no-control-regex
  if (typeof id === "string" && id.length <= MOST_PATH && /^[^\x00-\x1f\x7f]+$/.test(id)) return id;
  throw new DataError(
    `Cannot read "${file}"${
      line === undefined ? "" : ` line ${line}`
    }: the id of a clip must be a name, current value is ${shorten(JSON.stringify(value ?? null))}`,
  );
}

/** Captions that a file has for a clip. @throws {DataError} where they are no list of text */
export function textsOf(value: unknown, { file, id }: { file: string; id: string }): string[] {
  if (Array.isArray(value) && value.every((text) => typeof text === "string")) return value;
  throw new DataError(
    `Cannot read "${file}": the captions of ${quoted(id)} must be a list of text, current value is ${
      shorten(JSON.stringify(value ?? null))
    }`,
  );
}

/** Lists of ids, one a line, each of the split that its name says. */
export function idLists(files: readonly AnnotationFile[]): { split: Split; ids: string[] }[] {
  return files.map(({ file, text }) => ({
    split: splitOfFile(file),
    ids: boundedLines(text, file).map((row) => row.trim()).filter((id) => id !== "").map((id) =>
      idOf(id, file)
    ),
  }));
}

/** Clips whose captions stand in the order of the clips. */
export function inOrder(
  clips: Iterable<Omit<CaptionedClip, "captions"> & { texts: readonly string[] }>,
): CaptionedClip[] {
  let place = 0;
  return Array.from(clips, ({ texts, ...clip }) => ({
    ...clip,
    captions: texts.map((text) => ({ text, place: place++ })),
  }));
}

/** The data set of clips; captions that no list of pairs may hold are told and left out. */
export function captionedDataset(clips: readonly CaptionedClip[]): Dataset {
  const unusable: { split: Split; path: string; reason: string }[] = [];
  const entries = clips.flatMap(({ split, paths, captions }): Entry[] => {
    const note = (reason: string) => void unusable.push({ split, path: paths[0], reason });
    const usable = captions.filter(({ text }) => text.trim() !== "" && text.length <= MOST_LINE);
    const refused = captions.length - usable.length;
    if (captions.length === 0) note("it has no caption");
    if (refused > 0) {
      note(
        `${refused} of its ${captions.length} captions, without text or of more than ${MOST_LINE} characters`,
      );
    }
    return usable.length === 0 ? [] : [{ split, label: 0, paths, captions: usable }];
  });
  return { classes: null, entries, unusable };
}

/** A data set whose clips may also lie one folder deeper, in folders of the root that are no clips themselves. */
export async function alsoInFolders(dataset: Dataset, root: string): Promise<Dataset> {
  const clips = new Set(dataset.entries.flatMap(({ paths }) => paths));
  const listing = await listFolder(root).catch(() => null); // findClips names what is missing
  const folders = (listing?.folders ?? []).filter((name) => !clips.has(name));
  if (folders.length > MOST_FOLDERS) return dataset;
  const below = (paths: readonly string[]) =>
    new Set([...paths, ...folders.flatMap((folder) => paths.map((path) => `${folder}/${path}`))]);
  return {
    ...dataset,
    entries: dataset.entries.map((entry) => ({ ...entry, paths: [...below(entry.paths)] })),
  };
}
