/**
 * An index of clips: a folder with `index.json`, which says which clips it holds and where they came from, and the features of the
 * clips in a safetensors file that it names. docs/search.md describes both for others.
 */

import { join, resolve } from "node:path";
import { z } from "zod";
import { ConfigError, DataError } from "../../lib/errors.ts";
import { isTemporary, namesIn, textOfFileIfAny, writeFileWhole } from "../files.ts";
import { LOCK_FILE } from "../folder_lock.ts";
import { parseValue } from "../schema.ts";

/** Names of an index's files; features are in `features-XXXXXXXX.safetensors`. */
export const INDEX_FILES = { manifest: "index.json", journal: "unfinished.jsonl" } as const;
const FORMAT = "sidenet-index", VERSION = 1;
const FEATURES_NAME = /^features-[0-9a-f]{8}\.safetensors$/;

const count = z.int().nonnegative(), size = z.int().positive();
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, { error: "must be a SHA-256 in hexadecimal" });

/** How the files of a clip were when it was looked at; times in milliseconds since 1970. */
export const CLIP_STAMP = z.object({
  /** Of the file, or of all frames of a folder. */
  bytes: count,
  /** Last change of the content; of a folder the latest of it and its frames. */
  modified: z.number(),
  /** Last change of content, name or rights. */
  changed: z.number(),
});
export type ClipStamp = Readonly<z.infer<typeof CLIP_STAMP>>;

/** From and to, in seconds; null where a file does not tell how long it lasts. */
export const CLIP_SPAN = z.tuple([z.number().nonnegative(), z.number().nonnegative().nullable()]).readonly();
/** The time that a row stands for. */
export type ClipSpan = z.infer<typeof CLIP_SPAN>;

const INDEXED_CLIP = CLIP_STAMP.extend({
  /** As the user wrote it, relative to `started_in`. */
  path: z.string().min(1),
  sha256,
  /** The first of its rows; one for each span. */
  row: count,
  spans: z.array(CLIP_SPAN).min(1),
  /** What had to be replaced in it. */
  problems: z.array(z.string()),
});

/** A clip of an index. */
export type IndexedClip = z.infer<typeof INDEXED_CLIP>;

const UNREADABLE_CLIP = CLIP_STAMP.extend({ path: z.string().min(1), reason: z.string() });

/** A clip of which nothing could be read. It is looked at again once its files change. */
export type UnreadableClip = z.infer<typeof UNREADABLE_CLIP>;

const INDEX_MODEL = z.object({
  /** Run folder or checkpoint, relative to `started_in`. */
  target: z.string().min(1),
  /** Recipe that was given with it. */
  config: z.string().nullable(),
  /** Keys of the recipe that were given with it. */
  overrides: z.array(z.string()),
  /** Digest of weights and settings: features of one index are of one model. */
  identity: z.string().min(1),
});
export type IndexModel = z.infer<typeof INDEX_MODEL>;

const INDEX_WINDOWS = z.object({
  /** Length of a window and how far apart they start, in seconds. */
  window: z.number().positive(),
  stride: z.number().positive(),
  /** Clips up to this length, in seconds, are one row. */
  longer_than: z.number().nonnegative(),
  /** Frames a second of folders of frames, where it was given. */
  frames_per_second: z.number().positive().nullable(),
});
export type IndexWindows = z.infer<typeof INDEX_WINDOWS>;

/** What the features of a row are. */
export const FEATURE_FORM = z.object({
  /** vector: one of length 1 for a row. words: as many as a row has frames, for a comparison with every word of a sentence. */
  kind: z.enum(["vector", "words"]),
  /** Of a row: `[D]`, or `[T D]`. */
  shape: z.array(size).min(1).max(2),
});
export type FeatureForm = z.infer<typeof FEATURE_FORM>;

