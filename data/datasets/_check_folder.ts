/** Reads a clip that is a folder of frames. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { reasonOf } from "../files.ts";
import type { FrameTemplate } from "../frames/frame_folder.ts";
import { decodeJpeg } from "../frames/jpeg.ts";
import { type ClipFacts, hashOf, type ReadOptions } from "./_clip_facts.ts";

/** Reads a folder of frames into the facts. @param options.stated frames that the list states */
export async function checkFolder(
  folder: string,
  facts: ClipFacts,
  options: ReadOptions & { template: FrameTemplate; stated: number | null },
): Promise<void> {
  const { template, stated } = options;
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    return facts.report("missing", reasonOf(error));
  }
  const present = new Set(names.filter(template.matches));
  const count = facts.frames = present.size, foreign = names.length - count;
  if (count === 0) {
    return facts.report(
      "empty",
      foreign === 0 ? "its folder is empty" : `none of its ${foreign} files is named like a frame`,
    );
  }
  if (stated !== null && stated !== count) {
    const besides = foreign === 0 ? "" : ` and ${foreign} other ${foreign === 1 ? "file" : "files"}`;
    facts.report("count", `the list states ${stated} frames, its folder has ${count}${besides}`);
  }
  const numbers = Array.from({ length: count }, (_, i) => i + 1);
  const absent = numbers.find((frame) => !present.has(template.name(frame)));
  if (absent !== undefined) facts.report("gap", `frame ${absent} of ${count} is missing`);

  const hashes: string[] = [];
  const wanted = options.allFrames ? numbers : [...new Set([1, count])];
  for (const frame of wanted) {
    options.signal?.throwIfAborted();
    if (!present.has(template.name(frame))) continue; // told as a gap
    try {
      const bytes = await readFrame(join(folder, template.name(frame)));
      if (frame === 1 || frame === count) hashes.push(hashOf(bytes));
      const { width, height } = await decodeJpeg(bytes);
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
export async function folderFingerprint(folder: string, template: FrameTemplate): Promise<string> {
  const count = (await readdir(folder)).filter(template.matches).length;
  const hashes: string[] = [];
  for (const frame of new Set([1, count])) {
    hashes.push(hashOf(await readFrame(join(folder, template.name(frame)))));
  }
  return fingerprint(count, hashes);
}

function fingerprint(count: number, hashes: readonly string[]): string {
  return `${count} ${hashes.join(" ")}`;
}

async function readFrame(path: string): Promise<Uint8Array> {
  const info = await stat(path);
  if (!info.isFile()) throw new Error("it is not a regular file");
  return await readFile(path);
}
