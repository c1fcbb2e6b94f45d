/** What reading a clip gives, from a folder of frames or a video, and what had to be replaced in it. */

/** Something in a clip that was not as it should be, and what was done instead. */
export interface Substitution {
  /** Folder or file of the clip, as the list names it. */
  readonly path: string;
  /** Frame number; 0 when the whole clip is meant. */
  readonly frame: number;
  /** What was wrong. */
  readonly reason: string;
  /**
   * What was used: a frame number; "concealed": what the decoder made of a damaged video; "its own count" of frames and not the
   * list's; another clip.
   */
  readonly used: number | "resized" | "black" | "concealed" | "its own count" | { readonly clip: string };
}

/** Frames of one clip, all of one size. */
export interface DecodedClip {
  readonly width: number;
  readonly height: number;
  /** [T H W 3], in the order of the indices; empty when the clip is bad. */
  /** In memory that threads share. */
  readonly frames: Uint8Array;
  readonly substitutions: Substitution[];
  /** No frame of the clip could be read. */
  readonly bad: boolean;
  /** The size of the frames before they were shrunk; absent: they are as they were. */
  readonly shrunkFrom?: { readonly width: number; readonly height: number };
  /**
   * Nothing was decoded: the clip has so many bytes, more than the caller would take. Its size is what the files state, and 0 where
   * they do not agree.
   */
  readonly needsBytes?: number;
}

/** A clip that was not decoded because it has more bytes than the caller would take. */
export function tooManyBytes(bytes: number, size: { width: number; height: number } | null): DecodedClip {
  const { width, height } = size ?? { width: 0, height: 0 };
  return { width, height, frames: new Uint8Array(0), substitutions: [], bad: false, needsBytes: bytes };
}

/** A clip of which nothing can be read. */
export function badClip(path: string, reason: string): DecodedClip {
  const substitutions = [{ path, frame: 0, reason, used: "black" as const }];
  return { width: 0, height: 0, frames: new Uint8Array(0), substitutions, bad: true };
}
