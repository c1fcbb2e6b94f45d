/** What ffprobe tells of a video, remembered for as long as its file stays as it is. */
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { LRUCache } from "lru-cache";
import { formatCount } from "../../lib/text.ts";
import { ffprobe, type ProgramOptions, TIMEOUT_MS, UnreadableError, withWords } from "./_ffprobe.ts";
import { settleTimes } from "./_frame_times.ts";
import { type SeekCosts, VideoIndex } from "./_index.ts";
import { holdsIdr, type PacketPlace } from "./_h264.ts";
import { type ListedTimes, listedTimes, type Packet, PACKET_ENTRIES, parsePacket } from "./_packets.ts";
import { MOST_FRAME_PIXELS } from "../frames/limits.ts";
import { REFUSED_FORMAT, REFUSED_SIZE } from "./formats.ts";
import { contentOf, WORDS } from "./kind.ts";

export { TIMEOUT_MS, UnfinishedError, withWords } from "./_ffprobe.ts";

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
  /** Frames a second on average, as the file states them, else by its times; null where nothing tells. */
  readonly rate: number | null;
  /** What the reader complained about, although it could read the file; null: nothing. */
  readonly complaint: string | null;
}

export interface VideoOptions extends ProgramOptions {
  /** When a seek pays. Default: as measured. */
  costs?: SeekCosts;
}

/** Bytes a second of a file that is decoded to learn its times, at least: long films may take longer than other work. */
const DECODED_BYTES_PER_SECOND = 500_000;
/** What of a file is read at most to learn how large its pictures are, in microseconds and bytes, where a little did not do. */
const PATIENT = ["-analyzeduration", "120000000", "-probesize", "100000000"];
/** Codecs of which a packet is a picture. Others may pack several into one or send pictures that are never shown. */
const PICTURE_PER_PACKET = new Set(["h264", "hevc", "vp9", "av1", "mjpeg"]);
/** Packets decoded to see whether they are pictures, and how much longer one may be shown than another. */
const FIRST_PACKETS = 24, MOST_UNEVEN = 1.5;
/** Containers that keep to that, and tell the times of pictures. */
const LISTED_CONTAINERS = new Set(["mov", "matroska", "avi", "flv", "mpegts"]);
/**
 * Containers in which a seek by time finds key frames, with the seconds that ffmpeg takes off that time where pictures are
 * reordered (three frames at 23 a second, except in MP4; ffmpeg_opt.c).
 */
const SEEK_OFFSETS: Readonly<Record<string, number>> = { mov: 0, matroska: 3 / 23, avi: 3 / 23, flv: 3 / 23 };

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
  const video = { sizeBytes: file.size, mtimeMs: file.mtimeMs, ...await probe(path, file.size, options) };
  known.set(key, video, { size: KNOWN_VIDEO_BYTES + key.length + (video.index?.sizeBytes ?? 0) });
  return video;
}

async function probe(path: string, sizeBytes: number, options: VideoOptions) {
  let listed = await listFile(path, options);
  // A recording may begin long before its first whole picture.
  if (!(listed.width > 0)) listed = await listFile(path, { ...options, more: PATIENT });
  const { codec, container, width, height, rotation, tickSeconds, packets, complaint, progressive } = listed;
  if (!(width > 0 && height > 0)) throw new Error("its video stream has no size");
  const byPackets = PICTURE_PER_PACKET.has(codec) && LISTED_CONTAINERS.has(container);
  const timesOf = byPackets ? timesByPackets : timesByDecoding;
  const { frames, times, exact } = await timesOf(path, listed, { ...options, sizeBytes });
  if (frames === 0) throw new Error(withWords("it has no frames", complaint));
  const index = times && VideoIndex.from(times, tickSeconds, exact ? packets : []);
  const turned = Math.abs(rotation) % 180 === 90;
  const info: VideoInfo = {
    frames,
    width: turned ? height : width,
    height: turned ? width : height,
    rotation,
    // One picture has no distance to the next: the file may say how long it stands.
    seconds: frames === 1 ? listed.seconds : index && index.seconds(frames - 1) * frames / (frames - 1),
    rate: listed.rate ?? (index && frames > 1 ? (frames - 1) / index.seconds(frames - 1) : null),
    complaint,
  };
  const offset = SEEK_OFFSETS[container];
  const seekable = byPackets && progressive && exact && complaint === null && offset !== undefined;
  return { info, index, seekOffset: seekable ? (listed.reordered ? offset : 0) : null };
}

/** What the listing of a file tells. */
interface Listed {
  codec: string;
  /** Name of the demuxer. */
  container: string;
  width: number;
  height: number;
  rotation: number;
  /** Else two fields of one picture may be two packets. */
  progressive: boolean;
  /** Pictures are decoded in another order than shown. */
  reordered: boolean;
  tickSeconds: number;
  /** How long it lasts, as its container says; null where it does not. */
  seconds: number | null;
  /** Frames a second on average, as its container says; null where it does not. */
  rate: number | null;
  packets: readonly Packet[];
  /** Of the first packet. */
  place: PacketPlace | null;
  complaint: string | null;
}

