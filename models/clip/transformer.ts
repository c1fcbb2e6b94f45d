/**
 * The residual block of CLIP's towers (Radford et al. 2021, arXiv 2103.00020; spec side4video §1.1): the image tower and the
 * text tower are made of it.
 */

import type { Dtype, Graph, Tensor } from "../../gpu/graph.ts";
import { attention, layerNorm, linear, sliceRows } from "../../gpu/ops/mod.ts";
import { constant, normal, type Weights } from "../params.ts";

/** What an MLP computes between its layers: OpenAI's `x sigmoid(1.702 x)`, or the exact GELU of most of open_clip's towers. */
export type Activation = "quick_gelu" | "gelu";

/** Weights of one block. */
export interface BlockWeights {
  ln1: NormWeights;
  inWeight: Tensor;
  inBias: Tensor;
  outWeight: Tensor;
  outBias: Tensor;
  ln2: NormWeights;
  fcWeight: Tensor;
  fcBias: Tensor;
  projWeight: Tensor;
  projBias: Tensor;
}

/** Scale and shift of a norm. */
export interface NormWeights {
  weight: Tensor;
  bias: Tensor;
}

/** Declares a layer norm of a tower. */
export function frozenNorm(weights: Weights, prefix: string, width: number): NormWeights {
  return {
    weight: weights.frozen(`${prefix}.weight`, [width], constant(1)),
    bias: weights.frozen(`${prefix}.bias`, [width], constant(0)),
  };
}

/** Declares one block under CLIP's names, with CLIP's own initial values for a run without a checkpoint. */
export function declareBlock(
  weights: Weights,
  prefix: string,
  options: { width: number; layers: number },
): BlockWeights {
  const { width, layers } = options;
  const residualDeviation = width ** -0.5 * (2 * layers) ** -0.5;
  return {
    ln1: frozenNorm(weights, `${prefix}.ln_1`, width),
    inWeight: weights.frozen(`${prefix}.attn.in_proj_weight`, [3 * width, width], normal(width ** -0.5)),
    inBias: weights.frozen(`${prefix}.attn.in_proj_bias`, [3 * width], constant(0)),
    outWeight: weights.frozen(`${prefix}.attn.out_proj.weight`, [width, width], normal(residualDeviation)),
    outBias: weights.frozen(`${prefix}.attn.out_proj.bias`, [width], constant(0)),
    ln2: frozenNorm(weights, `${prefix}.ln_2`, width),
    fcWeight: weights.frozen(`${prefix}.mlp.c_fc.weight`, [4 * width, width], normal((2 * width) ** -0.5)),
    fcBias: weights.frozen(`${prefix}.mlp.c_fc.bias`, [4 * width], constant(0)),
    projWeight: weights.frozen(`${prefix}.mlp.c_proj.weight`, [width, 4 * width], normal(residualDeviation)),
    projBias: weights.frozen(`${prefix}.mlp.c_proj.bias`, [width], constant(0)),
  };
}

/** Records block `name` of a tower. Where it is trained, its values may be recomputed in the backward pass instead of kept. */
export function towerBlock<R>(g: Graph, name: string, trained: boolean, body: () => R): R {
  return g.scope(name, () => trained ? g.region(name, body) : body());
}

/** z ← z + MHA(LN z); z ← z + MLP(LN z). z: [F N C]. */
export function block(
  g: Graph,
  z: Tensor,
  w: BlockWeights,
  options: { heads: number; causal?: boolean; activation?: Activation; dtype: Dtype },
): Tensor {
  const { heads, causal, dtype } = options;
  const activation = options.activation === "gelu" ? "gelu" : "quickGelu";
  const width = z.shape[2];
  const h = layerNorm(g, z, { ...w.ln1, dtype }); // [F N C]
  const q = linear(g, h, sliceRows(g, w.inWeight, { start: 0, rows: width }), {
    bias: sliceRows(g, w.inBias, { start: 0, rows: width }),
    dtype,
  }); // [F N C]
  const kv = linear(g, h, sliceRows(g, w.inWeight, { start: width, rows: 2 * width }), {
    bias: sliceRows(g, w.inBias, { start: width, rows: 2 * width }),
    dtype,
  }); // [F N 2C]
  const a = attention(g, q, kv, { heads, causal, dtype }); // [F N C]
  const y = linear(g, a, w.outWeight, { bias: w.outBias, residual: z, dtype }); // [F N C]
  const n = layerNorm(g, y, { ...w.ln2, dtype }); // [F N C]
  const u = linear(g, n, w.fcWeight, { bias: w.fcBias, activation, dtype }); // [F N 4C]
  return linear(g, u, w.projWeight, { bias: w.projBias, residual: y, dtype }); // [F N C]
}
