/**
 * Weighted token-wise interaction of sentences and clips (Wang et al. 2022, arXiv 2203.07111), and its gradients.
 *
 * Scores of words with frames are matrix products; they are made for a few sentences at a time, reduced to their maxima, and made
 * over, so that the scores of all pairs never lie in memory. What is kept are the maxima and where they were, A · B · (L + T) of each.
 * The gradients are products with the sparse matrix of what flows, made for a few sentences, or clips, at a time in the same way.
 *
 * Gradients overwrite; masks are constants.
 */

import flowsSource from "./interaction_flows.wgsl" with { type: "text" };
import maximaSource from "./interaction_maxima.wgsl" with { type: "text" };
import scoresSource from "./interaction_scores.wgsl" with { type: "text" };
import type { Dtype, Graph, Tensor } from "../graph.ts";
import { baseOf, BINDING_ALIGNMENT, DTYPE_BYTES, sizeOf } from "../graph.ts";
import { type Arrays, defineOp, type Dispatch, type OpContext, recordOne } from "../op.ts";
import { flatDispatch } from "./_dispatch.ts";
import { scale } from "./add.ts";
import { matmul, productDispatch } from "./linear.ts";
import { transpose } from "./permute.ts";
import { reshape } from "./views.ts";

const WG_SIZE = 64;

/** Scores that may lie in memory at once, at least: 4 MiB, enough to keep a GPU busy (a guess). */
const MIN_SCORES = 1 << 20;

/** Of an op that makes scores for a few sentences at a time. */
type InParts = { scores: number };

/** A few sentences: the first, and how many. */
interface Part {
  first: number;
  count: number;
}

/**
 * Sentences in parts whose scores take no more memory than the maxima do, or `attrs.scores` elements. Their windows of rows `[A L D]`
 * begin at binding boundaries.
 */
function partsOf({ A, L, B, T, D }: OpContext["axes"], attrs: InParts, dtype: Dtype = "f32"): Part[] {
  let together = 1;
  while ((together * L * D * DTYPE_BYTES[dtype]) % BINDING_ALIGNMENT !== 0) together *= 2;
  const wanted = Math.floor(Math.max(attrs.scores, A * B * Math.max(L, T)) / (L * B * T));
  const each = Math.max(1, Math.floor(wanted / together)) * together;
  return Array.from({ length: Math.ceil(A / each) }, (_, i) => ({
    first: i * each,
    count: Math.min(each, A - i * each),
  }));
}

/** Shape of the scores of the largest part. */
function scoresShape({ L, B, T }: OpContext["axes"], parts: readonly Part[]): number[] {
  return [parts[0].count * L, B * T];
}

/** The rows of a part's sentences in `[A L …]`, as a matrix. */
function rowsOfPart(x: Tensor, { first, count }: Part): Tensor {
  const [A, L] = x.shape, columns = sizeOf(x.shape) / (A * L);
  return window(x, [count * L, columns], first * L * columns);
}

function window(x: Tensor, shape: readonly number[], offset = 0): Tensor {
  return { ...x, shape, base: baseOf(x), offset: x.offset + offset };
}

