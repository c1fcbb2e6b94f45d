/**
 * The residual block of EVA-CLIP's image towers (Fang et al. 2023, arXiv 2303.11331; Sun et al. 2023, arXiv 2303.15389; spec
 * side4video §1.3, §1.4), frozen. Its options are independent of each other: norms before or after the branches, layer
 * norms inside them, a GELU or a SwiGLU MLP, rotary positions.
 *
 * The residual stream is f32 whatever the storage type of activations, as in the original's mixed precision: a post-norm
 * stream is never normalised, and f16 would lose what 128 branches add to it.
 */

import type { Dtype, Graph, Tensor } from "../../gpu/graph.ts";
import {
  add,
  attention,
  cast,
  concatRows,
  layerNorm,
  linear,
  pad,
  rope,
  siluMultiply,
  sliceRows,
} from "../../gpu/ops/mod.ts";
import { frozenNorm, type NormWeights } from "../clip/transformer.ts";
import { constant, normal, type Weights } from "../params.ts";
import { patchesOf, type TowerSizes } from "../tower.ts";

/** Sizes and options of an EVA image tower. */
export interface EvaConfig extends TowerSizes {
  /** Hidden channels of the MLP. */
  hidden: number;
  /** Where the two norms of a block stand: on a branch's input, or on its result. */
  norm: "pre" | "post";
  /** Layer norms inside the attention and the MLP; queries, keys and values then have a matrix each. */
  subNorm: boolean;
  mlp: "gelu" | "swiglu";
  /** Rotary positions on queries and keys: the distance of the grid's ends. null: none. */
  ropeSpan: number | null;
}

/** Added to the variance of every layer norm of the tower. */
export const EPS = 1e-6;

/** A frozen linear layer. */
interface FrozenLinear {
  weight: Tensor;
  bias: Tensor;
}

/** Weights of a block. */
export interface EvaBlockWeights {
  norm1: NormWeights;
  /** One matrix for queries, keys and values, or three. */
  projections: { qkv: Tensor } | { q: Tensor; k: Tensor; v: Tensor };
  qBias: Tensor;
  vBias: Tensor;
  /** On the attention's result. */
  attentionNorm?: NormWeights;
  out: FrozenLinear;
  norm2: NormWeights;
  /** The MLP's first layer: the gate when there is one. */
  fc1: FrozenLinear;
  /** What the gate multiplies (SwiGLU). */
  fc1Gated?: FrozenLinear;
  /** On the hidden channels. */
  hiddenNorm?: NormWeights;
  fc2: FrozenLinear;
}

/** The residual stream: exact, and as the matrix products and a side network read it. */
export interface EvaStream {
  /** [F N C] in f32. */
  exact: Tensor;
  /** [F N C] in the storage type of activations. */
  stored: Tensor;
}

/** The stream at a value. */
export function streamOf(g: Graph, exact: Tensor, dtype: Dtype): EvaStream {
  return { exact, stored: cast(g, exact, dtype) };
}

/** Declares frozen block `i` under EVA-CLIP's names, with its own initial values for a run without a checkpoint. */
export function declareEvaBlock(weights: Weights, i: number, config: EvaConfig): EvaBlockWeights {
  const { width: C, hidden, subNorm, mlp } = config;
  const prefix = `visual.blocks.${i}`;
  const matrix = (name: string, shape: readonly number[], deviation = 0.02) =>
    weights.frozen(`${prefix}.${name}`, shape, normal(deviation));
  const vector = (name: string, size: number) => weights.frozen(`${prefix}.${name}`, [size], constant(0));
  const layer = (name: string, shape: readonly number[], deviation?: number): FrozenLinear => ({
    weight: matrix(`${name}.weight`, shape, deviation),
    bias: vector(`${name}.bias`, shape[0]),
  });
  const norm = (name: string, width: number) => frozenNorm(weights, `${prefix}.${name}`, width);
  // What goes into the stream is smaller, the deeper its block.
  const residualDeviation = 0.02 * (2 * (i + 1)) ** -0.5;
  const gated = mlp === "swiglu";
  return {
    norm1: norm("norm1", C),
    qBias: vector("attn.q_bias", C),
    vBias: vector("attn.v_bias", C),
    projections: subNorm
      ? {
        q: matrix("attn.q_proj.weight", [C, C]),
        k: matrix("attn.k_proj.weight", [C, C]),
        v: matrix("attn.v_proj.weight", [C, C]),
      }
      : { qkv: matrix("attn.qkv.weight", [3 * C, C]) },
    attentionNorm: subNorm ? norm("attn.inner_attn_ln", C) : undefined,
    out: layer("attn.proj", [C, C], residualDeviation),
    norm2: norm("norm2", C),
    fc1: layer(gated ? "mlp.w1" : "mlp.fc1", [hidden, C]),
    fc1Gated: gated ? layer("mlp.w2", [hidden, C]) : undefined,
    hiddenNorm: subNorm ? norm("mlp.ffn_ln", hidden) : undefined,
    fc2: layer(gated ? "mlp.w3" : "mlp.fc2", [C, hidden], residualDeviation),
  };
}

