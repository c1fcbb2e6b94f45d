/**
 * Clips stored as video files, decoded by the programs ffmpeg and ffprobe (5.1 or later).
 *
 * Frame i is the i-th picture that the decoder delivers, from 1, whatever its time stamp. A file that cannot be used makes
 * a bad clip with the reason; a video that ends early, or that the decoder complains about, is reported the same way as a
 * broken frame of a folder.
 */
import { stat } from "node:fs/promises";
import { extname, resolve } from "node:path";
import { ConfigError } from "../lib/errors.ts";
import { type ChildEnd, runChild } from "./_child.ts";
import { reasonOf } from "./files.ts";
import { badClip, type DecodedClip, type Substitution } from "./frames.ts";

/** What is known of a video before it is decoded. */
export interface VideoInfo {
  /** Pictures that the decoder delivers. */
  readonly frames: number;
  /** Size as shown: after the rotation. */
  readonly width: number;
  readonly height: number;
  /** Rotation that the file asks for, in degrees counter-clockwise as ffprobe states it. */
  readonly rotation: number;
  /** What the reader complained about, although it could read the file; null: nothing. */
  readonly complaint: string | null;
}

export interface VideoOptions {
  /** Time a program may take. Default 2 minutes. */
  timeoutMs?: number;
  /** Ends the program. */
  signal?: AbortSignal;
}

/** Frames of a video as they came out of the decoder. */
export interface VideoFrames {
  readonly width: number;
  readonly height: number;
  /** [n H W 3], the first n of the frames asked for, in ascending order. */
  readonly rgb: Uint8Array<ArrayBuffer>;
  /** n, fewer than asked for when the video ends early. */
  readonly count: number;
  readonly complaint: string | null;
}

