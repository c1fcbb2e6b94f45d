/** What reading one clip of a list gave: figures, a fingerprint of its content, and whatever is wrong with it. */
import { createHash } from "node:crypto";
import type { ClipRecord } from "./list.ts";

/** What is wrong with a clip, by kind. */
export const PROBLEM_KINDS = {
  missing: "folder or file cannot be read",
  empty: "no frames",
  count: "frame count differs from the list",
  gap: "frames are not numbered without gaps",
  unreadable: "frame cannot be decoded",
  video: "video cannot be read",
  damaged: "video is damaged",
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

/** How far a clip is read. */
export interface ReadOptions {
  /** Decode every frame, not only the first and the last. */
  allFrames: boolean;
  signal?: AbortSignal;
}

/** What reading a clip gave. */
export interface ClipFacts {
  /** null: nothing stands there that could be a clip. */
  kind: "frames" | "video" | null;
  frames: number;
  decoded: number;
  /** Of the first frame, `340x256`. */
  size: string | null;
  /** The same for clips of the same content; null where it cannot be read. */
  fingerprint: string | null;
  problems: ClipProblem[];
  report(kind: ProblemKind, problem: string): void;
}

/** Facts of a clip of which nothing is known yet. */
export function emptyFacts({ line, path }: ClipRecord): ClipFacts {
  const problems: ClipProblem[] = [];
  return {
    kind: null,
    frames: 0,
    decoded: 0,
    size: null,
    fingerprint: null,
    problems,
    report: (kind, problem) => void problems.push({ kind, line, path, problem }),
  };
}

/** Digest of some content. */
export function hashOf(...parts: Uint8Array[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("base64");
}
