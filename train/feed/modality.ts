/** Whether the lists of a recipe name folders of frames or videos, found by looking at what they name. */

import { stat } from "node:fs/promises";
import { clipPath } from "../../data/clip_path.ts";
import type { ClipRecord } from "../../data/datasets/list.ts";
import { readClipList, readPairs } from "../../data/datasets/read.ts";
import { identifyFile } from "../../data/video/identify.ts";
import { hasVideoName } from "../../data/video/kind.ts";
import { DataError } from "../../lib/errors.ts";
import { type Config, dataRoots } from "../recipe/config.ts";
import { hasCaptions } from "./lists.ts";

/** Clips of a list that are looked at, spread over it. */
const CLIPS_LOOKED_AT = 32;

/** A list and the folder that its paths are relative to. */
interface RootedList {
  list: string;
  root: string;
}

/**
 * A recipe whose `data.modality` fits what its lists name. One that names frames, as the default does, takes videos where there
 * are some, and one that names videos takes folders of frames: they would all be broken clips otherwise. Any other is left as it
 * is.
 *
 * @param options.splits the lists that are going to be read
 * @param options.valList a list in place of the validation list
 * @param options.note takes the one line that tells of it
 */
export async function withFoundModality<C extends Pick<Config, "system" | "data">>(
  config: C,
  options: {
    splits: readonly ("train" | "val")[];
    valList?: string;
    note?: (text: string) => void;
  },
): Promise<C> {
  const { data } = config, roots = dataRoots(config);
  if (data.modality === "either") return config;
  const lists = options.splits.flatMap((split): RootedList[] => {
    const list = (split === "val" ? options.valList : undefined) ?? data[`${split}_list`];
    return list === null ? [] : [{ list, root: roots[split] }];
  });
  const examples: Partial<Record<"folder" | "video", { list: string; path: string }>> = {};
  for (const { list, root } of lists) {
    const clips = await clipsOf(list, root, config);
    const stride = Math.ceil(clips.length / CLIPS_LOOKED_AT);
    for (let i = 0; i < clips.length; i += stride) {
      const kind = await kindOf(clips[i], root);
      if (kind !== null) examples[kind] ??= { list, path: clips[i].path };
    }
  }
  const [own, other, words] = data.modality === "RGB"
    ? ["folder", "video", ["folders of frames", "videos", "videos"]] as const
    : ["video", "folder", ["video files", "folders of frames", "frames"]] as const;
  const found = examples[other];
  if (found === undefined) return config;
  const modality = examples[own] !== undefined ? "either" : data.modality === "RGB" ? "video" : "RGB";
  options.note?.(
    `data.modality is ${data.modality}, ${words[0]}, and "${found.list}" names ${
      words[1]
    }, such as "${found.path}": ` +
      `they are read as ${words[2]}; data.modality=${modality} says so`,
  );
  return { ...config, data: { ...data, modality } };
}

/** The clips of a list; none where it cannot be read, which the reading of it by the settled modality tells better. */
async function clipsOf(
  list: string,
  root: string,
  config: Pick<Config, "system" | "data">,
): Promise<Pick<ClipRecord, "path">[]> {
  try {
    if (hasCaptions(config)) return await readPairs(list);
    const classes = config.data.num_classes;
    return (await readClipList(list, { classes, modality: "either", root })).clips;
  } catch (error) {
    if (error instanceof DataError) return [];
    throw error;
  }
}

/** What a path names; what is not there is told by its name. */
async function kindOf({ path }: Pick<ClipRecord, "path">, root: string): Promise<"folder" | "video" | null> {
  const whole = clipPath(root, path), info = await stat(whole).catch(() => null);
  if (info?.isDirectory()) return "folder";
  if (!info?.isFile()) return hasVideoName(path) ? "video" : null;
  return (await identifyFile(whole)).problem === null ? "video" : null;
}
