/**
 * The part of a network for retrieval that reads sentences, and the two published ways to compare them with clips (spec retrieval
 * §3.6, §3.7): by the mean of a clip's frames, or word by word and frame by frame.
 */

import type { Graph, Tensor } from "../../gpu/graph.ts";
import {
  l2Normalize,
  linear,
  maskedSoftmax,
  matmul,
  multiplyByExp,
  relu,
  reshape,
  tokenInteraction,
} from "../../gpu/ops/mod.ts";
import type { TextTower } from "../clip/text.ts";
import { constant, type Weights } from "../params.ts";
import type { Keep } from "../tower.ts";
import type { ComparisonInputs, Mode, TextSide } from "../video_model.ts";
import { declareLinear, type LinearInit, type LinearWeights } from "./declare.ts";

/** How sentences are compared with clips: "wti" weighs words and frames, "mean" takes whole sentences and the mean of frames. */
export type Interaction = "wti" | "mean";

/** The logarithm of the largest factor on scores. */
export const MOST_LOGIT_SCALE = Math.log(100);

/** Declares the logarithm of the factor on scores, as a weight of CLIP's file. */
export function declareLogitScale(weights: Weights): Tensor {
  return weights.frozen("logit_scale", [], constant(Math.log(1 / 0.07)));
}

/** A small network that says how much each word, or each frame, counts. */
interface WeigherWeights {
  hidden: LinearWeights;
  score: LinearWeights;
}

/** What the token-wise interaction weighs words and frames with. */
export interface TokenWeights {
  words: WeigherWeights;
  frames: WeigherWeights;
}

/** Declares the networks that weigh words and frames under the original names. @param init PyTorch's initial values when absent. */
export function declareTokenWeights(weights: Weights, embedDim: number, init?: LinearInit): TokenWeights {
  const weigher = (prefix: string): WeigherWeights => ({
    hidden: declareLinear(weights, `${prefix}.0`, [embedDim, embedDim], init),
    score: declareLinear(weights, `${prefix}.2`, [1, embedDim], init),
  });
  return { words: weigher("text_weight_fc"), frames: weigher("video_weight_fc") };
}

/** Weight of each of R rows' tokens [R C]: a softmax over those that the mask keeps. x: [R C E]. */
function weigh(g: Graph, x: Tensor, w: WeigherWeights, mask: Tensor): Tensor {
  const hidden = relu(g, linear(g, x, w.hidden.weight, { bias: w.hidden.bias })); // [R C E]
  const score = linear(g, hidden, w.score.weight, { bias: w.score.bias }); // [R C 1]
  return maskedSoftmax(g, reshape(g, score, mask.shape), mask);
}

/** What a text side is made of. */
export interface TextSideParts {
  tower: TextTower;
  logitScale: Tensor;
  /** Those of the token-wise interaction; null: means are compared. */
  tokenWeights: TokenWeights | null;
  /** L. */
  words: number;
  /** T, of the clips that sentences are compared with. */
  frames: number;
  tokens: readonly number[] | null;
}

/** Sentences of a text tower, and their comparison with clips whose frames [B T E] lie in the same space. */
export class TowerTextSide implements TextSide {
  readonly words: number;
  readonly vocabulary: number;
  readonly tokens: readonly number[] | null;
  readonly sentenceOutputs: Readonly<Record<string, readonly number[]>>;
  readonly clipOutputs: Readonly<Record<string, readonly number[]>>;
  readonly #parts: TextSideParts;

  constructor(parts: TextSideParts) {
    const { tower: { config: { vocabulary, embedDim } }, tokenWeights, words, frames, tokens } = parts;
    this.#parts = parts;
    this.words = words;
    this.vocabulary = vocabulary;
    this.tokens = tokens;
    this.sentenceOutputs = tokenWeights ? { words: [words, embedDim] } : { sentence: [embedDim] };
    this.clipOutputs = { frames: [frames, embedDim] };
  }

  encode(
    g: Graph,
    { ids, ends }: Readonly<Record<string, Tensor>>,
    { keep }: { mode: Mode; keep?: Keep },
  ): Record<string, Tensor> {
    const { tower, tokenWeights } = this.#parts, normed = tower.run(g, ids, keep); // [A L width]
    return g.scope(
      "text/head",
      (): Record<string, Tensor> =>
        tokenWeights
          ? { words: tower.tokens(g, normed) } // [A L E]
          : { sentence: tower.sentences(g, normed, ends) }, // [A E]
    );
  }

  compare(g: Graph, { outputs, inputs }: ComparisonInputs, { mode }: { mode: Mode }): Tensor {
    const { tokenWeights, logitScale } = this.#parts;
    return g.scope("similarity", () => {
      if (tokenWeights === null) return multiplyByExp(g, meanSimilarity(g, { outputs, inputs }), logitScale);
      const similarity = tokenSimilarity(g, { outputs, inputs }, tokenWeights); // [A B]
      // As published: evaluations see the scores themselves.
      return mode === "train" ? multiplyByExp(g, similarity, logitScale) : similarity;
    });
  }
}

/** Cosine of every sentence with every clip's mean frame, [A B]. */
function meanSimilarity(
  g: Graph,
  { outputs: { sentence, frames }, inputs: { frame_mask: mask } }: ComparisonInputs,
): Tensor {
  const [B, T, E] = frames.shape;
  // A sum has the mean's direction.
  const sums = matmul(g, reshape(g, mask, [B, 1, T]), frames); // [B 1 E]
  return matmul(g, l2Normalize(g, sentence), l2Normalize(g, reshape(g, sums, [B, E])), { transposeB: true });
}

/**
 * Weighted token-wise interaction, [A B]. Padded words score 0 and not less, as published; frames that are padding count in
 * neither direction.
 */
function tokenSimilarity(
  g: Graph,
  { outputs: { words, frames }, inputs: { word_mask: wordMask, frame_mask: frameMask } }: ComparisonInputs,
  w: TokenWeights,
): Tensor {
  return tokenInteraction(g, {
    alpha: weigh(g, words, w.words, wordMask),
    beta: weigh(g, frames, w.frames, frameMask),
    words: l2Normalize(g, words),
    frames: l2Normalize(g, frames),
    wordMask,
    frameMask,
  });
}
