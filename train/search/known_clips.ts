/** What an index and its journal hold already, by the clips' files, and whether that is still true of them. */

import type { FrameTemplate } from "../../data/frames/frame_folder.ts";
import type { JournalRow } from "../../data/search_index/journal.ts";
import {
  type ClipSpan,
  type ClipStamp,
  fileOfClip,
  type IndexManifest,
} from "../../data/search_index/manifest.ts";
import { compareStamps, digestOfClip } from "../../data/search_index/stamps.ts";

/** Where a row's features are: a row of the index that was there before, or themselves. */
export type RowPlace = number | Float32Array;

/** A clip whose features are there. */
export interface KnownClip {
  readonly stamp: ClipStamp;
  readonly sha256: string;
  readonly spans: readonly ClipSpan[];
  readonly places: readonly RowPlace[];
  readonly problems: readonly string[];
}

/** What is known of clips from before. */
export class KnownClips {
  readonly #clips = new Map<string, KnownClip>();
  readonly #unreadable = new Map<string, { stamp: ClipStamp; reason: string }>();
  /** Rows of clips that are not whole, by file. */
  readonly #begun = new Map<string, JournalRow[]>();
  readonly #bySize = new Map<number, KnownClip[]>();

  constructor(before: IndexManifest | null, journal: readonly JournalRow[]) {
    for (const { path, sha256, row, spans, problems, ...stamp } of before?.clips ?? []) {
      const places = spans.map((_, i) => row + i);
      this.#clips.set(fileOfClip(before!, path), { stamp, sha256, spans, places, problems });
    }
    for (const { path, reason, ...stamp } of before?.unreadable ?? []) {
      this.#unreadable.set(fileOfClip(before!, path), { stamp, reason });
    }
    for (const [file, rows] of Map.groupBy(journal, ({ file }) => file)) this.#addRows(file, rows);
    for (const clip of this.#clips.values()) {
      this.#bySize.set(clip.stamp.bytes, [...this.#bySize.get(clip.stamp.bytes) ?? [], clip]);
    }
  }

  /** Of rows of several looks at a file those of the last one count. */
  #addRows(file: string, rows: readonly JournalRow[]): void {
    const last = rows[rows.length - 1];
    const own = new Map(
      rows.filter((row) => row.sha256 === last.sha256 && compareStamps(row, last) === "same")
        .map((row) => [row.part, row]),
    );
    const parts = [...own.values()].sort((a, b) => a.part - b.part);
    if (parts.length < last.parts) {
      this.#begun.set(file, parts);
      return;
    }
    const clip = clipOfRows(parts);
    if (clip === null) {
      this.#unreadable.set(file, { stamp: stampOf(last), reason: last.problems[0] ?? UNREADABLE });
      this.#clips.delete(file);
    } else {
      this.#clips.set(file, clip);
      this.#unreadable.delete(file);
    }
  }

  /** Files of clips whose features are there. */
  get files(): string[] {
    return [...this.#clips.keys()];
  }

  /** A clip as it is known, whatever has become of its files. */
  get(file: string): KnownClip | undefined {
    return this.#clips.get(file);
  }

  /** What holds of a clip whose files are as they are now; null: it is to be embedded. */
  async find(
    file: string,
    stamp: ClipStamp,
    template: FrameTemplate,
  ): Promise<{ clip: KnownClip } | { reason: string } | null> {
    const unreadable = this.#unreadable.get(file);
    if (unreadable && compareStamps(unreadable.stamp, stamp) === "same") return { reason: unreadable.reason };
    const own = this.#clips.get(file);
    if (own && compareStamps(own.stamp, stamp) === "same") return { clip: own };
    // A clip that was copied, moved or touched has the features of what it holds.
    const alike = this.#bySize.get(stamp.bytes);
    if (alike === undefined) return null;
    const sha256 = await digestOfClip(file, template);
    const clip = alike.find((one) => one.sha256 === sha256);
    return clip ? { clip: { ...clip, stamp } } : null;
  }

  /** Rows that are there of a clip that is not whole. */
  begun(file: string, stamp: ClipStamp): readonly JournalRow[] {
    const rows = this.#begun.get(file) ?? [];
    return rows.length > 0 && compareStamps(rows[0], stamp) === "same" ? rows : [];
  }
}

const UNREADABLE = "nothing of it could be read";

/** A clip from all its rows; null: nothing of it could be read. */
export function clipOfRows(rows: readonly JournalRow[]): KnownClip | null {
  const read = rows.filter(({ features }) => features !== null);
  if (read.length === 0) return null;
  const problems = new Set(rows.flatMap((row) => row.problems)); // overlapping windows meet the same frame
  return {
    stamp: stampOf(rows[0]),
    sha256: rows[0].sha256,
    spans: read.map(({ span }) => span),
    places: read.map(({ features }) => features!),
    problems: [...problems],
  };
}

export function stampOf({ bytes, modified, changed }: ClipStamp): ClipStamp {
  return { bytes, modified, changed };
}