const MANIFEST = z.object({
  format: z.literal(FORMAT),
  version: z.literal(VERSION),
  model: INDEX_MODEL,
  windows: INDEX_WINDOWS,
  features: FEATURE_FORM.extend({
    file: z.string().regex(FEATURES_NAME, { error: "must name a file of features beside it" }),
    sha256,
    rows: count,
  }),
  /** Absolute: where the paths are relative to. */
  started_in: z.string().min(1),
  /** Whether all clips that were asked for are in it. */
  complete: z.boolean(),
  clips: z.array(INDEXED_CLIP),
  unreadable: z.array(UNREADABLE_CLIP),
}).superRefine(({ clips, features: { rows, kind, shape } }, context) => {
  const wrong = (message: string) => context.addIssue({ code: "custom", path: ["features"], message });
  if (shape.length !== (kind === "vector" ? 1 : 2)) wrong("must have a shape that goes with its kind");
  let next = 0;
  for (const { row, spans } of clips) {
    if (row !== next) return wrong("must have the rows of the clips one after the other");
    next += spans.length;
  }
  if (next !== rows) wrong("must have a row for each span of a clip");
});

/** `index.json`. */
export type IndexManifest = z.infer<typeof MANIFEST>;

/** What a manifest begins with. */
export const MANIFEST_HEAD = { format: FORMAT, version: VERSION } as const;

/** What keeps a folder from being read as an index, in one line, with what to do. */
function damaged(folder: string, file: string, what: string): DataError {
  return new DataError(
    `Cannot read "${join(folder, file)}": ${what}; remove the folder "${folder}" and index again`,
  );
}

/** Reads an index's manifest; null where the folder holds none. @throws {DataError} naming the file and what is wrong with it */
export async function readIndexManifest(folder: string): Promise<IndexManifest | null> {
  const text = await textOfFileIfAny(join(folder, INDEX_FILES.manifest));
  if (text === null) return null;
  const fail = (what: string) => damaged(folder, INDEX_FILES.manifest, what);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw fail("it must be JSON");
  }
  if ((value as { format?: unknown } | null)?.format !== FORMAT) {
    throw new DataError(
      `Cannot read "${join(folder, INDEX_FILES.manifest)}": it must be written by sidenet index, ` +
        `its "format" is another; choose another folder`,
    );
  }
  return parseValue(value, MANIFEST, fail);
}

/** The error of a file of features that does not go with its manifest. */
export function damagedFeatures(
  folder: string,
  { features: { file } }: IndexManifest,
  what: string,
): DataError {
  return damaged(folder, file, what);
}

export async function writeIndexManifest(folder: string, manifest: IndexManifest): Promise<void> {
  const { clips, unreadable, ...head } = manifest;
  // A line a clip: an index of 100,000 stays readable.
  const lines = (items: readonly unknown[]) =>
    items.length === 0 ? "[]" : `[\n${items.map((item) => `  ${JSON.stringify(item)}`).join(",\n")}\n]`;
  const start = JSON.stringify(head, null, 2).slice(0, -2);
  await writeFileWhole(
    join(folder, INDEX_FILES.manifest),
    `${start},\n"clips": ${lines(clips)},\n"unreadable": ${lines(unreadable)}\n}\n`,
  );
}

/** Where a clip of an index lies. */
export function fileOfClip({ started_in: folder }: Pick<IndexManifest, "started_in">, path: string): string {
  return resolve(folder, path);
}

/**
 * What lies in a folder that an index is to be written to.
 *
 * @throws {ConfigError} where it holds other things
 */
export async function checkIndexFolder(folder: string): Promise<string[]> {
  const names = await namesIn(folder);
  const isOwn = (name: string) =>
    name === LOCK_FILE || isTemporary(name) || FEATURES_NAME.test(name) ||
    Object.values<string>(INDEX_FILES).includes(name);
  const foreign = names.find((name) => !isOwn(name));
  if (foreign === undefined) return names;
  throw new ConfigError(
    `Cannot write an index to "${folder}": it must be an index or an empty folder, it holds ${
      JSON.stringify(foreign)
    }`,
  );
}

/** Files in an index's folder that nothing refers to: of writes that did not come to their end, and of the index before. */
export function leftovers(names: readonly string[], manifest: IndexManifest | null): string[] {
  return names.filter((name) =>
    isTemporary(name) || FEATURES_NAME.test(name) && name !== manifest?.features.file
  );
}
