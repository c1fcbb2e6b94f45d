/**
 * Reads the clips of a list once, from the files themselves, and names everything that would surprise a training run:
 * counts, gaps, pictures and videos that cannot be decoded, sizes, labels, clips that are there twice, clips that another
 * split has as well. Nothing found stops the check.
 *
 * A file is looked at before it is opened, because opening a pipe that stands where a picture should be waits for ever.
 */
import { stat } from "node:fs/promises";
import { clipPath } from "../clip_path.ts";
import { reasonOf } from "../files.ts";
import { parseFrameTemplate } from "../frames/frame_folder.ts";
import { type CheckedNames, checkFolder, folderFingerprint } from "./_check_folder.ts";
import { checkVideo, videoFingerprint } from "./_check_video.ts";
import { type ClipFacts, type ClipProblem, emptyFacts } from "./_clip_facts.ts";
import type { ClipRecord } from "./list.ts";
import { mapConcurrently, type WalkOptions } from "./walk.ts";

export { type ClipProblem, PROBLEM_KINDS, type ProblemKind } from "./_clip_facts.ts";

export interface CheckOptions extends WalkOptions {
  /** Folder that the clips' paths are relative to. */
  root: string;
  template: string;
  /** Number of a folder's first frame; null or absent: the lowest that it holds. */
  firstFrame?: number | null;
  /** Number of classes; null: any label from 0. */
  classes: number | null;
  /** Decode every frame, not only the first and the last. */
  allFrames: boolean;
  /** Clips of another split, which this one must not share. */
  against?: { clips: readonly ClipRecord[]; root: string };
  /** Clips read at once, and programs that read videos. */
  atOnce: number;
}

export interface CheckResult {
  readonly clips: number;
  /** How many of them are videos. */
  readonly videos: number;
  /** Frames in the folders, by name, and in the videos, as they state. */
  readonly frames: number;
  readonly decoded: number;
  /** In the order of the list. */
  readonly problems: ClipProblem[];
  /** Clips by the size of their first frame, `340x256`, the most frequent first. */
  readonly sizes: [size: string, clips: number][];
  /** Labels that no clip has; empty when the number of classes is not known. */
  readonly unusedLabels: number[];
}

/** Checks a list. */
export async function checkClips(clips: readonly ClipRecord[], options: CheckOptions): Promise<CheckResult> {
  const { root, template: text, firstFrame = null, against, onProgress } = options;
  const others = against?.clips ?? [], total = clips.length + others.length;
  const names: CheckedNames = { text, template: parseFrameTemplate(text), firstFrame };
  const facts = await mapConcurrently(clips, (clip) => checkClip(clip, names, options), {
    ...options,
    onProgress: (done) => onProgress?.(done, total),
  });
  // Of the other list only what is needed to recognise a clip is read.
  const otherFacts = await mapConcurrently(
    others,
    (clip) => fingerprintOf(clipPath(against!.root, clip.path), names),
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
    videos: facts.filter(({ kind }) => kind === "video").length,
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
  names: CheckedNames,
  options: CheckOptions,
): Promise<ClipFacts> {
  const { path, label, frames: stated } = clip, facts = emptyFacts(clip);
  const whole = clipPath(options.root, path);
  if (options.classes !== null && label >= options.classes) {
    facts.report("label", `its label must be in 0 … ${options.classes - 1}, current value is ${label}`);
  }
  try {
    facts.kind = await kindOf(whole);
  } catch (error) {
    facts.report("missing", reasonOf(error));
    return facts;
  }
  if (facts.kind === "frames") await checkFolder(whole, facts, { ...options, names, stated });
  else await checkVideo(whole, facts, { ...options, stated });
  return facts;
}

/** What stands there. @throws {Error} where it is neither */
async function kindOf(path: string): Promise<"frames" | "video"> {
  const info = await stat(path);
  if (info.isDirectory()) return "frames";
  if (!info.isFile()) throw new Error("it is neither a folder nor a regular file");
  return "video";
}

async function fingerprintOf(path: string, names: CheckedNames): Promise<string | null> {
  try {
    return await kindOf(path) === "frames"
      ? await folderFingerprint(path, names)
      : await videoFingerprint(path);
  } catch {
    return null; // a broken clip of the other list is that list's matter
  }
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
        problem: `line ${samePath.line} names the same clip`,
      });
    } else if (sameContent) {
      const labels = sameContent.label === clip.label ? "" : ", under another label";
      problems.push({
        kind: "duplicate",
        line,
        path,
        problem: `its content is that of "${sameContent.path}" (line ${sameContent.line})${labels}`,
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
      : `its content is that of "${match.path}" (line ${match.line} of the other list)`;
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
