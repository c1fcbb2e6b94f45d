/** Reading of annotation lists and label files from disk. */
import { readFile } from "node:fs/promises";
import { DataError } from "../../lib/errors.ts";
import { reasonOf } from "../files.ts";
import { type ClipList, type ClipListOptions, parseClipList, parseLabels } from "./list.ts";

/** Reads and parses an annotation list. */
export async function readClipList(
  path: string,
  options: Omit<ClipListOptions, "file"> = {},
): Promise<ClipList> {
  return parseClipList(await readText(path), { ...options, file: path });
}

/** Reads and parses a label file (`id,name`). */
export async function readLabels(path: string, options: { classes?: number } = {}): Promise<string[]> {
  return parseLabels(await readText(path), { ...options, file: path });
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new DataError(`Cannot read "${path}": ${reasonOf(error)}`);
  }
}
