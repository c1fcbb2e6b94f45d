/**
 * Clips stored as video files, decoded by the programs ffmpeg and ffprobe (5.1 or later).
 *
 * Frame i is the i-th picture that the decoder delivers, from 1, whatever its time stamp. Late frames are reached by a seek
 * where the packets tell which time stamps those pictures have; whatever does not come back as expected is decoded
 * from the beginning. A file that cannot be used makes a bad clip with the reason; a video that ends early, or that the
 * decoder complains about, is reported the same way as a broken frame of a folder.
 */
import { sharedBytes } from "../../lib/shared_bytes.ts";
import { ConfigError } from "../../lib/errors.ts";
import { runChild } from "./_child.ts";
import { reasonOf } from "../files.ts";
import { MOST_CLIP_BYTES } from "../frames/limits.ts";
import { badClip, type DecodedClip, type Substitution } from "../frames/decoded_clip.ts";
import { isSameSize, type ShrinkRule, shrunkSize } from "../frames/shrink.ts";
import { planRuns, type VideoIndex } from "./_index.ts";
import { checkEnd, STREAM, TIMEOUT_MS, withWords } from "./_ffprobe.ts";
import { INPUT_LIMITS, inputName } from "./formats.ts";
import { type KnownVideo, knownVideo, type VideoInfo, type VideoOptions } from "./probe.ts";

export type { VideoInfo, VideoOptions } from "./probe.ts";

/** How to decode frames. */
export interface FrameOptions extends VideoOptions {
  /** Frames that are too large are shrunk by the decoder. Absent: none are. */
  shrink?: ShrinkRule;
}

/** Frames of a video as they came out of the decoder. */
export interface VideoFrames {
  readonly width: number;
  readonly height: number;
  /** [n H W 3], the first n of the frames asked for, in ascending order. */
  readonly rgb: Uint8Array;
  /** n, fewer than asked for when the video ends early. */
  readonly count: number;
  readonly complaint: string | null;
}

/**
 * Size and number of frames of a video. Answers are kept for as long as the file stays as it is, the latest in 128 MiB.
 *
 * @throws {Error} with the reason why the file cannot be used
 * @throws {ConfigError} ffprobe is missing
 */
export async function probeVideo(path: string, options: VideoOptions = {}): Promise<VideoInfo> {
  return (await knownVideo(path, options)).info;
}

/**
 * When frames of a video are shown.
 *
 * @param indices frame numbers from 0
 * @returns seconds since the first frame; null where the file does not tell
 */
export async function videoTimes(
  path: string,
  indices: readonly number[],
  options: VideoOptions = {},
): Promise<number[] | null> {
  const { index, info } = await knownVideo(path, options);
  const outside = indices.find((frame) => !(frame >= 0 && frame < info.frames));
  if (outside !== undefined) {
    throw new RangeError(
      `Cannot time frames of "${path}": they must be in 0 … ${info.frames - 1}, current value is ${outside}`,
    );
  }
  return index === null ? null : indices.map((frame) => index.seconds(frame));
}

/**
 * Decodes some frames of a video: what lies far from them is skipped, one process after the other.
 *
 * @param indices frame numbers from 0, ascending, each once
 * @throws {Error} with the reason why the file cannot be used
 * @throws {ConfigError} ffmpeg or ffprobe is missing
 */
export async function decodeFrames(
  path: string,
  indices: readonly number[],
  options: FrameOptions = {},
): Promise<VideoFrames> {
  const video = await knownVideo(path, options), size = shrunkSize(video.info, options.shrink);
  const { width, height } = size;
  const frameBytes = width * height * 3, total = indices.length * frameBytes;
  if (total > MOST_CLIP_BYTES) {
    throw new Error(`${indices.length} frames of ${width}x${height} are more than ${MOST_CLIP_BYTES} bytes`);
  }
  const rgb = sharedBytes(total);
  if (await decodeRuns(path, indices, video, { rgb, size }, options)) {
    return { width, height, rgb, count: indices.length, complaint: null };
  }
  const select = sumOf(ranges(indices, "n", (frame) => frame));
  const { filled, tooMuch, complaint } = await decodeInto(path, rgb, { select, size }, options);
  if (tooMuch) throw new Error("ffmpeg gave more bytes than the frames have");
  const count = Math.floor(filled / frameBytes);
  if (count === 0) throw new Error(withWords("none of its frames can be decoded", complaint));
  return { width, height, rgb: rgb.subarray(0, count * frameBytes), count, complaint };
}

