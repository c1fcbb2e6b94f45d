/** Searching an index: its clips and features in memory, and what is nearest to sentences or to a clip. */

import { join } from "node:path";
import { readFeatures } from "../../data/search_index/features_file.ts";
import {
  type FeatureForm,
  INDEX_FILES,
  type IndexManifest,
  readIndexManifest,
} from "../../data/search_index/manifest.ts";
import { bestOf, type Hit, VectorTable } from "../../data/search_index/nearest.ts";
import { DataError } from "../../lib/errors.ts";
import { roundTime } from "../evaluation/timeline.ts";
import type { Embedder } from "./embedder.ts";

/** A clip that was found, or a window of it. */
export interface SearchHit {
  /** As it was written when it was indexed. */
  path: string;
  /** In seconds; `to` is null where the file does not tell how long it lasts. */
  from: number;
  to: number | null;
  score: number;
}

/** What is searched for: sentences, or what a clip shows. */
export type SearchQueries = { readonly texts: readonly string[] } | { readonly clip: Float32Array };

/** An index in memory. */
export class SearchIndex {
  readonly manifest: IndexManifest;
  /** Of the kind "words": row after row. */
  readonly #values: Float32Array | null;
  /** The clip of each row, and which of its spans. */
  readonly #places: readonly { clip: number; span: number }[];
  /** A vector of length 1 for every row. */
  readonly #vectors: VectorTable;

  private constructor(manifest: IndexManifest, values: Float32Array) {
    const { features } = manifest, { kind, rows, shape } = features, size = values.length / rows;
    this.manifest = manifest;
    this.#values = kind === "words" ? values : null;
    this.#vectors = new VectorTable(rows, shape[shape.length - 1]);
    for (let row = 0; row < rows; row++) {
      this.#vectors.set(row, meanVector(values.subarray(row * size, (row + 1) * size), features));
    }
    this.#places = manifest.clips.flatMap(({ spans }, clip) => spans.map((_, span) => ({ clip, span })));
  }

  /**
   * Reads an index.
   *
   * @throws {DataError} where the folder holds none, or a damaged or an empty one
   * @example `const index = await SearchIndex.open("index")`
   */
  static async open(folder: string): Promise<SearchIndex> {
    const manifest = await requireManifest(folder);
    try {
      return new SearchIndex(manifest, await readFeatures(folder, manifest));
    } catch (error) {
      // It may have been written anew in between.
      const now = await requireManifest(folder);
      if (now.features.file === manifest.features.file) throw error;
      return new SearchIndex(now, await readFeatures(folder, now));
    }
  }

  /**
   * The clips that are nearest to each query, the nearest first; of equal ones the earlier in the index.
   *
   * @param options.embedder Reads sentences; not needed for a clip.
   */
  async search(
    queries: SearchQueries,
    options: { top: number; embedder: Pick<Embedder, "embedSentences" | "scoreSentences"> | null },
  ): Promise<SearchHit[][]> {
    const { top, embedder } = options;
    if ("clip" in queries) {
      const vector = meanVector(queries.clip, this.manifest.features);
      return [this.#hits(this.#vectors.nearest(vector, top))];
    }
    if (this.#values === null) {
      const vectors = await embedder!.embedSentences(queries.texts);
      return vectors.map((vector) => this.#hits(this.#vectors.nearest(vector, top)));
    }
    const scores = await embedder!.scoreSentences(queries.texts, this.#values);
    return scores.map((own) => this.#hits(bestOf(own, top)));
  }

  #hits(found: readonly Hit[]): SearchHit[] {
    return found.map(({ row, score }) => {
      const place = this.#places[row], { path, spans } = this.manifest.clips[place.clip];
      const [from, to] = spans[place.span];
      return { path, from: roundTime(from), to: to === null ? null : roundTime(to), score };
    });
  }
}

async function requireManifest(folder: string): Promise<IndexManifest> {
  const manifest = await readIndexManifest(folder);
  if (manifest === null) {
    throw new DataError(
      `Cannot search "${folder}": it must be a folder that sidenet index wrote, "${
        join(folder, INDEX_FILES.manifest)
      }" is missing; an indexing that was stopped before is finished by the same command`,
    );
  }
  if (manifest.features.rows > 0) return manifest;
  throw new DataError(`Cannot search "${folder}": it must hold a clip or more, current count is 0`);
}

/** What a clip shows as one vector of length 1: what it is, or the direction of the sum of its frames. */
export function meanVector(features: Float32Array, { kind, shape }: FeatureForm): Float32Array {
  if (kind === "vector") return features;
  const dims = shape[1], sums = new Float64Array(dims);
  features.forEach((value, i) => sums[i % dims] += value);
  const length = Math.hypot(...sums);
  return Float32Array.from(sums, (sum) => length === 0 ? 0 : sum / length);
}