const TIMEOUT_MS = 120_000;
/** Decoded bytes of one clip; a file may state any size. */
const MAX_CLIP_BYTES = 2 ** 31;
/** Most bytes of a listing: some 4 million frames. */
const MAX_LISTING_BYTES = 2 ** 26;
/** Codecs of which a packet is a picture. Others may pack several into one or send pictures that are never shown. */
const PICTURE_PER_PACKET = new Set(["h264", "hevc", "vp9", "av1", "mjpeg"]);
/** "V" leaves out cover pictures of sound files. */
const STREAM = "V:0";
/** A file may name others, as playlists do; nothing but local files is opened. */
const QUIET = ["-v", "error", "-protocol_whitelist", "file"];
const EXTENSIONS = new Set(
  [".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".flv", ".wmv", ".gif"],
);

/** Whether a name is that of a video file, by its extension. */
export function isVideoPath(path: string): boolean {
  return EXTENSIONS.has(extname(path).toLowerCase());
}

const known = new Map<string, VideoInfo>();

/**
 * Size and number of frames of a video. An answer is kept for as long as the file stays as it is.
 *
 * @throws {Error} with the reason why the file cannot be used
 * @throws {ConfigError} ffprobe is missing
 */
export async function probeVideo(path: string, options: VideoOptions = {}): Promise<VideoInfo> {
  // A pipe in place of a file would make the program wait for ever.
  const file = await stat(path);
  if (!file.isFile()) throw new Error(file.isDirectory() ? "it is a folder" : "it is no regular file");
  if (file.size === 0) throw new Error("the file is empty");
  const key = `${file.size} ${file.mtimeMs} ${resolve(path)}`;
  let info = known.get(key);
  if (info === undefined) known.set(key, info = await probe(path, options));
  return info;
}

async function probe(path: string, options: VideoOptions): Promise<VideoInfo> {
  const listing = await ffprobe(
    path,
    "packet=flags:stream=codec_name,width,height:stream_side_data=rotation",
    [],
    options,
  );
  const field = (name: string) =>
    new RegExp(`^stream\\|.*\\b${name}=([^|\\n]+)`, "m").exec(listing.text)?.[1];
  const codec = field("codec_name");
  const width = Number(field("width")), height = Number(field("height"));
  if (codec === undefined) throw new Error("it has no video stream");
  if (!(width > 0 && height > 0)) throw new Error("its video stream has no size");
  let frames = 0;
  if (PICTURE_PER_PACKET.has(codec)) {
    // D: outside of what the file wants shown (edit lists); the decoder needs it but does not deliver it.
    for (const [, flags] of listing.text.matchAll(/^packet\|flags=(.*)$/gm)) {
      if (!flags.includes("D")) frames++;
    }
  } else {
    const counted = await ffprobe(path, "stream=nb_read_frames", ["-count_frames"], options);
    frames = Number(/nb_read_frames=(\d+)/.exec(counted.text)?.[1] ?? 0);
  }
  if (frames === 0) throw new Error(withWords("it has no frames", listing.complaint));
  const rotation = Math.round(Number(field("rotation") ?? 0));
  const turned = Math.abs(rotation) % 180 === 90;
  return {
    frames,
    width: turned ? height : width,
    height: turned ? width : height,
    rotation,
    complaint: listing.complaint,
  };
}

async function ffprobe(path: string, entries: string, more: string[], options: VideoOptions) {
  const decoder = new TextDecoder();
  let text = "", size = 0;
  const end = await runChild(
    "ffprobe",
    [...QUIET, "-threads", "1", "-select_streams", STREAM, ...more, "-show_entries", entries]
      .concat(["-of", "compact", inputName(path)]),
    {
      timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
      signal: options.signal,
      onOutput(chunk) {
        text += decoder.decode(chunk, { stream: true });
        size += chunk.length;
        return size <= MAX_LISTING_BYTES;
      },
    },
  );
  if (size > MAX_LISTING_BYTES) throw new Error("it has too many frames");
  checkEnd("ffprobe", end, options);
  if (end.code !== 0) throw new Error(withWords("it cannot be read", end.lastWords));
  return { text, complaint: end.lastWords };
}

/**
 * Decodes some frames of a video. The decoder stops after the last of them.
 *
 * @param indices frame numbers from 0, ascending, each once
 * @throws {Error} with the reason why the file cannot be used
 * @throws {ConfigError} ffmpeg or ffprobe is missing
 */
export async function decodeFrames(
  path: string,
  indices: readonly number[],
  options: VideoOptions = {},
): Promise<VideoFrames> {
  const { width, height } = await probeVideo(path, options);
  const frameBytes = width * height * 3, total = indices.length * frameBytes;
  if (total > MAX_CLIP_BYTES) {
    throw new Error(`${indices.length} frames of ${width}x${height} are more than ${MAX_CLIP_BYTES} bytes`);
  }
  const rgb = new Uint8Array(total);
  let filled = 0, tooMuch = false;
  const end = await runChild(
    "ffmpeg",
    [
      ...[...QUIET, "-nostdin", "-threads", "1", "-filter_threads", "1"],
      // A change of format on the way must not start a new filter graph, whose frames count from 0 again.
      ...["-reinit_filter", "0", "-i", inputName(path), "-map", `0:${STREAM}`],
      // The scale holds every frame to the size that was probed; the rotation comes before it.
      ...["-vf", `select='${selection(indices)}',scale=${width}:${height}`, "-fps_mode", "passthrough"],
      ...["-frames:v", String(indices.length), "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"],
    ],
    {
      timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
      signal: options.signal,
      onOutput(chunk) {
        tooMuch ||= filled + chunk.length > total;
        if (tooMuch) return false;
        rgb.set(chunk, filled);
        filled += chunk.length;
        return true;
      },
    },
  );
  if (tooMuch) throw new Error("ffmpeg gave more bytes than the frames have");
  checkEnd("ffmpeg", end, options);
  const count = Math.floor(filled / frameBytes);
  if (count === 0) throw new Error(withWords("none of its frames can be decoded", end.lastWords));
  return { width, height, rgb: rgb.subarray(0, count * frameBytes), count, complaint: end.lastWords };
}

/** An expression that holds at these frames. Runs of neighbours are ranges: a clip decoded whole is one term. */
function selection(indices: readonly number[]): string {
  const terms: string[] = [];
  for (let i = 0; i < indices.length;) {
    let j = i;
    while (j + 1 < indices.length && indices[j + 1] === indices[j] + 1) j++;
    terms.push(i === j ? `eq(n,${indices[i]})` : `between(n,${indices[i]},${indices[j]})`);
    i = j + 1;
  }
  return sumOf(terms);
}

/** A sum as a balanced tree: ffmpeg takes no expression nested deeper than 100, and a chain of sums nests. */
function sumOf(terms: readonly string[]): string {
  if (terms.length === 1) return terms[0];
  const half = terms.length >> 1;
  return `(${sumOf(terms.slice(0, half))}+${sumOf(terms.slice(half))})`;
}

/** The prefix keeps names that start with "-" or look like an address what they are: files. */
function inputName(path: string): string {
  return `file:${path}`;
}

function checkEnd(program: string, end: ChildEnd, options: VideoOptions): void {
  if (end.timedOut) {
    throw new Error(`${program} did not end within ${(options.timeoutMs ?? TIMEOUT_MS) / 1000} s`);
  }
}

function withWords(text: string, words: string | null): string {
  return words === null ? text : `${text}: ${words}`;
}

/**
 * Reads frames of a clip that is a video file, as `decodeClip` does of a folder.
 *
 * @param request.indices frame numbers from 1; may repeat
 */
export async function decodeVideoClip(
  request: { file: string; path: string; indices: readonly number[] },
  options: VideoOptions = {},
): Promise<DecodedClip> {
  const { file, path, indices } = request;
  const wanted = [...new Set(indices)].sort((a, b) => a - b);
  let decoded: VideoFrames, complaint: string | null;
  try {
    complaint = (await probeVideo(file, options)).complaint;
    decoded = await decodeFrames(file, wanted.map((index) => index - 1), options);
  } catch (error) {
    if (error instanceof ConfigError || options.signal?.aborted) throw error; // not the clip's own fault
    return badClip(path, reasonOf(error));
  }
  const { width, height, count, rgb } = decoded, frameBytes = width * height * 3;
  const substitutions: Substitution[] = [];
  complaint ??= decoded.complaint;
  if (complaint !== null) substitutions.push({ path, frame: 0, reason: complaint, used: "concealed" });
  for (const frame of wanted.slice(count)) {
    substitutions.push({ path, frame, reason: "the video ends before it", used: wanted[count - 1] });
  }
  const place = new Map(wanted.map((frame, i) => [frame, Math.min(i, count - 1)]));
  const inOrder = count === indices.length && indices.every((index, i) => index === wanted[i]);
  if (inOrder) return { width, height, frames: rgb, substitutions, bad: false };
  const frames = new Uint8Array(indices.length * frameBytes);
  indices.forEach((index, position) => {
    const at = place.get(index)! * frameBytes;
    frames.set(rgb.subarray(at, at + frameBytes), position * frameBytes);
  });
  return { width, height, frames, substitutions, bad: false };
}
