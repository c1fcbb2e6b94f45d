/** CLIP's text tower (Radford et al. 2021; spec retrieval §1), which EVA-CLIP's models share: frozen, or trained whole or at its end. */

import type { Graph, Tensor } from "../../gpu/graph.ts";
import {
  addPosition,
  embedding,
  gatherRows,
  layerNorm,
  matmul,
  reshape,
  sliceRows,
} from "../../gpu/ops/mod.ts";
import { normal, type Weights } from "../params.ts";
import type { Keep, TextConfig } from "../tower.ts";
import {
  block,
  type BlockWeights,
  declareBlock,
  frozenNorm,
  type NormWeights,
  towerBlock,
} from "./transformer.ts";

/** What of a tower is trained: the last norm and the projection are its end. */
export type Unfrozen = "all" | "end" | "none";

/** A text tower with its declared weights. */
export class TextTower {
  readonly config: TextConfig;
  readonly #table: Tensor;
  readonly #positions: Tensor;
  readonly #blocks: BlockWeights[];
  readonly #lnFinal: NormWeights;
  readonly #projection: Tensor;

  /** Declares the weights. @param options.group Optimiser group of those that are trained. */
  constructor(
    weights: Weights,
    config: TextConfig,
    options: { trained: Unfrozen; group: string } = { trained: "none", group: "" },
  ) {
    const { vocabulary, context, width, heads, layers, embedDim, prefix = "" } = config;
    if (width % heads !== 0) {
      throw new RangeError(
        `Cannot build a text tower: width must be a multiple of heads, current values are ${width} and ${heads}`,
      );
    }
    const declare = <R>(trained: boolean, body: () => R) =>
      trained ? weights.unfrozen(options.group, body) : body();
    const f32 = { dtype: "f32" } as const;
    this.config = config;
    [this.#table, this.#positions, this.#blocks] = declare(options.trained === "all", () => [
      weights.frozen(`${prefix}token_embedding.weight`, [vocabulary, width], normal(0.02), f32),
      weights.frozen(`${prefix}positional_embedding`, [context, width], normal(0.01), f32),
      Array.from(
        { length: layers },
        (_, i) => declareBlock(weights, `${prefix}transformer.resblocks.${i}`, { width, layers }),
      ),
    ]);
    [this.#lnFinal, this.#projection] = declare(options.trained !== "none", () => [
      frozenNorm(weights, `${prefix}ln_final`, width),
      weights.frozen(`${prefix}text_projection`, [width, embedDim], normal(width ** -0.5)),
    ]);
  }

  /**
   * Every token of sentences behind the last norm, [S L width].
   *
   * @param ids Token ids [S L], u32; L is at most the context.
   * @param keep Is told the output of every block ("text.0", …) and the result ("text.ln_final").
   */
  run(g: Graph, ids: Tensor, keep: Keep = (_, tensor) => tensor): Tensor {
    const { heads, activation, context } = this.config, words = ids.shape[1];
    const positions = words === context
      ? this.#positions
      : sliceRows(g, this.#positions, { start: 0, rows: words });
    let x = g.scope("text/embed", () => addPosition(g, embedding(g, ids, this.#table), positions)); // [S L width]
    const trained = this.#table.needsGradient;
    this.#blocks.forEach((weights, i) => {
      x = towerBlock(
        g,
        `text/block.${i}`,
        trained,
        () => block(g, x, weights, { heads, activation, causal: true, dtype: "f32" }),
      );
      keep(`text.${i}`, x);
    });
    return keep("text.ln_final", layerNorm(g, x, this.#lnFinal)); // [S L width]
  }

  /** Every token in the joint space, [S L E], of what `run` gives. Not normalised. */
  tokens(g: Graph, normed: Tensor): Tensor {
    const [sentences, words, width] = normed.shape;
    return reshape(g, matmul(g, reshape(g, normed, [-1, width]), this.#projection), [sentences, words, -1]);
  }

  /**
   * Sentences in the joint space, [S E], of what `run` gives: their end tokens. Not normalised.
   *
   * @param ends Place of the end token of every sentence [S], u32: where the largest id stands.
   */
  sentences(g: Graph, normed: Tensor, ends: Tensor): Tensor {
    return matmul(g, gatherRows(g, normed, ends), this.#projection);
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
