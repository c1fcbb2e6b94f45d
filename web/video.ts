/** Videos that a user dropped: their times, and frames by number, decoded by the browser. */
import {
  BlobSource,
  EncodedPacketSink,
  Input,
  type InputVideoTrack,
  MATROSKA,
  MP4,
  QTFF,
  type VideoSample,
  VideoSampleSink,
  WEBM,
} from "mediabunny";
import { DataError } from "../lib/errors.ts";
import { shellName } from "../lib/text.ts";
import type { ClipTimes } from "../train/evaluation/timeline.ts";
import { type ColourRule, colourRule, rotated, toRgb } from "./colour.ts";

/** A picture. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly rgb: Uint8Array<ArrayBuffer>;
}

/** An open video. */
export interface OpenVideo extends Disposable {
  readonly name: string;
  readonly codec: string;
  readonly times: ClipTimes;
  /** Frames a second on average. */
  readonly rate: number | null;
  /** Frames by number from 0, ascending and each once, in their order. */
  frames(numbers: readonly number[]): AsyncGenerator<{ number: number; picture: Picture }>;
}

/** What to do about a video that breaks off. */
const DAMAGED = "it is damaged or cut off: copy it again, or export it anew";

/**
 * Opens a video.
 *
 * @throws {DataError} with the reason why it cannot be used
 */
export async function openVideo(file: File): Promise<OpenVideo> {
  const fail = (what: string) => new DataError(`Cannot use "${file.name}": ${what}`);
  if (typeof VideoDecoder === "undefined") {
    throw fail(
      "this browser has no WebCodecs to decode videos with; a current Chrome, Edge, Firefox or Safari has",
    );
  }
  const input = new Input({ source: new BlobSource(file), formats: [MP4, QTFF, MATROSKA, WEBM] });
  try {
    const tracks = await input.getTracks().catch(() => []);
    if (tracks.length === 0) throw fail(`no stream can be found in it; ${DAMAGED}`);
    const track = await input.getPrimaryVideoTrack();
    if (!track) throw fail("it must have a video stream, and has sound alone");
    const codec = await track.getCodec();
    if (!await track.canDecode()) {
      throw fail(
        `this browser cannot decode ${codec ?? "its codec"}; ffmpeg -i ${
          shellName(file.name)
        } -c:v libx264 -pix_fmt yuv420p out.mp4 ` +
          "makes a video that it can",
      );
    }
    // What the file or its stream says; a decoded frame does not tell that from the browser's guess.
    const rule = colourRule(await track.getColorSpace());
    const stamps = await stampsOf(track), first = stamps[0];
    if (first === undefined) throw fail(`none of its frames can be found; ${DAMAGED}`);
    const frames = stamps.map((stamp) => stamp - first), count = frames.length, last = frames[count - 1];
    // As the command line counts: the last frame stands as long as the others on average.
    const seconds = count === 1 ? await track.computeDuration() - first : last * count / (count - 1);
    return {
      name: file.name,
      codec: codec ?? "unknown",
      times: { frames, seconds },
      rate: count > 1 && last > 0 ? (count - 1) / last : null,
      frames: (numbers) => decode(track, { stamps, numbers, rule, fail }),
      [Symbol.dispose]: () => input[Symbol.dispose](),
    };
  } catch (error) {
    input[Symbol.dispose]();
    throw error instanceof DataError ? error : fail((error as Error).message);
  }
}

/** When each frame is shown, ascending. */
async function stampsOf(track: InputVideoTrack): Promise<Float64Array> {
  const stamps: number[] = [];
  for await (
    const packet of new EncodedPacketSink(track).packets(undefined, undefined, { metadataOnly: true })
  ) {
    stamps.push(packet.timestamp);
  }
  return Float64Array.from(stamps).sort();
}

async function* decode(
  track: InputVideoTrack,
  { stamps, numbers, rule, fail }: {
    stamps: Float64Array;
    numbers: readonly number[];
    rule: ColourRule;
    fail: (what: string) => DataError;
  },
): AsyncGenerator<{ number: number; picture: Picture }> {
  let next = 0;
  const broken = (reason = "") =>
    fail(
      `its frame ${
        numbers[next] + 1
      } of ${stamps.length} cannot be decoded${reason}; ${DAMAGED}; predict of the command line conceals such frames`,
    );
  const samples = new VideoSampleSink(track).samplesAtTimestamps(numbers.map((number) => stamps[number]));
  try {
    while (true) {
      const { value: sample, done } = await samples.next().catch(({ message }: Error) => {
        throw broken(` (${message.replace(/\.$/, "")})`);
      });
      if (done) return;
      if (sample === null) throw broken();
      try {
        yield { number: numbers[next++], picture: await pictureOf(sample, rule) };
      } finally {
        sample.close();
      }
    }
  } finally {
    await samples.return(undefined);
  }
}

async function pictureOf(sample: VideoSample, rule: ColourRule): Promise<Picture> {
  const frame = sample.toVideoFrame();
  try {
    return rotated(await pictureOfFrame(frame, rule), sample.rotation);
  } finally {
    frame.close();
  }
}

async function pictureOfFrame(frame: VideoFrame, rule: ColourRule): Promise<Picture> {
  const { visibleRect, format } = frame, { width, height } = visibleRect!;
  // Frames that lie on the GPU have no format of their own.
  const options = (format === null ? { format: "RGBA" } : {}) as VideoFrameCopyToOptions;
  const data = new Uint8Array(frame.allocationSize(options));
  const layout = await frame.copyTo(data, options);
  const rgb = toRgb({ format: format ?? "RGBA", width, height, data, layout }, rule);
  return { width, height, rgb };
}
