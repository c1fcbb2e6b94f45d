/** What a loaded model says of a video: windows over its time, as the command line's `predict` lays and scores them. */
import { DataError } from "../lib/errors.ts";
import {
  type ClipOutcome,
  type ClipWindow,
  outcomeJson,
  recordsOf,
  segmentsOf,
  type WindowPrediction,
  windowsOf,
} from "../train/evaluation/timeline.ts";
import { viewSampler, viewsOf } from "../train/evaluation/views.ts";
import { needsRate, picturesOfView, readRule } from "../train/feed/sampling.ts";
import { topClasses } from "../train/tasks/class_metrics.ts";
import { topShares } from "../train/tasks/class_shares.ts";
import type { LoadedModel } from "./model.ts";
import type { Progress, VideoResult, WindowChoice } from "./protocol.ts";
import type { OpenVideo, Picture } from "./video.ts";

/** Classes shown, curves drawn, thumbnails taken. */
export const TOP = 5;
const CURVES = 6, THUMBNAILS = 12, THUMBNAIL_WIDTH = 160;
/** Bytes of decoded frames that wait for their windows, at most. */
const MOST_WAITING_BYTES = 2 ** 30;

/** A clip to score: the numbers of its frames from 0, in the order in which the network takes them. */
interface Place {
  readonly numbers: readonly number[];
  readonly last: number;
}

/** What the network says of a clip: its collected outputs by name. */
export type Said = Readonly<Record<string, Float32Array>>;

/** What the network says of clips of decoded pictures. */
export async function scorePictures(
  { session, config }: LoadedModel,
  clips: readonly (readonly Picture[])[],
): Promise<Said[]> {
  const views = clips.flatMap((pictures) => {
    const [{ width, height }] = pictures, bytes = width * height * 3;
    const frames = new Uint8Array(pictures.length * bytes);
    pictures.forEach(({ rgb }, i) => frames.set(rgb, i * bytes));
    return viewsOf({ frames, width, height }, config, null);
  });
  const outputs = Object.entries(await session.evaluate(views));
  return clips.map((_, i) =>
    Object.fromEntries(outputs.map(([name, values]) => {
      const each = values.length / clips.length;
      return [name, values.slice(i * each, (i + 1) * each)];
    }))
  );
}

/** Probabilities of classes in what the network says. */
export function sharesOf({ task }: LoadedModel, said: Said): Float64Array {
  if (!task.shares) throw new Error(`Cannot name classes: the model's task is "${task.id}"`);
  return task.shares(task.read([said]));
}

/** Numbers from 0 of the frames that the network reads of so many. */
export function readNumbers({ config }: LoadedModel, frames: number, rate: number | null): number[] {
  const rule = readRule(config, viewSampler(config, null));
  return rule(frames, undefined, needsRate(config, "val") ? rate : null).map((index) => index - 1);
}

/** How a video is looked at. */
export interface ScoreOptions {
  readonly window: WindowChoice;
  readonly onProgress: (progress: Progress) => void;
}

/** What the network said of a video, place by place. */
export interface ScoredVideo {
  /** null: the whole clip at once. */
  readonly windows: readonly ClipWindow[] | null;
  readonly said: readonly Said[];
  /** Frames that were read for each place. */
  readonly frameCounts: readonly number[];
  readonly thumbnails: VideoResult["thumbnails"];
}

