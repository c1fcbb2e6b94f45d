/** Folders of numbered frame files: their names, their number and their bytes. */
import { readFileSync, statSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError } from "../../lib/errors.ts";

/** Names of the frame files of a folder, such as `{:05d}.jpg`; frames count from 1. */
export interface FrameTemplate {
  /** File name of a frame. */
  name(frame: number): string;
  /** Whether a file name is a frame's. */
  matches(fileName: string): boolean;
}

/** Parses a template with one Python-style field: `{:05d}.jpg`, `img_{:05d}.jpg`, `{}.jpg`. */
export function parseFrameTemplate(template: string): FrameTemplate {
  const match = /^([^{}]*)\{(?::0?(\d+)d)?\}([^{}]*)$/.exec(template);
  if (!match) {
    throw new ConfigError(
      `Cannot use frame template ${JSON.stringify(template)}: it must hold one field such as "{:05d}.jpg"`,
    );
  }
  const [, prefix, width = "1", suffix] = match;
  const digits = Number(width);
  return {
    name: (frame) => prefix + String(frame).padStart(digits, "0") + suffix,
    matches(fileName) {
      if (!fileName.startsWith(prefix) || !fileName.endsWith(suffix)) return false;
      const number = fileName.slice(prefix.length, fileName.length - suffix.length);
      return /^\d+$/.test(number) && number === String(Number(number)).padStart(digits, "0") &&
        Number(number) > 0;
    },
  };
}

/** How many frames a clip has: the files of its folder that match the template. Foreign files do not count. */
export async function countFrames(folder: string, template: FrameTemplate): Promise<number> {
  return (await readdir(folder)).filter(template.matches).length;
}

/**
 * The files of a folder. Synchronous: it runs in a decode worker, where nothing else waits, and an asynchronous read costs
 * ten times as much.
 */
export function folderFrames(
  { folder, template }: { folder: string; template: string },
): (frame: number) => Uint8Array {
  const names = parseFrameTemplate(template);
  return (frame) => {
    const file = join(folder, names.name(frame));
    const info = statSync(file); // a pipe in place of a picture would be waited for without end
    if (!info.isFile()) throw new Error(info.isDirectory() ? "it is a folder" : "it is no regular file");
    return readFileSync(file);
  };
}
