/** Small video files made by ffmpeg, for tests of what reads them. */
import { spawn, spawnSync } from "node:child_process";

/** Whether the tests that need ffmpeg can run; they are reported as ignored where it is missing. */
export const hasFfmpeg = ["ffmpeg", "ffprobe"].every((program) =>
  spawnSync(program, ["-version"], { stdio: "ignore" }).error === undefined
);
// In CI a missing program must not pass for a success.
if (!hasFfmpeg && Deno.env.get("CI")) {
  throw new Error("Cannot test videos: ffmpeg and ffprobe must be on the PATH; apt-get install ffmpeg");
}

export interface VideoFileOptions {
  frames: number;
  width: number;
  height: number;
  /** Red, green, blue of a pixel of frame i, from 0. */
  pixel: (frame: number, x: number, y: number) => readonly [number, number, number];
  /** Arguments that say how to encode, before the name of the file. */
  encoding?: readonly string[];
}

/** H.264 as cameras and web sites make it: key frames 12 apart, B-frames, chroma at half size. */
export const H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "12", "-qp", "4"]
  .concat(["-pix_fmt", "yuv420p"]);

/** Encodes frames into a video file. */
export async function writeVideo(path: string, options: VideoFileOptions): Promise<void> {
  const { frames, width, height, pixel, encoding = H264 } = options;
  const rgb = new Uint8Array(frames * width * height * 3);
  let at = 0;
  for (let frame = 0; frame < frames; frame++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++, at += 3) rgb.set(pixel(frame, x, y), at);
    }
  }
  await ffmpeg(
    ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", `${width}x${height}`, "-r", "24", "-i", "pipe:0"]
      .concat(encoding, path),
    rgb,
  );
}

/** Runs ffmpeg; it must succeed. */
export async function ffmpeg(args: readonly string[], input = new Uint8Array(0)): Promise<void> {
  const child = spawn("ffmpeg", ["-v", "error", "-y", ...args], { stdio: ["pipe", "ignore", "inherit"] });
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  child.stdin.on("error", () => {}); // it may end before it has read everything; its exit code tells
  child.stdin.end(input);
  const code = await ended;
  if (code !== 0) throw new Error(`ffmpeg ${args.join(" ")} ended with ${code}`);
}

/** A plain grey frame whose level tells its number. */
export function greyOf(frame: number): readonly [number, number, number] {
  const level = 20 + 5 * frame;
  return [level, level, level];
}
