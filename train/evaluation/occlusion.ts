/**
 * What moved a decision: parts of a clip are hidden, one patch of one frame at a time, and the class that the network names loses or gains by
 * it. Nothing of the network is looked into, so it is the same for every system.
 */

import type { ClipRecord } from "../../data/datasets/list.ts";
import type { RgbImage } from "../../data/transforms/picture.ts";
import { normaliseFrame, transformFrame } from "../../data/transforms/apply.ts";
import type { ByteClip } from "../../data/transforms/float_clip.ts";
import { floatClipOf } from "../../data/transforms/float_transforms.ts";
import type { TellStage } from "../../lib/stage.ts";
import { ConfigError, DataError } from "../../lib/errors.ts";
import { type FloatTransform, isFloatTransform } from "../../pixels/float_transform.ts";
import { towerSizes } from "../../models/towers.ts";
import { pictureWindow } from "../feed/sampling.ts";
import type { TunedChoices } from "../runtime/device/tuned.ts";
import type { Session } from "../runtime/session.ts";
import { clipsPerBatch, taskOfRecipe } from "../tasks/session_options.ts";
import { topClasses } from "../tasks/class_metrics.ts";
import { viewFeed } from "./evaluate.ts";
import { openTrainedModel, type TrainedModel } from "./trained_model.ts";

/** Patches of a picture's side, where nothing else is asked for; no more than the tower's own. */
const USUAL_GRID = 7;
/** Clips in one batch of hidden parts, at most. */
const MOST_AT_ONCE = 32;
/** Below it a probability is no longer told apart from 0. */
const LEAST_SHARE = 1e-9;

/** What hiding parts of a clip did. */
export interface Occlusion {
  readonly path: string;
  /** The class that was asked about, and its probability where nothing is hidden. */
  readonly index: number;
  readonly p: number;
  /** Frames as the network sees them, square. */
  readonly frames: readonly RgbImage[];
  /** Patches of a frame's side. */
  readonly grid: number;
  /** By how much the logarithm of the probability falls where a frame is hidden; below 0 it rises. */
  readonly byFrame: Float64Array;
  /** The same of a patch of a frame, `[T grid grid]`. */
  readonly byPatch: Float64Array;
}

/** How to hide. */
export interface OcclusionOptions {
  /** The class to ask about; the best one by default. */
  index?: number;
  /** Patches of a picture's side. */
  grid?: number;
  signal?: AbortSignal;
  choices?: TunedChoices;
  /** Told that frames are shrunk. */
  onNote?: (text: string) => void;
  /** Told what is being done, and of how many parts it is known what hiding them does. */
  stage?: TellStage;
}

/** A part to hide: of one frame, in patches of the grid; null: the whole frame. */
interface Part {
  readonly frame: number;
  readonly patch: number | null;
}

/**
 * Hides every patch of every frame of a clip in turn.
 *
 * @throws {ConfigError} where the model names no classes, or the grid is finer than its tower's.
 * @throws {DataError} where the clip cannot be read.
 */
export async function explainClip(
  model: TrainedModel,
  path: string,
  options: OcclusionOptions = {},
): Promise<Occlusion> {
  const { config } = model, task = taskOfRecipe(config), { shares } = task;
  if (!shares) throw new ConfigError(`Cannot explain: the model must name classes, its task is "${task.id}"`);
  const { imageSize, patchSize } = towerSizes(config.network), finest = Math.floor(imageSize / patchSize);
  const { grid = Math.min(USUAL_GRID, finest), signal, stage } = options, frames = config.data.num_segments;
  if (grid > finest) {
    throw new ConfigError(
      `Cannot explain: --grid must be at most the ${finest} patches of the backbone's pictures, current value is ${grid}`,
    );
  }
  const clips: ClipRecord[] = [{ path, label: 0, frames: null, line: 0 }];
  const parts: Part[] = Array.from({ length: frames }, (_, frame) => [
    { frame, patch: null },
    ...Array.from({ length: grid ** 2 }, (_, patch) => ({ frame, patch })),
  ]).flat();
  const batch = Math.min(clipsPerBatch(config), MOST_AT_ONCE, parts.length);
  await using session = await openTrainedModel(model, {
    clips,
    root: "",
    batch,
    choices: options.choices,
    stage,
    signal,
  });
  stage?.({ what: "reading the clip" });
  const pictures = await picturesOf(session, config, { clips, signal, note: options.onNote }),
    plain = pictures.map((one) => normaliseFrame(one));
  const scores = async (hidden: readonly (Part | null)[]) => {
    const outputs = await session.evaluateFrames(
      joined(plain, hidden, { size: imageSize, grid, frames }),
      hidden.length,
    );
    return hidden.map((_, i) =>
      shares(task.read([
        Object.fromEntries(
          Object.entries(outputs).map(([name, values]) => {
            const each = values.length / hidden.length;
            return [name, values.subarray(i * each, (i + 1) * each)];
          }),
        ),
      ]))
    );
  };
  const [whole] = await scores([null]), index = options.index ?? topClasses(whole, 1)[0];
  const level = (share: number) => Math.log(Math.max(share, LEAST_SHARE));
  const byFrame = new Float64Array(frames), byPatch = new Float64Array(frames * grid ** 2);
  for (let start = 0; start < parts.length; start += batch) {
    signal?.throwIfAborted();
    const own = parts.slice(start, start + batch), found = await scores(own);
    own.forEach(({ frame, patch }, i) => {
      const drop = level(whole[index]) - level(found[i][index]);
      if (patch === null) byFrame[frame] = drop;
      else byPatch[frame * grid ** 2 + patch] = drop;
    });
    stage?.({ what: "hiding", done: start + own.length, of: parts.length, unit: "parts" });
  }
  const window = pictures.length / frames, middle = Math.floor(window / 2);
  return {
    path,
    index,
    p: whole[index],
    frames: Array.from({ length: frames }, (_, frame) => pictures[frame * window + middle]),
    grid,
    byFrame,
    byPatch,
  };
}

