/** Reads a clip that is a folder of frames. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { reasonOf } from "../files.ts";
import { framesAmong, type FrameTemplate, whyNoFrames } from "../frames/frame_folder.ts";
import { requireFrameFileSize } from "../frames/limits.ts";
import { decodePicture } from "../frames/picture.ts";
import { type ClipFacts, hashOf, type ReadOptions } from "./_clip_facts.ts";

/** How the frames of a folder are named. */
export interface CheckedNames {
  /** As the user gives it. */
  text: string;
  template: FrameTemplate;
  firstFrame: number | null;
}

/** Reads a folder of frames into the facts. @param options.stated frames that the list states */
export async function checkFolder(
  folder: string,
  facts: ClipFacts,
  options: ReadOptions & { names: CheckedNames; stated: number | null },
): Promise<void> {
  const { names: { text, template, firstFrame }, stated } = options;
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    return facts.report("missing", reasonOf(error));
  }
  const { count, first } = framesAmong(names, template, firstFrame), foreign = names.length - count;
  facts.frames = count;
  if (count === 0) return facts.report("empty", whyNoFrames(names, { template: text, firstFrame }));
  const present = new Set(names), nameOf = (frame: number) => template.name(first + frame - 1);
  if (stated !== null && stated !== count) {
    const besides = foreign === 0 ? "" : ` and ${foreign} other ${foreign === 1 ? "file" : "files"}`;
    facts.report("count", `the list states ${stated} frames, its folder has ${count}${besides}`);
  }
  const numbers = Array.from({ length: count }, (_, i) => i + 1);
  const absent = numbers.find((frame) => !present.has(nameOf(frame)));
  if (absent !== undefined) {
    const file = first === 1 ? "" : ` ("${nameOf(absent)}")`;
    facts.report("gap", `frame ${absent} of ${count} is missing${file}`);
  }

  const hashes: string[] = [];
  const wanted = options.allFrames ? numbers : [...new Set([1, count])];
  for (const frame of wanted) {
    options.signal?.throwIfAborted();
    if (!present.has(nameOf(frame))) continue; // told as a gap
    try {
      const bytes = await readFrame(join(folder, nameOf(frame)));
      if (frame === 1 || frame === count) hashes.push(hashOf(bytes));
      const { width, height } = await decodePicture(bytes);
      facts.decoded++;
      const size = `${width}x${height}`;
      facts.size ??= size;
      if (size !== facts.size) {
        facts.report("size", `frame ${frame} is ${size}, the clip's first is ${facts.size}`);
      }
    } catch (error) {
      facts.report("unreadable", `frame ${frame}: ${reasonOf(error)}`);
    }
  }
  if (hashes.length === Math.min(2, count)) facts.fingerprint = fingerprint(count, hashes);
}

/** Count, first and last frame. @throws {Error} where they cannot be read */
export async function folderFingerprint(
  folder: string,
  { template, firstFrame }: CheckedNames,
): Promise<string> {
  const { count, first } = framesAmong(await readdir(folder), template, firstFrame);
  const hashes: string[] = [];
  for (const frame of new Set([1, count])) {
    hashes.push(hashOf(await readFrame(join(folder, template.name(first + frame - 1)))));
  }
  return fingerprint(count, hashes);
}

function fingerprint(count: number, hashes: readonly string[]): string {
  return `${count} ${hashes.join(" ")}`;
}

async function readFrame(path: string): Promise<Uint8Array> {
  const info = await stat(path);
  if (!info.isFile()) throw new Error("it is not a regular file");
  requireFrameFileSize(info.size);
  return await readFile(path);
}
