/** Whether ffmpeg and ffprobe of this machine do what is asked of them: tried on small clips, not read off their version. */
import { join } from "node:path";
import { rm } from "node:fs/promises";
import { runChild } from "./_child.ts";
import { ENCODERS } from "./annotate.ts";
import { decodeFrames, probeVideo } from "./decode.ts";
import { inputName } from "./formats.ts";

/** What became of the trials. */
export interface VideoTrial {
  /** First line of what each program says of itself; null: it is not on the PATH, or cannot be started. */
  readonly ffmpeg: string | null;
  readonly ffprobe: string | null;
  /** Why an H.264 clip could not be read; null: it was, and its pictures are right. */
  readonly decodeError: string | null;
  /** The encoder that wrote a clip whose pictures come back right; null: none did. */
  readonly encoder: string | null;
  /** Why the encoder of H.264 could not be used; null: it could. */
  readonly encodeError: string | null;
}

/** Four pictures of 32x32 in H.264 (MP4): two of grey level 64, two of 192. */
const H264_CLIP = [
  "AAAAIGZ0eXBpc29tAAACAGlzb21pc28yYXZjMW1wNDEAAAMVbW9vdgAAAGxtdmhkAAAAAAAAAAAAAAAAAAAD6AAAAfQAAQAAAQAA",
  "AAAAAAAAAAAAAAEAAAAAAAAAAAAAAAAAAAABAAAAAAAAAAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAgAA",
  "AmR0cmFrAAAAXHRraGQAAAADAAAAAAAAAAAAAAABAAAAAAAAAfQAAAAAAAAAAAAAAAAAAAAAAAEAAAAAAAAAAAAAAAAAAAABAAAA",
  "AAAAAAAAAAAAAABAAAAAACAAAAAgAAAAAAAkZWR0cwAAABxlbHN0AAAAAAAAAAEAAAH0AAAAAAABAAAAAAHcbWRpYQAAACBtZGhk",
  "AAAAAAAAAAAAAAAAAABAAAAAIABVxAAAAAAALWhkbHIAAAAAAAAAAHZpZGUAAAAAAAAAAAAAAABWaWRlb0hhbmRsZXIAAAABh21p",
  "bmYAAAAUdm1oZAAAAAEAAAAAAAAAAAAAACRkaW5mAAAAHGRyZWYAAAAAAAAAAQAAAAx1cmwgAAAAAQAAAUdzdGJsAAAAv3N0c2QA",
  "AAAAAAAAAQAAAK9hdmMxAAAAAAAAAAEAAAAAAAAAAAAAAAAAAAAAACAAIABIAAAASAAAAAAAAAABDExhdmMgbGlieDI2NAAAAAAA",
  "AAAAAAAAAAAAAAAAAAAAGP//AAAANWF2Y0MBZAAK/+EAGGdkAAqsTCJLYCIAAAMAAgAAAwAgHiRMIwEABmjoQw8si/34+AAAAAAQ",
  "cGFzcAAAAAEAAAABAAAAFGJ0cnQAAAAAAAAEwAAABMAAAAAYc3R0cwAAAAAAAAABAAAABAAACAAAAAAUc3RzcwAAAAAAAAABAAAA",
  "AQAAABxzdHNjAAAAAAAAAAEAAAABAAAABAAAAAEAAAAkc3RzegAAAAAAAAAAAAAABAAAABcAAAANAAAAFwAAABEAAAAUc3RjbwAA",
  "AAAAAAABAAADRQAAAD11ZHRhAAAANW1ldGEAAAAAAAAAIWhkbHIAAAAAAAAAAG1kaXJhcHBsAAAAAAAAAAAAAAAACGlsc3QAAAAI",
  "ZnJlZQAAAFRtZGF0AAAAE2WIggf//vdonwKavb2qA10WO/kAAAAJQZodiHf//quAAAAAE0GIiAh//veBvzLKufzrJafYQ30AAAAN",
  "QZo5PBB5MpgQ7/6rgA==",
].join("");

/** Grey levels of the pictures, what they may differ by, and their size. */
const LEVELS = [64, 64, 192, 192], TOLERANCE = 6, SIDE = 32;
/** A clip of that size takes a tenth of a second. */
const TIMEOUT_MS = 20_000;

