/** What ffprobe tells of a video, remembered for as long as its file stays as it is. */
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { LRUCache } from "lru-cache";
import { type ChildEnd, runChild } from "./_child.ts";
import { type Packet, type SeekCosts, VideoIndex } from "./_index.ts";

/** What is known of a video before it is decoded. */
export interface VideoInfo {
  /** Pictures that the decoder delivers. */
  readonly frames: number;
  /** Size as shown: after the rotation. */
  readonly width: number;
  readonly height: number;
  /** Rotation that the file asks for, in degrees counter-clockwise as ffprobe states it. */
  readonly rotation: number;
  /** From its first frame to the end of its last, at the frames' average spacing; null where the file does not tell. */
  readonly seconds: number | null;
  /** What the reader complained about, although it could read the file; null: nothing. */
  readonly complaint: string | null;
}

export interface VideoOptions {
  /** Time a program may take. Default 2 minutes. */
  timeoutMs?: number;
  /** Ends the program. */
  signal?: AbortSignal;
  /** When a seek pays. Default: as measured. */
  costs?: SeekCosts;
}

/** Time a program may take. */
export const TIMEOUT_MS = 120_000;
/** Most bytes of a listing: some 4 million frames. */
const MAX_LISTING_BYTES = 2 ** 27;
/** Codecs of which a packet is a picture. Others may pack several into one or send pictures that are never shown. */
const PICTURE_PER_PACKET = new Set(["h264", "hevc", "vp9", "av1", "mjpeg"]);
/**
 * Containers in which a seek by time finds key frames, with the seconds that ffmpeg takes off that time where pictures are
 * reordered (three frames at 23 a second, except in MP4; ffmpeg_opt.c).
 */
const SEEK_OFFSETS: Readonly<Record<string, number>> = { mov: 0, matroska: 3 / 23, avi: 3 / 23, flv: 3 / 23 };
/** "V" leaves out cover pictures of sound files. */
export const STREAM = "V:0";
/** A file may name others, as playlists do; nothing but local files is opened. */
export const QUIET = ["-v", "error", "-protocol_whitelist", "file"];

/** A video that was probed, and what seeking in it needs. */
export interface KnownVideo {
  readonly sizeBytes: number;
  readonly mtimeMs: number;
  readonly info: VideoInfo;
  /** null: the file does not tell. */
  readonly index: VideoIndex | null;
  /** Added to the time to seek to, in seconds; null: frames are found by decoding from the beginning only. */
  seekOffset: number | null;
}

/** Some 200,000 videos with evenly spaced frames. */
const KNOWN_BYTES = 2 ** 27;
/** Of a known video without its index and its path (V8, November 2026). */
const KNOWN_VIDEO_BYTES = 600;
const known = new LRUCache<string, KnownVideo>({ maxSize: KNOWN_BYTES });

/** Probes a video, or remembers what it is. */
export async function knownVideo(path: string, options: VideoOptions): Promise<KnownVideo> {
  // A pipe in place of a file would make the program wait for ever.
  const file = await stat(path);
  if (!file.isFile()) throw new Error(file.isDirectory() ? "it is a folder" : "it is no regular file");
  if (file.size === 0) throw new Error("the file is empty");
  const key = resolve(path);
  const earlier = known.get(key);
  if (earlier?.sizeBytes === file.size && earlier.mtimeMs === file.mtimeMs) return earlier;
  const video = { sizeBytes: file.size, mtimeMs: file.mtimeMs, ...await probe(path, options) };
  known.set(key, video, { size: KNOWN_VIDEO_BYTES + key.length + (video.index?.sizeBytes ?? 0) });
  return video;
}