/** The pictures that the network sees of a clip in one view, as in validation. */
async function picturesOf(
  session: Pick<Session, "frameRoom">,
  config: TrainedModel["config"],
  { clips, signal, note }: {
    clips: readonly ClipRecord[];
    signal?: AbortSignal;
    note?: (text: string) => void;
  },
): Promise<RgbImage[]> {
  const { input_size: size } = config.data, [{ path }] = clips;
  await using feed = viewFeed(config, {
    clips,
    root: "",
    modality: "either",
    views: null,
    room: session.frameRoom,
    note,
  });
  for await (const { clips: [clip] } of feed.epoch([{ clip: 0, epoch: 0, repeat: 1 }], 1)) {
    signal?.throwIfAborted();
    if (clip.bad) {
      throw new DataError(
        `Cannot explain "${path}": ${clip.problems[0].problem.replace(/^clip: |; black$/g, "")}`,
      );
    }
    const [{ frames, width, height, transform }] = clip.views, bytes = width * height * 3;
    const count = config.data.num_segments * (pictureWindow(config)?.size ?? 1);
    return Array.from(
      { length: count },
      (_, i) => {
        const data = frames.subarray(i * bytes, (i + 1) * bytes);
        return isFloatTransform(transform)
          ? roundedFrame({ frames: data, width, height }, transform, size)
          : transformFrame({ data, width, height }, transform, size);
      },
    );
  }
  throw new Error(`Cannot explain "${path}": no clip has been read`);
}

/** A frame whose transform gives floats, rounded to bytes. */
function roundedFrame(frame: ByteClip, transform: FloatTransform, size: number): RgbImage {
  const statistics = { mean: [0, 0, 0], std: [1, 1, 1] } as const;
  const planes = floatClipOf(frame, transform, { size, statistics }), area = size * size;
  const data = Uint8Array.from(
    { length: 3 * area },
    (_, i) => Math.round(255 * planes[i % 3 * area + Math.floor(i / 3)]),
  );
  return { data, width: size, height: size };
}

/** Clips with a part of each hidden behind the mean colour, `[clips*pictures 3 S S]`. */
function joined(
  pictures: readonly Float32Array[],
  hidden: readonly (Part | null)[],
  { size, grid, frames }: { size: number; grid: number; frames: number },
): Float32Array {
  const window = pictures.length / frames,
    each = pictures[0].length,
    all = new Float32Array(hidden.length * pictures.length * each);
  // Half of a picture's side may not be a whole number of patches: edges are rounded.
  const edge = (place: number) => Math.round(place * size / grid);
  hidden.forEach((part, clip) => {
    pictures.forEach((picture, i) => {
      const at = (clip * pictures.length + i) * each;
      all.set(picture, at);
      if (part === null || Math.floor(i / window) !== part.frame) return;
      const row = part.patch === null ? 0 : Math.floor(part.patch / grid),
        column = part.patch === null ? 0 : part.patch % grid;
      const span = part.patch === null ? grid : 1;
      for (let plane = 0; plane < 3; plane++) {
        for (let y = edge(row); y < edge(row + span); y++) {
          const start = at + (plane * size + y) * size;
          all.fill(0, start + edge(column), start + edge(column + span)); // the mean, after the normalisation
        }
      }
    });
  });
  return all;
}
