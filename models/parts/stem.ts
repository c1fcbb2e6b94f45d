/** The patch stem of side networks: a 3-D convolution of the pixels, whose batch norm each network records itself. */

import { DTYPE_BYTES, type Graph, type Tensor } from "../../gpu/graph.ts";
import { concatRows, linear, reshape, sliceRows, unfold } from "../../gpu/ops/mod.ts";
import { type BatchNormWeights, declareBatchNorm, declareLinear, type LinearWeights } from "./declare.ts";
import type { Weights } from "../params.ts";

/** A 3-D patch convolution over time and space followed by a batch norm. */
export interface StemWeights {
  conv: LinearWeights;
  norm: BatchNormWeights;
}

/** Declares the stem: kernel (3, p, p), stride (1, p, p). @param options.channels Of its input; 3 by default. */
export function declareStem(
  weights: Weights,
  options: { sideDim: number; patchSize: number; conv: string; norm: string; channels?: number },
): StemWeights {
  const { sideDim, patchSize: p, channels = 3 } = options;
  return {
    conv: declareLinear(weights, options.conv, [sideDim, channels, 3, p, p]),
    norm: declareBatchNorm(weights, options.norm, sideDim),
  };
}

/**
 * Columns of the stem's patches in memory at once, at most, unless one clip alone has more. An adapter that allows less in
 * one piece sets the limit itself (`Graph.maxTensorBytes`).
 */
const MOST_COLUMN_BYTES = 2 ** 29;

/** How a stem reads its input. */
export interface StemOptions {
  T: number;
  patchSize: number;
  padding: number;
  /** Pictures of every frame, 1 by default. */
  window?: number;
  /** What the convolution sees of the pictures of some clips, [b*T c H W]; the pictures themselves by default. */
  prepare?: (pictures: Tensor) => Tensor;
}

/** Pictures of B clips [B*T*window 3 H W], clip-major, to the side network's first state [B T P D], before its batch norm. */
export function stemConv(g: Graph, pictures: Tensor, conv: LinearWeights, options: StemOptions): Tensor {
  const { T, patchSize: p, padding, window = 1, prepare } = options;
  const [D, channels, span] = conv.weight.shape, [H, W] = pictures.shape.slice(-2);
  const grid = (size: number) => Math.floor((size + 2 * padding - p) / p) + 1;
  const clipBytes = T * grid(H) * grid(W) * channels * span * p * p * DTYPE_BYTES[pictures.dtype];
  const rows = T * window, B = pictures.shape[0] / rows; // pictures of a clip, clips
  const most = Math.max(1, Math.floor(Math.min(MOST_COLUMN_BYTES, g.maxTensorBytes) / clipBytes));
  const parts: Tensor[] = [];
  for (let first = 0; first < B; first += most) {
    const count = Math.min(most, B - first);
    // The columns are many times the pictures and cheap to make again: they never wait for the backward pass.
    parts.push(g.region(`${conv.weight.label}/part.${first}`, () => {
      const part = count === B
        ? pictures
        : sliceRows(g, pictures, { start: first * rows, rows: count * rows });
      const columns = unfold(g, prepare ? prepare(part) : part, {
        frames: T,
        kernel: [span, p, p],
        stride: [1, p, p],
        padding: [(span - 1) / 2, padding, padding],
      }); // [b*T*P c*span*pp]
      return linear(g, columns, reshape(g, conv.weight, [D, -1]), { bias: conv.bias }); // [b*T*P D]
    }));
  }
  return reshape(g, concatRows(g, parts), [B, T, -1, D]); // [B T P D]
}
