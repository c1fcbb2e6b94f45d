/** Reading of annotation lists and label files from disk. */
import { DataError } from "../../lib/errors.ts";
import { MAX_PICKLE_BYTES } from "../checkpoint/pickle.ts";
import { bytesOfFile, reading, reasonOf } from "../files.ts";
import { pickledCaptionsAsJson } from "./captioned/pickled_captions.ts";
import type { AnnotationFile } from "./entries.ts";
import { isJsonList, locateIndexedClips, parseIndexedClips } from "./indexed_json.ts";
import { parseLabels } from "./labels.ts";
import { type ClipList, type ClipListOptions, parseClipList } from "./list.ts";
import { groupedPairs, isPairsList, type Pair, parsePairs } from "./pairs.ts";
import { decodeText } from "./text.ts";

/**
 * Reads and parses an annotation list: of text, or a JSON list of clips with label indices.
 *
 * @param options.root Where the clips are: a JSON list names them by ids, of which what stands there is found. Absent: not looked for.
 */
export async function readClipList(
  path: string,
  { root, ...options }: Omit<ClipListOptions, "file"> & { root?: string } = {},
): Promise<ClipList> {
  return await clipListOf(await readText(path), path, { ...options, root });
}

/** The clips of a list of either kind, an annotation list or one of pairs, whose paths then come once each. */
export async function readAnyList(
  path: string,
  root?: string,
): Promise<Pick<ClipList, "clips" | "repairedLines">> {
  const text = await readText(path);
  if (!isPairsList(text)) return await listOfLabels(text, path, root);
  return { clips: groupedPairs(parsePairs(text, { file: path }).pairs), repairedLines: [] };
}

/** A list that may have been meant for one of pairs, where it is not one of labels from its first line on. */
async function listOfLabels(text: string, path: string, root: string | undefined): Promise<ClipList> {
  try {
    return await clipListOf(text, path, { modality: "either", root });
  } catch (error) {
    if (!(error instanceof DataError) || !/ line 1: /.test(error.message)) throw error;
    throw new DataError(
      `${error.message}; a list of pairs has a header with a column of captions: path,caption`,
    );
  }
}

async function clipListOf(
  text: string,
  path: string,
  { root, ...options }: Omit<ClipListOptions, "file"> & { root?: string },
): Promise<ClipList> {
  if (!isJsonList(text)) return parseClipList(text, { ...options, file: path });
  const named = parseIndexedClips(text, { ...options, file: path });
  const clips = root === undefined ? named : await locateIndexedClips(named, root);
  return { clips, dropped: 0, repairedLines: [] };
}

/** Reads and parses a list of pairs. */
export async function readPairs(path: string): Promise<Pair[]> {
  return parsePairs(await readText(path), { file: path }).pairs;
}

/** Reads and parses a label file. */
export async function readLabels(path: string, options: { classes?: number } = {}): Promise<string[]> {
  return parseLabels(await readText(path), { ...options, file: path });
}

/**
 * Reads a file that a data set is given by. Of a pickle, such as MSVD's captions, the text is the same as JSON.
 *
 * @throws {DataError} where it cannot be read, or is neither
 */
export async function readAnnotationFile(path: string): Promise<AnnotationFile> {
  if (!/\.(pkl|pickle)$/i.test(path)) return { file: path, text: await readText(path) };
  const bytes = await reading(path, () => bytesOfFile(path, MAX_PICKLE_BYTES));
  return { file: path, text: pickledCaptionsAsJson(bytes, path) };
}

/** Reads a text file. @throws {DataError} where it cannot be read, or is no text */
export async function readText(path: string): Promise<string> {
  let bytes: Uint8Array;
  try {
    bytes = await bytesOfFile(path);
  } catch (error) {
    throw new DataError(`Cannot read "${path}": ${reasonOf(error)}`);
  }
  return decodeText(bytes, path);
}
