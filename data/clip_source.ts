/** Where the frames of clips come from, as the loader sees it: one interface, whatever they are stored in. */
import type { ClipModality } from "./datasets/list.ts";
import type { FrameCache } from "./frame_cache/frame_cache.ts";
import type { DecodedClip } from "./frames/decoded_clip.ts";
import type { ShrinkRule } from "./frames/shrink.ts";

export interface ClipSourceOptions {
  modality: ClipModality;
  /** Folder that the clips' paths are relative to. */
  root: string;
  /** Names of the frame files of a folder. */
  template: string;
  /** Number of a folder's first frame; null or absent: the lowest that it holds. */
  firstFrame?: number | null;
  /** Folders or videos decoded at once. */
  workers: number;
  /** Answers for the clips that it holds, and takes up the others. */
  frameCache?: FrameCache;
  /** Frames that are too large are shrunk. Absent: none are; what a cache holds stays as it is. */
  shrink?: ShrinkRule;
}

/** Reads clips; how many are asked for at once is the caller's to bound. */
export interface ClipSource extends AsyncDisposable {
  /**
   * How many frames a clip has, at least one.
   *
   * @throws {Error} with the reason why there are none
   */
  count(path: string, signal?: AbortSignal): Promise<number>;
  /** Frames a second of a video on average; null for folders, and where a video does not tell. */
  rate(path: string, signal?: AbortSignal): Promise<number | null>;
  /**
   * Frames of a clip with `count` frames.
   *
   * @param indices from 1; may repeat
   * @param mostBytes a clip with more decoded bytes is not decoded, and says how many it has
   */
  decode(
    path: string,
    count: number,
    indices: number[],
    signal?: AbortSignal,
    mostBytes?: number,
  ): Promise<DecodedClip>;
}
