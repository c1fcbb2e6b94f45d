/**
 * CLIP's table of merges (OpenAI, MIT; `tools/vocabulary.ts` made the file), loaded when the first text needs it and once a
 * process: verbs without text never read it. A page does not bring it along, for it packs badly: it is given one, which a network's own
 * file holds.
 */
import { DataError } from "../../lib/errors.ts";
import { BytePairs } from "./byte_pairs.ts";

/** SHA-256 of the ids of all pairs, 16 bits each. */
const SHA256 = "88d5677a60bb2d33e2c2b0e57fcd83b2b64fe832ff26e0395aff9a749db6f546";

let loaded: Promise<BytePairs> | undefined;

/** The table, of this program or as it was given. */
export function clipVocabulary(): Promise<BytePairs> {
  return loaded ??= packedVocabulary().then((text) => unpack(Uint8Array.fromBase64(text)));
}

/** The table as a file of weights carries it: ids of both symbols of each pair, 16 bits each, little-endian, in Base64. */
export async function packedVocabulary(): Promise<string> {
  const { default: text } = await import("./clip_merges.txt", { with: { type: "text" } });
  return text.replaceAll("\n", "");
}

/** Whether texts can become tokens: a page may have no table yet. */
export async function hasVocabulary(): Promise<boolean> {
  return loaded !== undefined || (await packedVocabulary()) !== "";
}

/**
 * Gives a page the table.
 *
 * @param packed As `packedVocabulary` returns it. @param label For messages: where it comes from.
 * @throws {DataError} where it is not CLIP's.
 */
export async function giveVocabulary(packed: string, { label }: { label: string }): Promise<void> {
  const bytes = bytesOf(packed);
  const hash = bytes && new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
  if (bytes === null || hash !== SHA256) {
    throw new DataError(`Cannot use "${label}": its table of words must be CLIP's, and is another`);
  }
  loaded ??= Promise.resolve(unpack(bytes));
}

function bytesOf(packed: string): Uint8Array<ArrayBuffer> | null {
  try {
    return Uint8Array.fromBase64(packed);
  } catch {
    return null;
  }
}

function unpack({ buffer }: Uint8Array): BytePairs {
  const view = new DataView(buffer);
  return new BytePairs(
    Uint16Array.from({ length: view.byteLength / 2 }, (_, i) => view.getUint16(2 * i, true)),
  );
}