/** Runs the network over a video, window by window while it is decoded once. */
export async function scoreVideo(
  loaded: LoadedModel,
  video: OpenVideo,
  { window: length, onProgress }: ScoreOptions,
): Promise<ScoredVideo> {
  const { times, name } = video;
  const windows = length && windowsOf(times, length);
  const records = recordsOf([{ path: name, windows }]);
  const places: Place[] = records.map(({ range }) => {
    const first = range ? range.first - 1 : 0;
    const numbers = readNumbers(loaded, range?.count ?? times.frames.length, video.rate).map((one) =>
      one + first
    );
    return { numbers, last: Math.max(...numbers) };
  });
  const shown = thumbnailNumbers(times.frames.length), thumbnails: { at: number; picture: Blob }[] = [];
  const wanted = [...new Set([...places.flatMap(({ numbers }) => numbers), ...shown])].sort((a, b) => a - b);
  const lastUse = new Map<number, number>();
  places.forEach(({ numbers }, place) => numbers.forEach((number) => lastUse.set(number, place)));
  const held = new Map<number, Picture>(), scores: Said[] = [];
  const batch = loaded.session.evaluationClips;
  let ready = 0;
  const tell = (what: Progress["what"]) => onProgress({ what, done: scores.length, of: places.length });
  const score = async () => {
    tell("computing");
    const clips = places.slice(scores.length, Math.min(scores.length + batch, ready))
      .map(({ numbers }) => numbers.map((number) => held.get(number)!));
    scores.push(...await scorePictures(loaded, clips));
    for (const number of held.keys()) if (lastUse.get(number)! < scores.length) held.delete(number);
    tell("decoding");
  };
  tell("decoding");
  let size: Picture | undefined;
  for await (const { number, picture } of video.frames(wanted)) {
    size ??= picture;
    if (picture.width !== size.width || picture.height !== size.height) {
      throw new DataError(
        `Cannot use "${name}": its frames must be of one size, frame ${
          number + 1
        } is ${picture.width}x${picture.height}`,
      );
    }
    if (shown.has(number)) thumbnails.push({ at: times.frames[number], picture: await thumbnail(picture) });
    if (!lastUse.has(number)) continue;
    held.set(number, picture);
    if (held.size * picture.rgb.length > MOST_WAITING_BYTES) {
      throw new DataError(
        `Cannot use "${name}": the frames of a window are too many to hold; choose a shorter window`,
      );
    }
    while (ready < places.length && places[ready].last <= number) ready++;
    while (ready - scores.length >= batch) await score();
  }
  while (scores.length < places.length) await score();
  const most = picturesOfView(loaded.config);
  const frameCounts = places.map(({ numbers }) => Math.min(numbers.length, most));
  return { windows, said: scores, frameCounts, thumbnails };
}

/** Names the classes of a video. */
export async function predictVideo(
  loaded: LoadedModel,
  video: OpenVideo,
  options: ScoreOptions,
): Promise<VideoResult> {
  const started = performance.now(), { windows, said, thumbnails } = await scoreVideo(loaded, video, options);
  const outcome = outcomeOf(video.name, said.map((one) => sharesOf(loaded, one)), windows);
  return resultOf(loaded, outcome, {
    length: options.window,
    seconds: video.times.seconds,
    thumbnails,
    computeMs: performance.now() - started,
  });
}

function outcomeOf(
  path: string,
  scores: readonly Float64Array[],
  windows: readonly ClipWindow[] | null,
): ClipOutcome {
  const probabilities = new Float64Array(scores[0].length);
  for (const one of scores) one.forEach((p, k) => probabilities[k] += p / scores.length);
  const all = windows?.map((window, i): WindowPrediction => ({ ...window, probabilities: scores[i] })) ??
    null;
  return { path, probabilities, windows: all, problems: [], bad: false };
}

function resultOf(
  { labels }: LoadedModel,
  outcome: ClipOutcome,
  about: Pick<VideoResult, "seconds" | "thumbnails" | "computeMs"> & { length: WindowChoice },
): VideoResult {
  const { probabilities, windows, path: file } = outcome, { length, ...others } = about;
  const segments = segmentsOf(windows ?? []), best = [...new Set(segments.map(({ index }) => index))];
  const drawn = [...best, ...topClasses(probabilities, CURVES).filter((index) => !best.includes(index))]
    .slice(0, CURVES);
  return {
    ...others,
    file,
    top: topShares(probabilities, labels, TOP),
    windows: windows?.map(({ from, to, probabilities }) => ({
      from,
      to,
      top: topShares(probabilities!, labels, TOP),
    })) ??
      [],
    segments: segments.map((segment) => ({ ...segment, label: labels[segment.index] })),
    curves: windows === null ? [] : drawn.map((index) => ({
      index,
      label: labels[index],
      p: windows.map(({ probabilities }) => probabilities![index]),
    })),
    json: outcomeJson(outcome, { labels, top: TOP, length, seconds: about.seconds }),
  };
}

/** Frames spread evenly over a clip. */
function thumbnailNumbers(frames: number): Set<number> {
  const count = Math.min(THUMBNAILS, frames);
  return new Set(Array.from({ length: count }, (_, i) => Math.floor((i + 0.5) * frames / count)));
}

async function thumbnail({ width, height, rgb }: Picture): Promise<Blob> {
  const rgba = new Uint8ClampedArray(width * height * 4).fill(255);
  for (let from = 0, to = 0; from < rgb.length; from += 3, to += 4) {
    rgba[to] = rgb[from];
    rgba[to + 1] = rgb[from + 1];
    rgba[to + 2] = rgb[from + 2];
  }
  const w = Math.min(width, THUMBNAIL_WIDTH), h = Math.max(1, Math.round(height * w / width));
  const whole = await createImageBitmap(new ImageData(rgba, width, height)),
    canvas = new OffscreenCanvas(w, h);
  canvas.getContext("2d")!.drawImage(whole, 0, 0, w, h);
  whole.close();
  return await canvas.convertToBlob({ type: "image/jpeg", quality: 0.8 });
}
