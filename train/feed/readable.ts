/**
 * Whether the clips of a list are where a recipe looks for them. Single broken clips are the loader's affair; a root or a name
 * of frames that fits none of them would give a run on black frames, so that is an error before the run.
 */
import { stat } from "node:fs/promises";
import { isAbsolute } from "node:path";
import { createClipSource } from "../../data/open_clip_source.ts";
import type { ClipRecord } from "../../data/datasets/list.ts";
import { reasonOf } from "../../data/files.ts";
import { ConfigError, DataError } from "../../lib/errors.ts";
import { type Config, dataRoots } from "../recipe/config.ts";
import { clipModality } from "./sampling.ts";

/** Clips tried, spread over the list, until one can be read. */
const CLIPS_TRIED = 32;

/**
 * Refuses a list of which no clip can be read.
 *
 * @param options.list the list's name, for the error
 * @throws {DataError} where the root is no folder, or where all of the clips tried fail
 */
export async function requireReadable(
  config: Pick<Config, "data">,
  clips: readonly ClipRecord[],
  options: { list: string; root: string; signal?: AbortSignal },
): Promise<void> {
  const { list, root, signal } = options;
  if (clips.length === 0) return;
  if (!clips.every(({ path }) => isAbsolute(path))) await requireRoot(list, root);
  const { image_tmpl: template, first_frame: firstFrame } = config.data;
  const modality = clipModality(config);
  await using source = createClipSource({ modality, root, template, firstFrame, workers: 1 });
  const stride = Math.ceil(clips.length / CLIPS_TRIED);
  let first = "", tried = 0;
  for (let i = 0; i < clips.length; i += stride, tried++) {
    const { path } = clips[i];
    try {
      const { bad, substitutions } = await source.decode(path, await source.count(path, signal), [1], signal);
      if (!bad) return;
      throw new Error(substitutions[0]?.reason);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof ConfigError) throw error; // ffmpeg is missing
      if (tried === 0) first = `${path}: ${reasonOf(error)}`;
    }
  }
  throw new DataError(
    `Cannot read the clips of "${list}" under "${root}": one or more of ${tried} tried must be readable, current count is 0; ${first}`,
  );
}

/** Refuses a recipe of whose training or validation list no clip can be read. */
export async function requireReadableSplits(
  config: Pick<Config, "data">,
  clips: { train: readonly ClipRecord[]; val: readonly ClipRecord[] },
  signal?: AbortSignal,
): Promise<void> {
  const { train_list: train, val_list: val } = config.data, roots = dataRoots(config);
  await requireReadable(config, clips.train, { list: train!, root: roots.train, signal });
  await requireReadable(config, clips.val, { list: val!, root: roots.val, signal });
}

async function requireRoot(list: string, root: string): Promise<void> {
  const isFolder = await stat(root || ".").then((info) => info.isDirectory(), () => false);
  if (isFolder) return;
  throw new DataError(
    `Cannot read the clips of "${list}": their root must be a folder, current value is "${root}"`,
  );
}
