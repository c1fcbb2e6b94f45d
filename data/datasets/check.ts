/**
 * Reads the clips of a list once, from the files themselves, and names everything that would surprise a training run:
 * counts, gaps, pictures that cannot be decoded, sizes, labels, clips that are there twice, clips that another split has
 * as well. Nothing found stops the check.
 *
 * A file is looked at before it is opened, because opening a pipe that stands where a picture should be waits for ever.
 */
import { createHash } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { reasonOf } from "../files.ts";
import { type FrameTemplate, parseFrameTemplate } from "../frames.ts";
import { decodeJpeg } from "../jpeg.ts";
import { mapConcurrently, type WalkOptions } from "./entries.ts";
import type { ClipRecord } from "./list.ts";

/** What is wrong with a clip, by kind. */
export const PROBLEM_KINDS = {
  missing: "folder cannot be read",
  empty: "no frames",
  count: "frame count differs from the list",
  gap: "frames are not numbered without gaps",
  unreadable: "frame cannot be decoded",
  size: "frames of different sizes",
  label: "label out of range",
  duplicate: "the same clip twice",
  leak: "clip is in the other list too",
} as const;

export type ProblemKind = keyof typeof PROBLEM_KINDS;

export interface ClipProblem {
  readonly kind: ProblemKind;
  /** Line in the list, from 1. */
  readonly line: number;
  readonly path: string;
  /** One clause. */
  readonly problem: string;
}

export interface CheckOptions extends WalkOptions {
  /** Folder that the clips' paths are relative to. */
  root: string;
  template: string;
  /** Number of classes; null: any label from 0. */
  classes: number | null;
  /** Decode every frame, not only the first and the last. */
  allFrames: boolean;
  /** Clips of another split, which this one must not share. */
  against?: { clips: readonly ClipRecord[]; root: string };
  /** Clips read at once. */
  atOnce: number;
}

export interface CheckResult {
  readonly clips: number;
  /** Frames in the folders, by name. */
  readonly frames: number;
  readonly decoded: number;
  /** In the order of the list. */
  readonly problems: ClipProblem[];
  /** Clips by the size of their first frame, `340x256`, the most frequent first. */
  readonly sizes: [size: string, clips: number][];
  /** Labels that no clip has; empty when the number of classes is not known. */
  readonly unusedLabels: number[];
}

/** What reading a clip gave. */
interface ClipFacts {
  frames: number;
  decoded: number;
  size: string | null;
  /** Content of the first and the last frame and the count; null where they cannot be read. */
  fingerprint: string | null;
  problems: ClipProblem[];
}

/** Checks a list. */
export async function checkClips(clips: readonly ClipRecord[], options: CheckOptions): Promise<CheckResult> {
  const { root, template, against, onProgress } = options;
  const others = against?.clips ?? [], total = clips.length + others.length;
  const frameNames = parseFrameTemplate(template);
  const facts = await mapConcurrently(clips, (clip) => checkClip(clip, frameNames, options), {
    ...options,
    onProgress: (done) => onProgress?.(done, total),
  });
  // Of the other list only what is needed to recognise a clip is read.
  const otherFacts = await mapConcurrently(
    others,
    (clip) => fingerprintOf(join(against!.root, clip.path), frameNames),
    { ...options, onProgress: (done) => onProgress?.(clips.length + done, total) },
  );
  const problems = [
    ...facts.flatMap((one) => one.problems),
    ...findDuplicates(clips, facts),
    ...findLeaks(clips, facts, {
      clips: others,
      fingerprints: otherFacts,
      sameRoot: against?.root === root,
    }),
  ].sort((a, b) => a.line - b.line);
  const used = new Set(clips.map(({ label }) => label));
  return {
    clips: clips.length,
    frames: sum(facts.map((one) => one.frames)),
    decoded: sum(facts.map((one) => one.decoded)),
    problems,
    sizes: countSizes(facts),
    unusedLabels: Array.from({ length: options.classes ?? 0 }, (_, label) => label).filter((one) =>
      !used.has(one)
    ),
  };
}

