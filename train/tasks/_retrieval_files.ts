/** What an evaluation of retrieval found, as JSON lines. */

import type { ClipResult } from "./task.ts";

/** Lines written at a time. */
const LINES_AT_ONCE = 256;

/** A line of `retrieval.jsonl`. */
export interface RetrievalLine {
  query: string;
  /** The clip that the sentence describes, and its rank, from 1. */
  path: string;
  rank: number;
  /** The best clips, best first. */
  hits: { path: string; score: number }[];
}

/** One JSON object a sentence, in the order of the list. */
export function* retrievalLines(
  sentences: readonly {
    text: string;
    clip: number;
    rank: number;
    hits: readonly { clip: number; score: number }[];
  }[],
  clips: readonly ClipResult[],
): Generator<Uint8Array> {
  const encoder = new TextEncoder();
  for (let start = 0; start < sentences.length; start += LINES_AT_ONCE) {
    const lines = sentences.slice(start, start + LINES_AT_ONCE).map(({ text, clip, rank, hits }) => {
      const line: RetrievalLine = {
        query: text,
        path: clips[clip].path,
        rank,
        hits: hits.map(({ clip, score }) => ({ path: clips[clip].path, score })),
      };
      return JSON.stringify(line) + "\n";
    });
    yield encoder.encode(lines.join(""));
  }
}
