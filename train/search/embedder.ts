/** What turns clips and sentences into features that can be compared, as indexing and searching see it. */

import type { ClipRecord } from "../../data/datasets/list.ts";

/** What a network says of a clip. */
export interface EmbeddedClip {
  /** Values of a row of an index; null: nothing of the clip could be read. */
  readonly features: Float32Array | null;
  /** What had to be replaced, or why nothing could be read. */
  readonly problems: readonly string[];
}

/** A network for retrieval on a GPU. */
export interface Embedder extends AsyncDisposable {
  /**
   * vector: a clip is one vector of length 1, its score with a sentence their dot product.
   * words: a clip is a vector a frame, its score comes from a comparison of all frames with all words. Frames that stand for
   * nothing are zeros.
   */
  readonly kind: "vector" | "words";
  /** Of a clip's features: `[D]` or `[T D]`. */
  readonly shape: readonly number[];
  readonly adapter: string;
  /** Embeds clips, in their order. Frames of folders and videos are read from where the clips' paths lead. */
  embedClips(
    clips: readonly ClipRecord[],
    options?: { signal?: AbortSignal },
  ): AsyncIterable<EmbeddedClip>;
  /** Vectors of sentences, of length 1. Only of the kind "vector". */
  embedSentences(texts: readonly string[]): Promise<Float32Array[]>;
  /**
   * Scores of sentences with clips, one list a sentence. Only of the kind "words".
   *
   * @param features Rows of an index, one after the other.
   */
  scoreSentences(texts: readonly string[], features: Float32Array): Promise<Float32Array[]>;
}