const tokenInteractionOp = defineOp<InParts>({
  name: "tokenInteraction",
  inputs: {
    words: "A L D",
    frames: "B T D",
    wordMask: "A L",
    frameMask: "B T",
    alpha: "A L",
    beta: "B T",
  },
  attrs: { scores: MIN_SCORES },
  outputs: ({ inputs, attrs, axes }) => {
    const { A, B, L, T } = axes, maxima = { auxiliary: true };
    return {
      out: { shape: [A, B] },
      wordLargest: { shape: [A, L, B], ...maxima },
      wordBest: { shape: [A, L, B], ...maxima },
      frameLargest: { shape: [B, T, A], ...maxima },
      frameBest: { shape: [B, T, A], ...maxima },
      scores: { shape: scoresShape(axes, partsOf(axes, attrs, inputs.words.dtype)), auxiliary: true },
    };
  },
  dispatches: ({ inputs, outputs, attrs, axes, environment }) => {
    const { words, frames, wordMask, frameMask, alpha, beta } = inputs, { A, B, L, T, D } = axes;
    const { wordLargest, wordBest, frameLargest, frameBest } = outputs;
    const ofParts = partsOf(axes, attrs, words.dtype).flatMap((part): Dispatch[] => {
      const { first, count } = part, scores = window(outputs.scores, [count * L, B * T]);
      const shared = { columns: B * T, first_row: first * L };
      const operands = { a: rowsOfPart(words, part), b: window(frames, [B * T, D]), out: scores };
      return [
        productDispatch(operands, { transposeB: true, environment }),
        flatDispatch("tokenInteraction.words", maximaSource, {
          tensors: {
            scores,
            word_mask: wordMask,
            frame_mask: frameMask,
            largest: wordLargest,
            best: wordBest,
          },
          params: {
            ...shared,
            length: T,
            inner: 1,
            row_step: 0,
            column_step: 1,
            first_out: first * L * B,
            out_stride: 0,
          },
          count: count * L * B,
          wgSize: WG_SIZE,
        }),
        flatDispatch("tokenInteraction.frames", maximaSource, {
          tensors: {
            scores,
            word_mask: wordMask,
            frame_mask: frameMask,
            largest: frameLargest,
            best: frameBest,
          },
          params: {
            ...shared,
            length: L,
            inner: B * T,
            row_step: 1,
            column_step: 0,
            first_out: first,
            out_stride: A,
          },
          count: count * B * T,
          wgSize: WG_SIZE,
        }),
      ];
    });
    return [
      ...ofParts,
      flatDispatch("tokenInteraction", scoresSource, {
        tensors: { alpha, beta, word_largest: wordLargest, frame_largest: frameLargest, out: outputs.out },
        params: { sentences: A, words: L, clips: B, frames: T },
        count: A * B,
        wgSize: WG_SIZE,
      }),
    ];
  },
  gradient: ({ g, inputs, outputs, attrs, grads, needs }) => {
    const flow = scale(g, grads.out, 0.5), back = transpose(g, flow); // [A B] [B A]
    const ofWords = { weight: inputs.alpha, mask: inputs.wordMask, best: outputs.wordBest };
    const ofFrames = { weight: inputs.beta, mask: inputs.frameMask, best: outputs.frameBest };
    const mix = (largest: Tensor, flows: Tensor) =>
      matmul(g, largest, reshape(g, flows, [...flows.shape, 1])); // [A L B] · [A B 1]
    return {
      words: needs("words")
        ? rowGradient(g, { flow, own: ofWords, others: inputs.frames, other: ofFrames }, attrs)
        : undefined,
      frames: needs("frames")
        ? rowGradient(g, { flow: back, own: ofFrames, others: inputs.words, other: ofWords }, attrs)
        : undefined,
      alpha: needs("alpha") ? reshape(g, mix(outputs.wordLargest, flow), inputs.alpha.shape) : undefined,
      beta: needs("beta") ? reshape(g, mix(outputs.frameLargest, back), inputs.beta.shape) : undefined,
    };
  },
  reference: (arrays, { inputs, attrs, axes, outputs }) => {
    const { A, B, L, T, D } = axes, { words, frames, wordMask, frameMask, alpha, beta } = arrays;
    const make = (name: string) => new Float64Array(sizeOf(outputs[name].shape));
    const [out, scores] = [make("out"), make("scores")];
    const [wordLargest, wordBest] = [make("wordLargest").fill(-Infinity), make("wordBest")];
    const [frameLargest, frameBest] = [make("frameLargest").fill(-Infinity), make("frameBest")];
    const raise = (largest: Float64Array, best: Float64Array, at: number, score: number, place: number) => {
      if (score > largest[at]) [largest[at], best[at]] = [score, place];
    };
    for (const { first, count } of partsOf(axes, attrs, inputs.words.dtype)) {
      for (let row = 0; row < count * L; row++) {
        const word = first * L + row, a = Math.floor(word / L), l = word % L;
        for (let frame = 0; frame < B * T; frame++) {
          let score = 0;
          for (let d = 0; d < D; d++) score += words[word * D + d] * frames[frame * D + d];
          scores[row * B * T + frame] = score;
          if (frameMask[frame] === 0) continue;
          score *= wordMask[word] * frameMask[frame];
          raise(wordLargest, wordBest, word * B + Math.floor(frame / T), score, frame % T);
          raise(frameLargest, frameBest, frame * A + a, score, l);
        }
      }
    }
    for (const largest of [wordLargest, frameLargest]) {
      for (let at = 0; at < largest.length; at++) if (largest[at] === -Infinity) largest[at] = 0;
    }
    for (let a = 0; a < A; a++) {
      for (let b = 0; b < B; b++) {
        for (let l = a * L; l < (a + 1) * L; l++) out[a * B + b] += 0.5 * alpha[l] * wordLargest[l * B + b];
        for (let t = b * T; t < (b + 1) * T; t++) out[a * B + b] += 0.5 * beta[t] * frameLargest[t * A + a];
      }
    }
    return { out, wordLargest, wordBest, frameLargest, frameBest, scores };
  },
  flops: ({ axes: { A, B, L, T, D } }) => 2 * A * L * B * T * D,
});

/** One side of the interaction: weights and masks of its rows `[A L]`, and which row of a pair's other side was best `[A L B]`. */
interface Side {
  weight: Tensor;
  mask: Tensor;
  best: Tensor;
}

