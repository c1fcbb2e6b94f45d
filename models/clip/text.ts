/** The frozen CLIP text tower (Radford et al. 2021; spec side4video §1.2 for the names, dist §1.3 for the mathematics). */

import type { Graph, Tensor } from "../../gpu/graph.ts";
import { addPosition, embedding, gatherRows, layerNorm, matmul } from "../../gpu/ops/mod.ts";
import { normal, type Weights } from "../params.ts";
import {
  type Activation,
  block,
  type BlockWeights,
  declareBlock,
  frozenNorm,
  type NormWeights,
} from "./transformer.ts";

/** Sizes of a text tower. */
export interface TextConfig {
  /** Number of token ids. */
  vocabulary: number;
  /** Tokens of a sentence. */
  context: number;
  width: number;
  heads: number;
  layers: number;
  /** E, the joint embedding. */
  embedDim: number;
  /** That of the image tower; QuickGELU when absent. */
  activation?: Activation;
}

/** What a run of the tower gives, with the values in between for parity checks. */
export interface TextOutput {
  /** Output of every block, [S context width]. */
  layers: Tensor[];
  normed: Tensor;
  /** [S E], not normalised. */
  embedding: Tensor;
}

/** A frozen text tower. */
export class FrozenText {
  readonly #config: TextConfig;
  readonly #table: Tensor;
  readonly #positions: Tensor;
  readonly #blocks: BlockWeights[];
  readonly #lnFinal: NormWeights;
  readonly #projection: Tensor;

  constructor(weights: Weights, config: TextConfig) {
    const { vocabulary, context, width, layers, embedDim } = config;
    this.#config = config;
    this.#table = weights.frozen("token_embedding.weight", [vocabulary, width], normal(0.02), {
      dtype: "f32",
    });
    this.#positions = weights.frozen("positional_embedding", [context, width], normal(0.01), {
      dtype: "f32",
    });
    this.#blocks = Array.from(
      { length: layers },
      (_, i) => declareBlock(weights, `transformer.resblocks.${i}`, { width, layers }),
    );
    this.#lnFinal = frozenNorm(weights, "ln_final", width);
    this.#projection = weights.frozen("text_projection", [width, embedDim], normal(width ** -0.5));
  }

  /**
   * Embeds sentences.
   *
   * @param ids Token ids [S context], u32.
   * @param ends Position of the end token of every sentence [S], u32: where the largest id stands.
   */
  apply(g: Graph, ids: Tensor, ends: Tensor): TextOutput {
    const { heads, activation } = this.#config;
    let x = addPosition(g, embedding(g, ids, this.#table), this.#positions); // [S context width]
    const layers = this.#blocks.map((weights, i) =>
      x = g.scope(
        `text/block.${i}`,
        () => block(g, x, weights, { heads, activation, causal: true, dtype: "f32" }),
      )
    );
    const normed = layerNorm(g, x, this.#lnFinal); // [S context width]
    const last = gatherRows(g, normed, ends); // [S width]
    return { layers, normed, embedding: matmul(g, last, this.#projection) };
  }
}

/** Position of the end token of every sentence: the first place of the largest id. */
export function endPositions(ids: ArrayLike<number>, context: number): Uint32Array {
  return Uint32Array.from({ length: ids.length / context }, (_, s) => {
    let best = 0;
    for (let i = 1; i < context; i++) if (ids[s * context + i] > ids[s * context + best]) best = i;
    return best;
  });
}