async function probe(path: string, options: VideoOptions) {
  const packets = new PacketList();
  const listing = await ffprobe(
    path,
    "packet=pts,flags:stream=codec_name,width,height,has_b_frames,field_order,time_base:" +
      "stream_side_data=rotation:format=format_name,duration",
    [],
    { ...options, onLine: (line) => packets.take(line) },
  );
  const field = (name: string, section = "stream") =>
    new RegExp(`^${section}\\|.*\\b${name}=([^|\\n]+)`, "m").exec(listing.text)?.[1];
  const codec = field("codec_name");
  const width = Number(field("width")), height = Number(field("height"));
  if (codec === undefined) throw new Error("it has no video stream");
  if (!(width > 0 && height > 0)) throw new Error("its video stream has no size");
  const [tick, ticks] = (field("time_base") ?? "").split("/").map(Number);
  let frames: number, index: VideoIndex | null = null;
  if (PICTURE_PER_PACKET.has(codec)) {
    index = VideoIndex.from(packets.list, tick / ticks);
    frames = packets.list.filter(({ hidden }) => !hidden).length;
  } else {
    const counted = await ffprobe(path, "stream=nb_read_frames", ["-count_frames"], options);
    frames = Number(/nb_read_frames=(\d+)/.exec(counted.text)?.[1] ?? 0);
  }
  if (frames === 0) throw new Error(withWords("it has no frames", listing.complaint));
  const rotation = Math.round(Number(field("rotation") ?? 0));
  const turned = Math.abs(rotation) % 180 === 90;
  const stated = Number(field("duration", "format"));
  const info: VideoInfo = {
    frames,
    width: turned ? height : width,
    height: turned ? width : height,
    rotation,
    seconds: index && frames > 1
      ? index.seconds(frames - 1) * frames / (frames - 1)
      : stated > 0
      ? stated
      : null,
    complaint: listing.complaint,
  };
  // Two fields of one picture may be two packets.
  const plain = listing.complaint === null &&
    ["progressive", "unknown"].includes(field("field_order") ?? "unknown");
  const offset = SEEK_OFFSETS[field("format_name", "format")?.split(",")[0] ?? ""];
  const reordered = Number(field("has_b_frames") ?? 0) > 0;
  const seekOffset = plain && offset !== undefined ? (reordered ? offset : 0) : null;
  return { info, index, seekOffset };
}

/** The packets of a listing. */
class PacketList {
  readonly list: Packet[] = [];

  /** Takes a line of the listing. Returns whether it is a packet's. */
  take(line: string): boolean {
    const match = /^packet\|(?:pts=([^|]*)\|)?flags=([^|]*)/.exec(line);
    if (match === null) return false;
    const [, time = "N/A", flags] = match;
    this.list.push({
      time: time === "N/A" ? NaN : Number(time),
      key: flags.includes("K"),
      hidden: flags.includes("D"),
      corrupt: flags.includes("C"),
    });
    return true;
  }
}

/** Runs ffprobe. `onLine` is given every line, and keeps those out of `text` for which it returns true. */
async function ffprobe(
  path: string,
  entries: string,
  more: string[],
  options: VideoOptions & { onLine?: (line: string) => boolean },
) {
  const decoder = new TextDecoder();
  let text = "", rest = "", size = 0;
  const end = await runChild(
    "ffprobe",
    [...QUIET, "-threads", "1", "-select_streams", STREAM, ...more, "-show_entries", entries]
      .concat(["-of", "compact", inputName(path)]),
    {
      timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
      signal: options.signal,
      onOutput(chunk) {
        const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
        rest = lines.pop()!;
        for (const line of lines) if (!options.onLine?.(line)) text += line + "\n";
        size += chunk.length;
        return size <= MAX_LISTING_BYTES;
      },
    },
  );
  if (size > MAX_LISTING_BYTES) throw new Error("it has too many frames");
  checkEnd("ffprobe", end, options);
  if (end.code !== 0) throw new Error(withWords("it cannot be read", end.words));
  return { text: text + rest, complaint: end.words };
}

/** The prefix keeps names that start with "-" or look like an address what they are: files. */
export function inputName(path: string): string {
  return `file:${path}`;
}

/** A program did not come to its end: that says nothing lasting about the file. */
export class UnfinishedError extends Error {}

export function checkEnd(program: string, end: ChildEnd, options: VideoOptions): void {
  if (end.timedOut) {
    throw new UnfinishedError(`${program} did not end within ${(options.timeoutMs ?? TIMEOUT_MS) / 1000} s`);
  }
  if (end.stopped) throw new UnfinishedError(`${program} was stopped from outside`);
}

export function withWords(text: string, words: string | null): string {
  return words === null ? text : `${text}: ${words}`;
}