/**
 * Decodes frames in runs that start near them. Returns false where that cannot be done, or did not give every frame
 * without a complaint: then the video is to be decoded from the beginning.
 */
async function decodeRuns(
  path: string,
  indices: readonly number[],
  video: KnownVideo,
  { rgb, size }: { rgb: Uint8Array; size: { width: number; height: number } },
  options: VideoOptions,
): Promise<boolean> {
  const { info, index, seekOffset } = video;
  if (index === null || seekOffset === null || indices.some((frame) => frame >= info.frames)) return false;
  const runs = planRuns(indices, index, info.width * info.height, options.costs);
  if (runs.every(({ start }) => start === 0)) return false;
  const frameBytes = size.width * size.height * 3;
  let at = 0;
  for (const { start, frames } of runs) {
    const target = rgb.subarray(at, at += frames.length * frameBytes);
    const how = start === 0 ? { select: sumOf(ranges(frames, "n", (frame) => frame)), size } : {
      select: selectAfter(start, frames, index),
      size,
      seekSeconds: index.seekSeconds(start) + seekOffset,
    };
    const { filled, tooMuch, complaint } = await decodeInto(path, target, how, options);
    if (filled === target.length && !tooMuch && complaint === null) continue;
    // Nothing at all: the start was no clean one, nor will others be. A complaint may concern these frames alone.
    if (filled === 0) video.seekOffset = null;
    return false;
  }
  return true;
}

/** Runs the decoder, which stops after the last frame that fits into `target`. */
async function decodeInto(
  path: string,
  target: Uint8Array,
  how: { select: string; size: { width: number; height: number }; seekSeconds?: number },
  options: VideoOptions,
) {
  const frames = target.length / (how.size.width * how.size.height * 3);
  let filled = 0, tooMuch = false;
  const end = await runChild("ffmpeg", decoderArguments(path, { ...how, frames }), {
    timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
    signal: options.signal,
    onOutput(chunk) {
      tooMuch ||= filled + chunk.length > target.length;
      if (tooMuch) return false;
      target.set(chunk, filled);
      filled += chunk.length;
      return true;
    },
  });
  if (!tooMuch) checkEnd("ffmpeg", end, options);
  return { filled, tooMuch, complaint: end.words };
}

/** Arguments of a decoder that writes packed RGB frames of this size. */
function decoderArguments(
  path: string,
  how: { select: string; size: { width: number; height: number }; frames: number; seekSeconds?: number },
): string[] {
  const { select, size, frames, seekSeconds } = how;
  const seek = seekSeconds === undefined ? [] : [
    // Times as the file has them, also of the place to seek to; what lies before the frames is not cut off by time.
    ...["-copyts", "-seek_timestamp", "1", "-noaccurate_seek", "-ss", seekSeconds.toFixed(6)],
  ];
  return [
    ...[...INPUT_LIMITS, "-nostdin", "-threads", "1", "-filter_threads", "1", ...seek],
    // A change of format on the way must not start a new filter graph, whose frames count from 0 again.
    ...["-reinit_filter", "0", "-i", inputName(path), "-map", `0:${STREAM}`],
    // The scale holds every frame to one size; the rotation comes before it.
    ...["-vf", `select='${select}',scale=${size.width}:${size.height}`, "-fps_mode", "passthrough"],
    ...["-frames:v", String(frames)],
    ...["-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"],
  ];
}

/** Which frames of a video to give one after the other, and in which size. */
export interface StreamOptions extends VideoOptions {
  /** Frames at most, from the first. */
  frames: number;
  /** Frames are scaled to it; that of the video leaves them as they are. */
  size: { width: number; height: number };
  /** Takes a frame, [H W 3], with its number from 0. The decoder waits for what it returns. */
  onFrame: (rgb: Uint8Array<ArrayBuffer>, frame: number) => void | Promise<void>;
}

/**
 * Decodes a video from its beginning, one frame at a time in memory.
 *
 * @returns how many frames came, fewer than asked for when the video ends early
 * @throws {Error} with the reason why the file cannot be used
 */
