/** Indexing a collection as one call: the network is found, then the clips, and what the index does not hold yet is embedded. */

import type { TellStage } from "../../lib/stage.ts";
import { clipsOfPaths } from "../feed/named_clips.ts";
import type { TunedChoices } from "../runtime/device/tuned.ts";
import { buildIndex, type BuildIndexEvents, type BuildIndexResult } from "./build_index.ts";
import { type AskedModel, findEmbeddingModel, indexModel } from "./embedding_model.ts";
import { openEmbedder } from "./model_embedder.ts";

/** How to index. */
export interface IndexClipsOptions {
  /** Folder of the index; made where it is missing, and brought up to date where it is there. */
  out: string;
  /** Recipe instead of the model's own; a bare checkpoint may need one. */
  config?: string;
  /** `key=value` arguments on top of the recipe. */
  overrides?: readonly string[];
  /** Length of the windows of long clips; by default 8 s of clips longer than 30 s. An index keeps to what it was begun with. */
  windowSeconds?: number;
  /** From the start of a window to that of the next; a window by default. */
  strideSeconds?: number;
  /** Frames a second of folders of frames, and of videos that do not tell theirs. */
  framesPerSecond?: number;
  /** Folder that relative paths are read from; the working folder by default. */
  startedIn?: string;
  /** Stops with all that is done in the index; the same call goes on. */
  signal?: AbortSignal;
  /** Told while it goes on. */
  events?: BuildIndexEvents;
  /** Told of every stage until the first clip. */
  stage?: TellStage;
  /** Measured kernel choices of this machine. */
  choices?: TunedChoices;
  /** Finds the backbone's file, where the model's weights do not hold it. */
  locate?: AskedModel["locate"];
}

/**
 * Embeds clips with a network that compares clips with sentences, and writes an index of them.
 *
 * @param target A run folder or a checkpoint of a network for retrieval, or a CLIP checkpoint with its text tower.
 * @param paths Video files, folders of frames, and folders with such below them.
 * @returns What was done. Paths that cannot be used are among `unreadable`.
 * @throws {ConfigError} where the network is of another kind, or an index of another network is in the way
 * @example `const { clips } = await indexClips("runs/retrieval", ["videos"], { out: "index" })`
 */
export async function indexClips(
  target: string,
  paths: readonly string[],
  options: IndexClipsOptions,
): Promise<BuildIndexResult> {
  const { out, config = null, overrides = [], locate, signal, events, stage, choices } = options;
  const asked = { target, config, overrides, locate };
  const model = await findEmbeddingModel(asked);
  for (const warning of model.warnings) events?.note?.(`warning: ${warning}`);
  const { image_tmpl: template, first_frame: firstFrame } = model.config.data;
  const refused: { path: string; reason: string }[] = [];
  const clips = await clipsOfPaths(paths, template, {
    fail: (_, what) => {
      refused.push(what);
      events?.unreadable?.(what);
    },
    note: (text) => events?.note?.(text),
    what: "index",
    signal,
  });
  const { windowSeconds, strideSeconds, framesPerSecond } = options;
  const result = await buildIndex({
    out,
    model: await indexModel(model, asked),
    named: paths,
    clips,
    startedIn: options.startedIn ?? Deno.cwd(),
    windows: {
      ...windowSeconds !== undefined && { window: windowSeconds },
      ...strideSeconds !== undefined && { stride: strideSeconds },
      ...framesPerSecond !== undefined && { frames_per_second: framesPerSecond },
    },
    frames: { template, firstFrame },
    open: (records) => openEmbedder(model, { clips: records, choices, stage, signal }),
    signal,
    events,
  });
  return { ...result, unreadable: [...refused, ...result.unreadable] };
}
