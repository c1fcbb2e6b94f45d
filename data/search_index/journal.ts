/**
 * What an indexing has done that is not in the index yet: `unfinished.jsonl`, a line of head and a line a row, which is added as soon as
 * it is known. A process may be killed at any time: a line that is not whole is none.
 */

import { type FileHandle, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { elementsOf } from "../checkpoint/dtype.ts";
import { bytesOfFile, readError, writeError, writeFileWhole } from "../files.ts";
import { CLIP_SPAN, CLIP_STAMP, FEATURE_FORM, type FeatureForm, INDEX_FILES } from "./manifest.ts";

const FORMAT = "sidenet-index-journal";

const HEAD = z.object({
  format: z.literal(FORMAT),
  version: z.literal(1),
  /** What the rows were computed with. */
  settings: z.string(),
  form: FEATURE_FORM,
});

const ROW = CLIP_STAMP.extend({
  /** Absolute. */
  file: z.string().min(1),
  sha256: z.string(),
  /** Which of the clip's rows this is, and how many there are. */
  part: z.int().nonnegative(),
  parts: z.int().positive(),
  span: CLIP_SPAN,
  problems: z.array(z.string()),
  /** f32, little-endian, as base64; null: nothing could be read. */
  features: z.base64().nullable(),
});

/** A row that was computed. */
export interface JournalRow extends Omit<z.infer<typeof ROW>, "features"> {
  features: Float32Array | null;
}

/** What a journal holds. */
export interface Journal {
  /** Tells what its rows were computed with. */
  readonly settings: string;
  readonly form: FeatureForm;
  readonly rows: readonly JournalRow[];
}

/** What a folder's journal holds; null without one. */
export async function readJournal(folder: string): Promise<Journal | null> {
  let bytes: Uint8Array;
  try {
    bytes = await bytesOfFile(join(folder, INDEX_FILES.journal), Infinity);
  } catch (error) {
    if ((error as { code?: unknown }).code === "ENOENT") return null;
    throw readError(join(folder, INDEX_FILES.journal), error);
  }
  const lines = linesOf(bytes), head = HEAD.safeParse(parsed(lines.next().value)).data;
  if (head === undefined) return null;
  const { settings, form } = head, bytesOfRow = 4 * elementsOf(form.shape), rows: JournalRow[] = [];
  for (const line of lines) {
    const { data } = ROW.safeParse(parsed(line));
    if (data === undefined) continue;
    const features = data.features === null ? null : Uint8Array.fromBase64(data.features);
    if (features !== null && features.length !== bytesOfRow) continue;
    rows.push({ ...data, features: features && new Float32Array(features.buffer) });
  }
  return { settings, form, rows };
}

/** Whole lines, one by one: a long file is no one text. */
function* linesOf(bytes: Uint8Array): Generator<string, undefined> {
  const decoder = new TextDecoder();
  for (let from = 0, end = bytes.indexOf(10); end >= 0; from = end + 1, end = bytes.indexOf(10, from)) {
    yield decoder.decode(bytes.subarray(from, end));
  }
}

function parsed(line: string | undefined): unknown {
  try {
    return JSON.parse(line ?? "");
  } catch {
    return null;
  }
}

function lineOf({ features, ...row }: JournalRow): string {
  const bytes = features && new Uint8Array(features.buffer, features.byteOffset, features.byteLength);
  return JSON.stringify({ ...row, features: bytes && bytes.toBase64() }) + "\n";
}

/** Adds rows to a journal. Only for a folder that is locked. */
export class JournalWriter implements AsyncDisposable {
  readonly #path: string;
  readonly #file: FileHandle;
  #end: number;

  private constructor(path: string, file: FileHandle, end: number) {
    this.#path = path;
    this.#file = file;
    this.#end = end;
  }

  /** Begins a journal with the rows that are known, and is ready for more. */
  static async create(
    folder: string,
    { settings, form, rows }: Journal,
  ): Promise<JournalWriter> {
    const path = join(folder, INDEX_FILES.journal), encoder = new TextEncoder();
    const head: z.infer<typeof HEAD> = { format: FORMAT, version: 1, settings, form };
    await writeFileWhole(
      path,
      function* () {
        yield encoder.encode(JSON.stringify(head) + "\n");
        for (const row of rows) yield encoder.encode(lineOf(row));
      }(),
    );
    try {
      const file = await open(path, "r+");
      return new JournalWriter(path, file, (await file.stat()).size);
    } catch (error) {
      throw writeError(path, error);
    }
  }

  /** Adds a row. @throws {DataError} where it cannot be written; those before it are kept */
  async add(row: JournalRow): Promise<void> {
    const line = new TextEncoder().encode(lineOf(row));
    try {
      for (let done = 0; done < line.length;) {
        const { bytesWritten } = await this.#file.write(line, done, line.length - done, this.#end + done);
        done += bytesWritten;
      }
    } catch (error) {
      await this.#file.truncate(this.#end).catch(() => {}); // half a line is none
      throw writeError(this.#path, error, "what was done before is kept");
    }
    this.#end += line.length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}

/** Removes a journal whose rows are in the index. */
export async function removeJournal(folder: string): Promise<void> {
  await rm(join(folder, INDEX_FILES.journal), { force: true });
}