export async function streamFrames(
  path: string,
  options: StreamOptions,
): Promise<{ count: number; complaint: string | null }> {
  const { frames, size, onFrame } = options, frameBytes = size.width * size.height * 3;
  let frame = new Uint8Array(frameBytes), filled = 0, count = 0;
  const onOutput = async (chunk: Uint8Array) => {
    for (let at = 0; at < chunk.length;) {
      if (count === frames) throw new Error("ffmpeg gave more bytes than the frames have");
      const part = chunk.subarray(at, at += Math.min(frameBytes - filled, chunk.length - at));
      frame.set(part, filled);
      filled += part.length;
      if (filled < frameBytes) break;
      const whole = frame;
      frame = new Uint8Array(frameBytes);
      filled = 0;
      await onFrame(whole, count++);
    }
    return true;
  };
  const select = `between(n,0,${frames - 1})`;
  const end = await runChild("ffmpeg", decoderArguments(path, { select, size, frames }), {
    timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
    signal: options.signal,
    onOutput,
  });
  checkEnd("ffmpeg", end, options);
  return { count, complaint: end.words };
}

/**
 * An expression that holds at these frames of a decoder that started at or before picture `start`. Nothing is selected when
 * that picture does not come or does not stand alone: then the place is no clean start (a rolling refresh, say).
 */
function selectAfter(start: number, frames: readonly number[], index: VideoIndex): string {
  const clean = `st(0,ld(0)+eq(pts,${index.time(start)})*key*eq(pict_type,I))`;
  return `${clean}*${sumOf(ranges(frames, "pts", (frame) => index.time(frame)))}`;
}

/** Terms that hold at frames by a variable of theirs. Runs of neighbours are ranges: a clip decoded whole is one term. */
function ranges(frames: readonly number[], variable: string, value: (frame: number) => number): string[] {
  const terms: string[] = [];
  for (let i = 0; i < frames.length;) {
    let j = i;
    while (j + 1 < frames.length && frames[j + 1] === frames[j] + 1) j++;
    const first = value(frames[i]), last = value(frames[j]);
    terms.push(i === j ? `eq(${variable},${first})` : `between(${variable},${first},${last})`);
    i = j + 1;
  }
  return terms;
}

/** A sum as a balanced tree: ffmpeg takes no expression nested deeper than 100, and a chain of sums nests. */
function sumOf(terms: readonly string[]): string {
  if (terms.length === 1) return terms[0];
  const half = terms.length >> 1;
  return `(${sumOf(terms.slice(0, half))}+${sumOf(terms.slice(half))})`;
}

/**
 * Reads frames of a clip that is a video file, as `decodeClip` does of a folder.
 *
 * @param request.indices frame numbers from 1; may repeat
 */
export async function decodeVideoClip(
  request: { file: string; path: string; indices: readonly number[] },
  options: FrameOptions = {},
): Promise<DecodedClip> {
  const { file, path, indices } = request;
  const wanted = [...new Set(indices)].sort((a, b) => a - b);
  let decoded: VideoFrames, own: VideoInfo;
  try {
    own = await probeVideo(file, options);
    decoded = await decodeFrames(file, wanted.map((index) => index - 1), options);
  } catch (error) {
    if (error instanceof ConfigError || options.signal?.aborted) throw error; // not the clip's own fault
    return badClip(path, reasonOf(error));
  }
  const { width, height, count, rgb } = decoded, frameBytes = width * height * 3;
  const substitutions: Substitution[] = [];
  const complaint = own.complaint ?? decoded.complaint;
  if (complaint !== null) substitutions.push({ path, frame: 0, reason: complaint, used: "concealed" });
  for (const frame of wanted.slice(count)) {
    substitutions.push({ path, frame, reason: "the video ends before it", used: wanted[count - 1] });
  }
  const shrunk = isSameSize(own, decoded) ? {} : { shrunkFrom: { width: own.width, height: own.height } };
  const place = new Map(wanted.map((frame, i) => [frame, Math.min(i, count - 1)]));
  const inOrder = count === indices.length && indices.every((index, i) => index === wanted[i]);
  if (inOrder) return { width, height, frames: rgb, substitutions, bad: false, ...shrunk };
  const frames = sharedBytes(indices.length * frameBytes);
  indices.forEach((index, position) => {
    const at = place.get(index)! * frameBytes;
    frames.set(rgb.subarray(at, at + frameBytes), position * frameBytes);
  });
  return { width, height, frames, substitutions, bad: false, ...shrunk };
}
