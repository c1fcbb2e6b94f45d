/** Reads a clip that is a video file. */
import { stat } from "node:fs/promises";
import { ConfigError } from "../../lib/errors.ts";
import { fileRange, reasonOf } from "../files.ts";
import { decodeFrames, probeVideo, streamFrames, type VideoInfo } from "../video/decode.ts";
import { type ClipFacts, hashOf, type ReadOptions } from "./_clip_facts.ts";

/** Bytes at the head and at the tail of a file that tell its content apart from others of its size. */
const HASHED_BYTES = 2 ** 20;
/** When every frame is decoded only the decoder is of interest, not what it shows. */
const THUMBNAIL = { width: 16, height: 16 };
/** Time to decode every frame of a long video. */
const ALL_FRAMES_MS = 3_600_000;

/**
 * Reads a video into the facts.
 *
 * @param options.stated frames that the list states
 * @throws {ConfigError} ffprobe or ffmpeg is missing
 */
export async function checkVideo(
  file: string,
  facts: ClipFacts,
  options: ReadOptions & { stated: number | null },
): Promise<void> {
  const { stated, signal } = options;
  let info: VideoInfo;
  try {
    if ((await stat(file)).size === 0) return facts.report("empty", "the file is empty");
    info = await probeVideo(file, { signal });
    facts.fingerprint = await videoFingerprint(file);
  } catch (error) {
    if (error instanceof ConfigError || signal?.aborted) throw error;
    return facts.report("video", reasonOf(error));
  }
  facts.frames = info.frames;
  facts.size = `${info.width}x${info.height}`;
  if (stated !== null && stated !== info.frames) {
    facts.report("count", `the list states ${stated} frames, the video has ${info.frames}`);
  }
  try {
    const wanted = options.allFrames ? info.frames : Math.min(2, info.frames);
    const { count, complaint } = options.allFrames
      ? await streamFrames(file, {
        frames: wanted,
        size: THUMBNAIL,
        onFrame: () => {},
        timeoutMs: ALL_FRAMES_MS,
        signal,
      })
      : await decodeFrames(file, [...new Set([0, info.frames - 1])], { signal });
    facts.decoded = count;
    if (count < wanted) {
      facts.report(
        "unreadable",
        options.allFrames
          ? `decoding gives ${count} of its ${info.frames} frames`
          : `frame ${info.frames}: the video ends before it`,
      );
    }
    const words = info.complaint ?? complaint;
    if (words !== null) facts.report("damaged", words);
  } catch (error) {
    if (error instanceof ConfigError || signal?.aborted) throw error;
    facts.report("video", reasonOf(error));
  }
}

/** Size, head and tail. @throws {Error} where they cannot be read */
export async function videoFingerprint(file: string): Promise<string> {
  await using range = await fileRange(file);
  const size = range.sizeBytes, length = Math.min(HASHED_BYTES, size);
  return `video ${size} ${hashOf(await range.read(0, length), await range.read(size - length, length))}`;
}