async function listFile(path: string, options: VideoOptions & { more?: readonly string[] }): Promise<Listed> {
  const packets: Packet[] = [];
  let place: PacketPlace | null = null;
  const { text, complaint } = await ffprobe(
    path,
    `${PACKET_ENTRIES}:stream=codec_name,width,height,has_b_frames,field_order,time_base,avg_frame_rate,duration:` +
      "stream_side_data=rotation:format=format_name",
    {
      ...options,
      onLine(line) {
        const parsed = parsePacket(line);
        if (parsed === null) return false;
        const { place: ownPlace, ...packet } = parsed;
        place ??= ownPlace;
        packets.push(packet);
        return true;
      },
    },
  ).catch((error) => explain(path, error));
  const field = (name: string, section = "stream") =>
    new RegExp(`^${section}\\|.*\\b${name}=([^|\\n]+)`, "m").exec(text)?.[1];
  const codec = field("codec_name"), width = Number(field("width")), height = Number(field("height"));
  if (codec === undefined) throw new Error("it has no video stream");
  const refused = REFUSED_SIZE.exec(complaint ?? "")?.[1];
  if (refused !== undefined || width * height > MOST_FRAME_PIXELS) {
    throw new Error(
      `its pictures of ${refused ?? `${width}x${height}`} must have at most ${
        formatCount(MOST_FRAME_PIXELS)
      } pixels`,
    );
  }
  const seconds = Number(field("duration"));
  const [tick, ticks] = (field("time_base") ?? "").split("/").map(Number);
  return {
    codec,
    container: field("format_name", "format")?.split(",")[0] ?? "",
    width,
    height,
    rotation: Math.round(Number(field("rotation") ?? 0)),
    progressive: ["progressive", "unknown"].includes(field("field_order") ?? "unknown"),
    reordered: Number(field("has_b_frames") ?? 0) > 0,
    tickSeconds: tick / ticks,
    seconds: seconds > 0 ? seconds : null,
    rate: quotientOf(field("avg_frame_rate")),
    packets,
    place,
    complaint,
  };
}

/** A number such as "30000/1001"; null where it is none above 0. */
function quotientOf(text: string | undefined): number | null {
  const [above, below] = (text ?? "").split("/").map(Number), value = above / below;
  return value > 0 && value < Infinity ? value : null;
}

/** Throws the reason why a file cannot be read, with what it is where that can be told. */
async function explain(path: string, error: unknown): Promise<never> {
  if (!(error instanceof UnreadableError)) throw error;
  const content = await contentOf(path), words = WORDS[content];
  if (words === null) throw error;
  const told = content === "playlist" || REFUSED_FORMAT.test(error.words ?? "");
  throw new Error(`${told ? "" : `${error.message}; `}it is ${words}, not a video`);
}

/** How times are looked for in a file of this size. */
type TimesOptions = VideoOptions & { sizeBytes: number };

/** The pictures that a decoder delivers. */
interface Pictures {
  frames: number;
  /** Ascending, in ticks; null where they are not told. */
  times: Float64Array | null;
  /** The times are those of the packets, and tell the pictures apart. */
  exact: boolean;
}

/** The times that the packets tell; pictures at a beginning that is not whole are asked of the decoder. */
async function timesByPackets(path: string, listed: Listed, options: TimesOptions): Promise<Pictures> {
  const { codec, progressive, place, packets } = listed;
  const cleanBeginning = codec !== "h264" || place !== null && await holdsIdr(path, place);
  const told = listedTimes(packets, { cleanBeginning });
  if (told === null || !progressive && !await isOfPictures(path, listed, told, options)) {
    return await timesByDecoding(path, listed, options);
  }
  if (told.doubtfulPackets === 0) return { frames: told.times.length, times: told.times, exact: true };
  const decoded = await decodedTimes(path, { ...options, packets: told.doubtfulPackets });
  const before = settleTimes(decoded.filter((time) => !(time >= told.times[0])), listed.tickSeconds);
  if (before === null || !before.exact) return await timesByDecoding(path, listed, options);
  const times = Float64Array.from([...before.times, ...told.times]);
  return { frames: times.length, times, exact: true };
}

/**
 * Whether the packets of interlaced video are whole pictures: the first are, and all come at one pace, while fields would come
 * at twice that of pictures.
 */
async function isOfPictures(
  path: string,
  { packets }: Listed,
  { times }: ListedTimes,
  options: VideoOptions,
) {
  const gaps = times.subarray(1).map((time, i) => time - times[i]).sort();
  if (gaps.length > 0 && gaps[gaps.length - 1] > MOST_UNEVEN * gaps[0]) return false;
  const some = packets.slice(0, FIRST_PACKETS), shown = some.filter(({ hidden }) => !hidden).length;
  return (await decodedTimes(path, { ...options, packets: some.length })).length === shown;
}

/** The times that the decoder tells once it has decoded everything. */
async function timesByDecoding(path: string, listed: Listed, options: TimesOptions): Promise<Pictures> {
  const patience = Math.ceil(1000 * options.sizeBytes / DECODED_BYTES_PER_SECOND);
  const given = await decodedTimes(path, {
    ...options,
    timeoutMs: options.timeoutMs ?? Math.max(TIMEOUT_MS, patience),
  });
  const settled = settleTimes(given, listed.tickSeconds);
  return { frames: given.length, times: settled?.times ?? null, exact: settled?.exact ?? false };
}

/** Times of the pictures that a decoder delivers, in its order; NaN where it tells none. @param options.packets only the first */
async function decodedTimes(path: string, options: VideoOptions & { packets?: number }): Promise<number[]> {
  const { packets, ...others } = options, times: number[] = [];
  await ffprobe(path, "frame=best_effort_timestamp", {
    ...others,
    more: packets === undefined ? [] : ["-read_intervals", `%+#${packets}`],
    onLine(line) {
      const match = /^frame\|(?:best_effort_timestamp=(-?\d+))?/.exec(line);
      if (match !== null) times.push(match[1] === undefined ? NaN : Number(match[1]));
      return true;
    },
  });
  return times;
}