/** Pre-norm: z ← z + branch(LN z); post-norm: z ← z + LN(branch z); the attention branch, then the MLP. */
export function evaBlock(
  g: Graph,
  z: EvaStream,
  w: EvaBlockWeights,
  options: { config: EvaConfig; dtype: Dtype },
): EvaStream {
  const { config, dtype } = options;
  const branches = [
    { norm: w.norm1, last: w.out, body: (h: Tensor) => attentionBranch(g, h, w, options) },
    { norm: w.norm2, last: w.fc2, body: (h: Tensor) => mlpBranch(g, h, w, options) },
  ];
  for (const { norm, last, body } of branches) {
    if (config.norm === "pre") {
      const h = layerNorm(g, z.exact, { ...norm, eps: EPS, dtype }); // [F N C]
      z = streamOf(g, linear(g, body(h), last.weight, { bias: last.bias, residual: z.exact }), dtype);
    } else {
      const y = linear(g, body(z.stored), last.weight, { bias: last.bias, dtype }); // [F N C]
      z = streamOf(g, add(g, z.exact, layerNorm(g, y, { ...norm, eps: EPS })), dtype);
    }
  }
  return z;
}

/** The attention without its output projection: [F N C] to [F N C]. */
function attentionBranch(
  g: Graph,
  h: Tensor,
  w: EvaBlockWeights,
  options: { config: EvaConfig; dtype: Dtype },
): Tensor {
  const { config: { width: C, heads, ropeSpan }, config, dtype } = options;
  const { q: qWeight, kv: kvWeight } = "qkv" in w.projections
    ? {
      q: sliceRows(g, w.projections.qkv, { start: 0, rows: C }),
      kv: sliceRows(g, w.projections.qkv, { start: C, rows: 2 * C }),
    }
    : { q: w.projections.q, kv: concatRows(g, [w.projections.k, w.projections.v]) };
  const kvBias = pad(g, w.vBias, { axis: 0, before: C }); // [2C]: keys have no bias
  let q = linear(g, h, qWeight, { bias: w.qBias, dtype }); // [F N C]
  let kv = linear(g, h, kvWeight, { bias: kvBias, dtype }); // [F N 2C]
  if (ropeSpan !== null) {
    const turn = { heads, columns: C, grid: Math.sqrt(patchesOf(config)), span: ropeSpan };
    q = rope(g, q, turn); // [F N C]
    kv = rope(g, kv, turn); // [F N 2C]
  }
  const a = attention(g, q, kv, { heads, dtype }); // [F N C]
  const n = w.attentionNorm;
  return n ? layerNorm(g, a, { ...n, eps: EPS, dtype }) : a;
}

/** The MLP without its last layer: [F N C] to [F N hidden]. */
function mlpBranch(g: Graph, h: Tensor, w: EvaBlockWeights, options: { dtype: Dtype }): Tensor {
  const { dtype } = options;
  const { weight, bias } = w.fc1;
  const u = w.fc1Gated
    ? siluMultiply(
      g,
      linear(g, h, weight, { bias, dtype }),
      linear(g, h, w.fc1Gated.weight, { bias: w.fc1Gated.bias, dtype }),
    )
    : linear(g, h, weight, { bias, activation: "gelu", dtype }); // [F N hidden]
  const n = w.hiddenNorm;
  return n ? layerNorm(g, u, { ...n, eps: EPS, dtype }) : u;
}