async function checkClip(
  clip: ClipRecord,
  template: FrameTemplate,
  options: CheckOptions,
): Promise<ClipFacts> {
  const { line, path, label } = clip, folder = join(options.root, path);
  const facts: ClipFacts = { frames: 0, decoded: 0, size: null, fingerprint: null, problems: [] };
  const report = (kind: ProblemKind, problem: string) => facts.problems.push({ kind, line, path, problem });
  if (options.classes !== null && label >= options.classes) {
    report("label", `its label must be in 0 … ${options.classes - 1}, current value is ${label}`);
  }
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    report("missing", reasonOf(error));
    return facts;
  }
  const present = new Set(names.filter(template.matches));
  const count = facts.frames = present.size, foreign = names.length - count;
  if (count === 0) {
    report(
      "empty",
      foreign === 0 ? "its folder is empty" : `none of its ${foreign} files is named like a frame`,
    );
    return facts;
  }
  if (clip.frames !== null && clip.frames !== count) {
    const besides = foreign === 0 ? "" : ` and ${foreign} other ${foreign === 1 ? "file" : "files"}`;
    report("count", `the list states ${clip.frames} frames, its folder has ${count}${besides}`);
  }
  const numbers = Array.from({ length: count }, (_, i) => i + 1);
  const absent = numbers.find((frame) => !present.has(template.name(frame)));
  if (absent !== undefined) report("gap", `frame ${absent} of ${count} is missing`);

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
      if (size !== facts.size) report("size", `frame ${frame} is ${size}, the clip's first is ${facts.size}`);
    } catch (error) {
      report("unreadable", `frame ${frame}: ${reasonOf(error)}`);
    }
  }
  if (hashes.length === Math.min(2, count)) facts.fingerprint = `${count} ${hashes.join(" ")}`;
  return facts;
}

async function fingerprintOf(folder: string, template: FrameTemplate): Promise<string | null> {
  try {
    const count = (await readdir(folder)).filter(template.matches).length;
    const hashes: string[] = [];
    for (const frame of new Set([1, count])) {
      hashes.push(hashOf(await readFrame(join(folder, template.name(frame)))));
    }
    return `${count} ${hashes.join(" ")}`;
  } catch {
    return null; // a broken clip of the other list is that list's matter
  }
}

async function readFrame(path: string): Promise<Uint8Array> {
  const info = await stat(path);
  if (!info.isFile()) throw new Error("it is not a regular file");
  return await readFile(path);
}

function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("base64");
}

/** Clips whose path or content an earlier clip of the list has. */
function findDuplicates(clips: readonly ClipRecord[], facts: readonly ClipFacts[]): ClipProblem[] {
  const byPath = new Map<string, ClipRecord>(), byContent = new Map<string, ClipRecord>();
  const problems: ClipProblem[] = [];
  clips.forEach((clip, i) => {
    const { line, path } = clip, fingerprint = facts[i].fingerprint;
    const samePath = byPath.get(path);
    const sameContent = fingerprint === null ? undefined : byContent.get(fingerprint);
    if (samePath) {
      problems.push({
        kind: "duplicate",
        line,
        path,
        problem: `line ${samePath.line} names the same folder`,
      });
    } else if (sameContent) {
      const labels = sameContent.label === clip.label ? "" : ", under another label";
      problems.push({
        kind: "duplicate",
        line,
        path,
        problem: `its frames are those of "${sameContent.path}" (line ${sameContent.line})${labels}`,
      });
    }
    if (!samePath) byPath.set(path, clip);
    if (fingerprint !== null && !sameContent) byContent.set(fingerprint, clip);
  });
  return problems;
}

function findLeaks(
  clips: readonly ClipRecord[],
  facts: readonly ClipFacts[],
  other: { clips: readonly ClipRecord[]; fingerprints: readonly (string | null)[]; sameRoot: boolean },
): ClipProblem[] {
  const byPath = new Map(other.sameRoot ? other.clips.map((clip) => [clip.path, clip]) : []);
  const byContent = new Map(other.clips.map((clip, i) => [other.fingerprints[i], clip]));
  return clips.flatMap(({ line, path }, i) => {
    const { fingerprint } = facts[i];
    const match = byPath.get(path) ?? (fingerprint === null ? undefined : byContent.get(fingerprint));
    if (!match) return [];
    const problem = match.path === path
      ? `line ${match.line} of the other list is the same clip`
      : `its frames are those of "${match.path}" (line ${match.line} of the other list)`;
    return [{ kind: "leak" as const, line, path, problem }];
  });
}

function countSizes(facts: readonly ClipFacts[]): [string, number][] {
  const counts = new Map<string, number>();
  for (const { size } of facts) if (size !== null) counts.set(size, (counts.get(size) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
