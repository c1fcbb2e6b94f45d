/** Files for the loader's measurements: JPEG frame folders like those of photographed clips, and the same as H.264 videos. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { writing } from "../data/files.ts";
import { join } from "node:path";
import sharp from "sharp";
import type { ClipModality } from "../data/datasets/list.ts";
import type { ClipRecord } from "../data/datasets/list.ts";
import { createPrng, type Prng } from "../lib/random.ts";

/** Clips on disk. */
export interface BenchSet {
  readonly root: string;
  readonly clips: readonly ClipRecord[];
  readonly modality: ClipModality;
  readonly template: string;
  /** Frames of a clip. */
  readonly frames: number;
}

export const WIDTH = 340, HEIGHT = 256, TEMPLATE = "{:05d}.jpg";
/** Gives 20 to 30 KB a frame with the pictures below, as photographs have. */
const QUALITY = 88;
/** Side of the pictures that clips move over. */
const CANVAS = 512;

/** A picture with structure of all sizes: noise in octaves, the coarse ones strongest, as photographs have. [S S 3] */
async function paintCanvas(prng: Prng): Promise<Float32Array> {
  const canvas = new Float32Array(CANVAS * CANVAS * 3).fill(128);
  for (let side = 4; side <= CANVAS; side *= 2) {
    const noise = Uint8Array.from({ length: side * side * 3 }, () => prng.integer(256));
    const octave = await sharp(noise, { raw: { width: side, height: side, channels: 3 } })
      .resize(CANVAS, CANVAS, { kernel: "cubic", fit: "fill" }).raw().toBuffer();
    const strength = 1.4 / Math.sqrt(side);
    for (let i = 0; i < canvas.length; i++) canvas[i] += strength * (octave[i] - 128);
  }
  return canvas;
}

/** A part of the canvas with a grain of its own. [H W 3] */
function takeFrame(canvas: Float32Array, at: { x: number; y: number }, prng: Prng): Uint8Array {
  const frame = new Uint8Array(WIDTH * HEIGHT * 3);
  for (let y = 0, to = 0; y < HEIGHT; y++) {
    let from = ((at.y + y) * CANVAS + at.x) * 3;
    for (let x = 0; x < WIDTH * 3; x++) {
      frame[to++] = Math.max(0, Math.min(255, canvas[from++] + prng.integer(9) - 4));
    }
  }
  return frame;
}

/** Writes clips as folders of JPEG frames. */
export async function writeFrameFolders(root: string, clips: number, frames: number): Promise<BenchSet> {
  for (let clip = 0; clip < clips; clip++) {
    const prng = createPrng(7, clip), folder = join(root, String(clip));
    const canvas = await paintCanvas(prng);
    await writing(folder, () => mkdir(folder, { recursive: true }));
    for (let frame = 0; frame < frames; frame++) {
      const rgb = takeFrame(canvas, { x: 2 * frame % 160, y: frame % 240 }, prng);
      const jpeg = await sharp(rgb, { raw: { width: WIDTH, height: HEIGHT, channels: 3 } })
        .jpeg({ quality: QUALITY }).toBuffer();
      const file = join(folder, `${String(frame + 1).padStart(5, "0")}.jpg`);
      await writing(file, () => writeFile(file, jpeg));
    }
  }
  return { root, clips: recordsOf(clips, ""), modality: "frames", template: TEMPLATE, frames };
}

/** Encodes clips as H.264 in MP4 beside their folders. null: ffmpeg is missing. */
export async function writeVideos(set: BenchSet): Promise<BenchSet | null> {
  for (const { path } of set.clips) {
    const args = ["-v", "error", "-y", "-r", "30", "-i", join(set.root, path, "%05d.jpg"), "-c:v", "libx264"]
      .concat(["-preset", "veryfast", "-pix_fmt", "yuv420p", join(set.root, `${path}.mp4`)]);
    try {
      const { success, stderr } = await new Deno.Command("ffmpeg", { args, stdin: "null" }).output();
      if (!success) {
        throw new Error(`Cannot bench videos: ffmpeg said ${new TextDecoder().decode(stderr).trim()}`);
      }
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return null;
      throw error;
    }
  }
  return { ...set, clips: recordsOf(set.clips.length, ".mp4"), modality: "video" };
}

/** Average size of a file of the first clip, in bytes. */
export async function jpegBytes(set: BenchSet): Promise<number> {
  let bytes = 0;
  for (const file of framePaths(set).slice(0, set.frames)) bytes += (await readFile(file)).length;
  return bytes / set.frames;
}

/** Files of all frames of a set of folders. */
export function framePaths({ root, clips, frames }: BenchSet): string[] {
  return clips.flatMap(({ path }) =>
    Array.from({ length: frames }, (_, i) => join(root, path, `${String(i + 1).padStart(5, "0")}.jpg`))
  );
}

function recordsOf(clips: number, extension: string): ClipRecord[] {
  return Array.from(
    { length: clips },
    (_, clip) => ({ path: `${clip}${extension}`, label: clip % 4, frames: null, line: clip + 1 }),
  );
}
