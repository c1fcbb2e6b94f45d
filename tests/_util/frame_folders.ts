/** Small folders of JPEG frames on disk, for tests of lists and of what reads them. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseFrameTemplate } from "../../data/frames/frame_folder.ts";
import { encodeJpeg } from "../../data/frames/jpeg.ts";

export interface FolderOptions {
  frames: number;
  /** Decides the content: clips of one shade and count have the same frames. */
  shade: number;
  template?: string;
  width?: number;
  height?: number;
}

/** The bytes of one frame: a plain picture whose colour tells shade and frame number. */
export async function frameBytes(
  { shade, width = 16, height = 12 }: FolderOptions,
  frame: number,
): Promise<Uint8Array> {
  const rgb = new Uint8Array(width * height * 3).map((_, i) =>
    i % 3 === 0 ? shade : i % 3 === 1 ? 8 * frame : 90
  );
  return await encodeJpeg({ width, height, rgb }, { quality: 90 });
}

/** Writes a folder of frames numbered from 1. */
export async function writeFrames(folder: string, options: FolderOptions): Promise<void> {
  await mkdir(folder, { recursive: true });
  const template = parseFrameTemplate(options.template ?? "{:05d}.jpg");
  for (let frame = 1; frame <= options.frames; frame++) {
    await writeFile(join(folder, template.name(frame)), await frameBytes(options, frame));
  }
}

/** Runs with a folder of its own, which is removed afterwards. */
export async function inTempFolder(work: (root: string) => Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir();
  try {
    await work(root);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}
