/** What of sentences must be known before a model is loaded. */
import { clipTokenizer } from "../data/text/tokenizer.ts";
import type { VideoModel } from "../models/video_model.ts";
import type { Config } from "../train/recipe/settled.ts";
import type { Query } from "../train/runtime/query.ts";
import { type BlockSize, comparisonQueries } from "../train/tasks/comparison.ts";

/** A sentence with so many parts of videos at once. */
export const BLOCK: BlockSize = { sentences: 1, clips: 64 };

/** Whether this page can turn sentences into tokens: it is built with the table of words, or without. */
export function readsSentences(): boolean {
  return typeof clipTokenizer === "function";
}

/** What a model is asked besides its clips. */
export function searchQueries(config: Config, { text }: VideoModel): Query[] {
  return text ? comparisonQueries(config, [BLOCK]) : [];
}
