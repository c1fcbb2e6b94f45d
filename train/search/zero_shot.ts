/** Naming the classes of clips by sentences about them, without training: the class whose sentences are nearest. */

import { dotProduct } from "../../data/search_index/nearest.ts";
import { ConfigError } from "../../lib/errors.ts";
import type { ModelEmbedder } from "./model_embedder.ts";
import { meanVector } from "./search_index.ts";

/** Classes by their sentences, ready to be compared with clips. */
export class ZeroShot {
  readonly #embedder: ModelEmbedder;
  readonly #prompts: readonly (readonly string[])[];
  readonly #scale: number;
  /** Of the kind "vector": one of length 1 for each class. */
  readonly #classes: readonly Float32Array[];

  private constructor(
    embedder: ModelEmbedder,
    parts: { prompts: readonly (readonly string[])[]; scale: number; classes: readonly Float32Array[] },
  ) {
    this.#embedder = embedder;
    this.#prompts = parts.prompts;
    this.#scale = parts.scale;
    this.#classes = parts.classes;
  }

  /**
   * Reads the sentences.
   *
   * @param prompts Sentences by class, one or more each. Where the network gives a sentence one vector, a class has the mean of
   * those of its sentences, each of length 1 (Radford et al. 2021, §3.1.4); else the mean of their scores.
   */
  static async create(
    embedder: ModelEmbedder,
    prompts: readonly (readonly string[])[],
  ): Promise<ZeroShot> {
    if (prompts.length < 2) {
      throw new ConfigError(
        `Cannot name classes: there must be two or more to choose from, current count is ${prompts.length}`,
      );
    }
    const scale = await embedder.scale();
    if (embedder.kind === "words") return new ZeroShot(embedder, { prompts, scale, classes: [] });
    const vectors = await embedder.embedSentences(prompts.flat()), [dims] = embedder.shape;
    let next = 0;
    const classes = prompts.map(({ length }) => {
      const own = new Float32Array(length * dims);
      for (let i = 0; i < length; i++) own.set(vectors[next++], i * dims);
      return meanVector(own, { kind: "words", shape: [length, dims] });
    });
    return new ZeroShot(embedder, { prompts, scale, classes });
  }

  /** Shares of the classes in a clip. @param features Those of a row of an index */
  async sharesOf(features: Float32Array): Promise<Float64Array> {
    const scores = this.#embedder.kind === "vector"
      ? this.#classes.map((vector) => dotProduct(vector, features))
      : await this.#meanScores(features);
    const logits = scores.map((score) => this.#scale * score), most = Math.max(...logits);
    const powers = Float64Array.from(logits, (logit) => Math.exp(logit - most));
    const sum = powers.reduce((a, b) => a + b, 0);
    return powers.map((power) => power / sum);
  }

  async #meanScores(features: Float32Array): Promise<number[]> {
    const scores = await this.#embedder.scoreSentences(this.#prompts.flat(), features);
    let next = 0;
    return this.#prompts.map(({ length }) =>
      scores.slice(next, next += length).reduce((sum, [score]) => sum + score, 0) / length
    );
  }
}