/** Gradient of the rows of one side; `flow` `[A B]` is half of what flows into every pair. */
function rowGradient(
  g: Graph,
  sides: { flow: Tensor; own: Side; others: Tensor; other: Side },
  attrs: InParts,
): Tensor {
  const { flow, own, others, other } = sides;
  return recordOne(g, tokenInteractionDRowsOp, {
    flow,
    ...own,
    others,
    otherWeight: other.weight,
    otherMask: other.mask,
    otherBest: other.best,
  }, attrs);
}

const tokenInteractionDRowsOp = defineOp<InParts>({
  name: "tokenInteractionDRows",
  inputs: {
    flow: "A B",
    weight: "A L",
    mask: "A L",
    best: "A L B",
    others: "B T D",
    otherWeight: "B T",
    otherMask: "B T",
    otherBest: "B T A",
  },
  attrs: { scores: MIN_SCORES },
  outputs: ({ attrs, axes }) => ({
    out: { shape: [axes.A, axes.L, axes.D] },
    flows: { shape: scoresShape(axes, partsOf(axes, attrs)), auxiliary: true },
  }),
  dispatches: ({ inputs, outputs, attrs, axes, environment }) => {
    const { A, B, L, T, D } = axes, { flow, weight, mask, best, others } = inputs;
    return partsOf(axes, attrs).flatMap((part): Dispatch[] => {
      const { first, count } = part, flows = window(outputs.flows, [count * L, B * T]);
      const operands = { a: flows, b: window(others, [B * T, D]), out: rowsOfPart(outputs.out, part) };
      return [
        flatDispatch("tokenInteraction.flows", flowsSource, {
          tensors: {
            flow,
            weight,
            mask,
            best,
            other_weight: inputs.otherWeight,
            other_mask: inputs.otherMask,
            other_best: inputs.otherBest,
            out: flows,
          },
          params: { sentences: A, words: L, clips: B, frames: T, first_row: first * L },
          count: count * L * B * T,
          wgSize: WG_SIZE,
        }),
        productDispatch(operands, { environment }),
      ];
    });
  },
  gradient: "none",
  reference: (arrays, { attrs, axes, outputs }) => {
    const { B, L, T, D } = axes, out = new Float64Array(sizeOf(outputs.out.shape));
    const flows = new Float64Array(sizeOf(outputs.flows.shape));
    for (const { first, count } of partsOf(axes, attrs)) {
      for (let row = 0; row < count * L; row++) {
        for (let other = 0; other < B * T; other++) {
          const value = flowBetween(arrays, axes, first * L + row, other);
          flows[row * B * T + other] = value;
          for (let d = 0; d < D; d++) out[(first * L + row) * D + d] += value * arrays.others[other * D + d];
        }
      }
    }
    return { out, flows };
  },
  flops: ({ axes: { A, B, L, T, D } }) => 2 * A * L * B * T * D,
});

/** What flows between row `own` of `[A·L]` and row `other` of `[B·T]`. */
function flowBetween(arrays: Arrays, { A, B, L, T }: OpContext["axes"], own: number, other: number): number {
  const { flow, weight, mask, best, otherWeight, otherMask, otherBest } = arrays;
  const a = Math.floor(own / L), b = Math.floor(other / T);
  const value = (best[own * B + b] === other % T ? weight[own] : 0) +
    (otherBest[other * A + a] === own % L ? otherWeight[other] : 0);
  return value * flow[a * B + b] * mask[own] * otherMask[other];
}

/**
 * How well every sentence goes with every clip: each word looks for the frame that is most like it, and each frame for its word,
 * `S = m_l n_t ⟨word_l, frame_t⟩`, out `= (Σ_l alpha_l max_t S + Σ_t beta_t max_l S) / 2`. Among equals the first is the largest. Frames
 * with `n_t = 0` are left out of the maximum over frames, so that they change nothing; a maximum over none is 0.
 *
 * @param tokens.words `[A L D]`, each of length 1
 * @param tokens.frames `[B T D]`, each of length 1
 * @param tokens.wordMask `[A L]`: 1, or 0 for padding, whose scores are 0
 * @param tokens.frameMask `[B T]`: 1, or 0 for padding, which no word can choose
 * @param tokens.alpha weights of words `[A L]`
 * @param tokens.beta weights of frames `[B T]`
 * @returns `[A B]`
 */
export function tokenInteraction(
  g: Graph,
  tokens: {
    words: Tensor;
    frames: Tensor;
    wordMask: Tensor;
    frameMask: Tensor;
    alpha: Tensor;
    beta: Tensor;
  },
): Tensor {
  const scores = Math.min(MIN_SCORES, Math.floor(g.maxTensorBytes / DTYPE_BYTES.f32));
  return recordOne(g, tokenInteractionOp, { ...tokens }, { scores });
}
