/**
 * A stand-in for a network, for what is done with its answers: a clip's features are its frames' names and bytes, counted. A frame of
 * "?" is a broken one.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { ClipRecord } from "../../../data/datasets/list.ts";
import type { Embedder } from "../../../train/search/embedder.ts";

/** Values of a clip. */
export const FAKE_DIMS = 8;

export class FakeEmbedder implements Embedder {
  readonly kind = "vector";
  readonly shape = [FAKE_DIMS];
  readonly adapter = "none";
  /** Clips that were embedded, one after the other; a window says where it begins. */
  readonly embedded: string[] = [];
  /** Called before each clip. */
  onClip: (clip: ClipRecord) => void | Promise<void> = () => {};

  async *embedClips(clips: readonly ClipRecord[], { signal }: { signal?: AbortSignal } = {}) {
    for (const clip of clips) {
      await this.onClip(clip);
      signal?.throwIfAborted();
      const { path, range } = clip;
      this.embedded.push(range ? `${path}@${range.first}` : path);
      const features = new Float32Array(FAKE_DIMS), problems: string[] = [];
      const names = (await readdir(path)).sort().slice(
        range ? range.first - 1 : 0,
        range && range.first - 1 + range.count,
      );
      for (const name of names) {
        const bytes = await readFile(join(path, name));
        for (const byte of bytes) features[byte % FAKE_DIMS]++;
        if (bytes[0] === "?".charCodeAt(0)) problems.push(`${name}: broken`);
      }
      const length = Math.hypot(...features);
      yield length === 0
        ? { features: null, problems: ["its frames are empty"] }
        : { features: features.map((value) => value / length), problems };
    }
  }

  embedSentences(): Promise<Float32Array[]> {
    throw new Error("it reads no sentences");
  }

  scoreSentences(): Promise<Float32Array[]> {
    throw new Error("it reads no sentences");
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
