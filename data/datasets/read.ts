/** Reading of annotation lists and label files from disk. */
import { DataError } from "../../lib/errors.ts";
import { bytesOfFile, reasonOf } from "../files.ts";
import { isJsonList, parseIndexedClips } from "./indexed_json.ts";
import { parseLabels } from "./labels.ts";
import { type ClipList, type ClipListOptions, parseClipList } from "./list.ts";
import { type Pair, parsePairs } from "./pairs.ts";
import { decodeText } from "./text.ts";

/** Reads and parses an annotation list: of text, or a JSON list of clips with label indices. */
export async function readClipList(
  path: string,
  options: Omit<ClipListOptions, "file"> = {},
): Promise<ClipList> {
  const text = await readText(path);
  if (!isJsonList(text)) return parseClipList(text, { ...options, file: path });
  return { clips: parseIndexedClips(text, { ...options, file: path }), dropped: 0, repairedLines: [] };
}

/** Reads and parses a list of pairs. */
export async function readPairs(path: string): Promise<Pair[]> {
  return parsePairs(await readText(path), { file: path }).pairs;
}

/** Reads and parses a label file. */
export async function readLabels(path: string, options: { classes?: number } = {}): Promise<string[]> {
  return parseLabels(await readText(path), { ...options, file: path });
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
