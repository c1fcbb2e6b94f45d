/** CLIP's table of merges in the files that come with its checkpoints, packed as this project's own. */
import { DataError } from "../../lib/errors.ts";
import { byteSymbols, END_OF_WORD, FIRST_MERGED } from "./byte_pairs.ts";

/** Merges that CLIP takes; OpenAI's file goes on behind them. */
const MERGES = 48_894;
/** Bytes of a table's text, at most: that of OpenAI has 3.4 MB. */
const MOST_BYTES = 2 ** 24;

/** A pair of symbols that become one, as texts. */
export type MergePair = readonly [left: string, right: string];

/**
 * Packs merges, first pair first: ids of the left and the right symbol of each, 16 bits each, little-endian, in Base64.
 *
 * @throws {RangeError} where a symbol is none yet.
 */
export function packMerges(merges: readonly MergePair[]): string {
  const symbols = byteSymbols();
  const ids = new Map(
    [...symbols, ...symbols.map((symbol) => symbol + END_OF_WORD)].map((s, id) => [s, id]),
  );
  const idOf = (symbol: string) => {
    const id = ids.get(symbol);
    if (id === undefined) throw new RangeError(`Cannot pack merges: "${symbol}" is no symbol yet`);
    return id;
  };
  const view = new DataView(new ArrayBuffer(4 * merges.length));
  merges.forEach(([left, right], rank) => {
    view.setUint16(4 * rank, idOf(left), true);
    view.setUint16(4 * rank + 2, idOf(right), true);
    ids.set(left + right, FIRST_MERGED + rank);
  });
  return new Uint8Array(view.buffer).toBase64();
}

/**
 * Reads OpenAI's `bpe_simple_vocab_16e6.txt.gz`, packed or not, or Hugging Face's `merges.txt` or `tokenizer.json`.
 *
 * @returns The table as `packMerges` packs it.
 * @throws {DataError} where the file is none of these.
 */
export async function readMergesFile(file: Blob & { readonly name: string }): Promise<string> {
  const fail = () =>
    new DataError(
      `Cannot use "${file.name}": it must be CLIP's table of words: bpe_simple_vocab_16e6.txt.gz, merges.txt or tokenizer.json`,
    );
  const text = await textOf(file, fail);
  const pairs = text.trimStart().startsWith("{") ? pairsOfJson(text) : pairsOfLines(text);
  if (pairs === null || pairs.length < MERGES) throw fail();
  try {
    return packMerges(pairs.slice(0, MERGES));
  } catch {
    throw fail();
  }
}

async function textOf(file: Blob, fail: () => DataError): Promise<string> {
  const [first, second] = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  const isPacked = first === 0x1f && second === 0x8b;
  const stream = isPacked ? file.stream().pipeThrough(new DecompressionStream("gzip")) : file.stream();
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  try {
    for await (const part of stream) {
      if ((bytes += part.length) > MOST_BYTES) throw fail();
      parts.push(part);
    }
  } catch {
    throw fail(); // cut off or damaged
  }
  return await new Blob(parts).text();
}

function pairsOfLines(text: string): MergePair[] | null {
  const [head, ...lines] = text.split(/\r?\n/);
  return /#version/.test(head) ? pairsOf(lines.slice(0, MERGES).map((line) => line.split(" "))) : null;
}

function pairsOfJson(text: string): MergePair[] | null {
  try {
    const merges = JSON.parse(text)?.model?.merges;
    return Array.isArray(merges)
      ? pairsOf(merges.map((pair) => typeof pair === "string" ? pair.split(" ") : pair))
      : null;
  } catch {
    return null;
  }
}

function pairsOf(parts: readonly unknown[]): MergePair[] | null {
  const isPair = (pair: unknown): pair is MergePair =>
    Array.isArray(pair) && pair.length === 2 && pair.every((symbol) => typeof symbol === "string");
  return parts.every(isPair) ? parts as MergePair[] : null;
}
