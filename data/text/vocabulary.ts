/**
 * CLIP's table of merges (OpenAI, MIT; `tools/vocabulary.ts` made the file), loaded when the first text needs it and once a
 * process: verbs without text never read it.
 */
import { BytePairs } from "./byte_pairs.ts";

let loaded: Promise<BytePairs> | undefined;

export function clipVocabulary(): Promise<BytePairs> {
  return loaded ??= load();
}

async function load(): Promise<BytePairs> {
  const { default: text } = await import("./clip_merges.txt", { with: { type: "text" } });
  const view = new DataView(Uint8Array.fromBase64(text).buffer);
  return new BytePairs(
    Uint16Array.from({ length: view.byteLength / 2 }, (_, i) => view.getUint16(2 * i, true)),
  );
}
