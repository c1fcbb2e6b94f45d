/** What `data.frame_cache` says: a folder, or a word. */

/** Name of a run's own frame cache in its folder. */
export const FRAME_CACHE_FOLDER = "frame_cache";

/** Words that stand for no folder; one of that name is given as ./run. */
const WORDS = ["auto", "run"];

/** Whether a recipe's frame cache is a folder of its own. */
export function isFolder(frameCache: string | null): frameCache is string {
  return frameCache !== null && !WORDS.includes(frameCache);
}
