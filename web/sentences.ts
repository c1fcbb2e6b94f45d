/** What of sentences must be known before a model is loaded. */
import type { VideoModel } from "../models/video_model.ts";
import type { Config } from "../train/recipe/settled.ts";
import type { Query } from "../train/runtime/query.ts";
import { type BlockSize, comparisonQueries } from "../train/tasks/comparison.ts";

/** A sentence with so many parts of videos at once. */
export const BLOCK: BlockSize = { sentences: 1, clips: 64 };

/** What a model is asked besides its clips. */
export function searchQueries(config: Config, { text }: VideoModel): Query[] {
  return text ? comparisonQueries(config, [BLOCK]) : [];
}