/** Tries both programs in a temporary folder. */
export async function tryVideoPrograms(): Promise<VideoTrial> {
  const [ffmpeg, ffprobe] = await Promise.all(["ffmpeg", "ffprobe"].map(versionOf));
  const absent = [ffmpeg === null && "ffmpeg", ffprobe === null && "ffprobe"].filter(Boolean).join(" and ");
  if (absent !== "") {
    const error = `there is no ${absent} that can be started`;
    return { ffmpeg, ffprobe, decodeError: error, encoder: null, encodeError: error };
  }
  const folder = await Deno.makeTempDir({ prefix: "sidenet-doctor-" });
  try {
    const published = join(folder, "h264.mp4");
    await Deno.writeFile(published, Uint8Array.from(atob(H264_CLIP), (letter) => letter.charCodeAt(0)));
    const decodeError = await failure(() => checkPictures(published));
    return { ffmpeg, ffprobe, decodeError, ...await tryEncoders(folder) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The first line that a program prints of itself. */
async function versionOf(program: string): Promise<string | null> {
  const decoder = new TextDecoder();
  let text = "";
  const error = await failure(async () => {
    const { code } = await runChild(program, ["-version"], {
      timeoutMs: TIMEOUT_MS,
      onOutput: (chunk) => {
        text += decoder.decode(chunk, { stream: true });
        return true;
      },
    });
    if (code === null) throw new Error("no end");
  });
  // A program that starts and fails is tried all the same, so that its own words are told.
  return error === null ? text.trim().split("\n")[0] : null;
}

/** Writes a clip with each of the encoders until one does, and reads it back. */
async function tryEncoders(folder: string): Promise<Pick<VideoTrial, "encoder" | "encodeError">> {
  const raw = join(folder, "raw.rgb"), frame = SIDE * SIDE * 3;
  const rgb = new Uint8Array(LEVELS.length * frame);
  LEVELS.forEach((level, i) => rgb.fill(level, i * frame, (i + 1) * frame));
  await Deno.writeFile(raw, rgb);
  let encodeError: string | null = null;
  for (const encoder of ENCODERS) {
    const output = join(folder, `${encoder[1]}.mp4`);
    const error = await failure(async () => {
      const input = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", `${SIDE}x${SIDE}`, "-r", "8", "-i", raw];
      const { code, words } = await runChild(
        "ffmpeg",
        ["-nostdin", "-v", "error", "-y", ...input, ...encoder, inputName(output)],
        { timeoutMs: TIMEOUT_MS, onOutput: () => true },
      );
      if (code !== 0) throw new Error(words ?? `ffmpeg ended with ${code ?? "a signal"}, without a word`);
      await checkPictures(output);
    });
    if (error === null) return { encoder: encoder[1], encodeError };
    encodeError ??= error;
  }
  return { encoder: null, encodeError };
}

/** Reads a clip of the known pictures, as training does. */
async function checkPictures(path: string): Promise<void> {
  const options = { timeoutMs: TIMEOUT_MS };
  const { width, height, frames } = await probeVideo(path, options);
  const expected = `${LEVELS.length} pictures of ${SIDE}x${SIDE}`;
  if (width !== SIDE || height !== SIDE || frames !== LEVELS.length) {
    throw new Error(`finds ${frames} pictures of ${width}x${height} in a clip of ${expected}`);
  }
  const { rgb, count, complaint } = await decodeFrames(path, [...LEVELS.keys()], options);
  if (count !== LEVELS.length) {
    throw new Error(`gives ${count} of ${expected}${complaint === null ? "" : ` (${complaint})`}`);
  }
  const frame = SIDE * SIDE * 3;
  const wrong = rgb.findIndex((value, i) => Math.abs(value - LEVELS[Math.floor(i / frame)]) > TOLERANCE);
  if (wrong >= 0) {
    throw new Error(
      `gives a wrong picture: grey level ${rgb[wrong]} in place of ${LEVELS[Math.floor(wrong / frame)]}`,
    );
  }
}

async function failure(trial: () => Promise<unknown>): Promise<string | null> {
  try {
    await trial();
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}
