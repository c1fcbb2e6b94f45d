/**
 * Multi-head attention of queries on packed keys and values, with an online softmax: no score matrix is stored.
 *
 * The kernels are text made by small generators, three families of variants (`attention_kernel.ts`). Gradients of q and kv overwrite;
 * rows of q without a query get gradient 0.
 */

import type { Dtype, Graph, Tensor } from "../graph.ts";
import {
  type Arrays,
  defineOp,
  type Dispatch,
  type KernelEnvironment,
  type OpContext,
  type Outputs,
  recordOne,
} from "../op.ts";
import { chosenKernel } from "../tuning/family.ts";
import { ATTENTION, type AttentionPass, type AttentionUse } from "./attention_kernel.ts";

type AttentionAttrs = { heads: number; queryStart: number; causal: boolean; dtype?: Dtype };

const DEFAULTS: AttentionAttrs = { heads: 1, queryStart: 0, causal: false };

/** Sizes of one use, checked. */
interface Sizes {
  B: number;
  Q: number;
  S: number;
  D: number;
  heads: number;
  headSize: number;
  skipped: number;
  /** Queries: rows of q that have one. */
  outputs: number;
  causal: boolean;
}

function sizesOf(
  { inputs, attrs, axes }: Pick<OpContext<AttentionAttrs>, "inputs" | "attrs" | "axes">,
): Sizes {
  const { B, Q, S, D, E } = axes;
  const heads = attrs.heads, skipped = attrs.queryStart;
  if (E !== 2 * D) {
    throw new RangeError(
      `Cannot record attention: the last axis of "kv" must be ${
        2 * D
      }, twice that of "q", current shape is [${inputs.kv.shape}]`,
    );
  }
  if (!Number.isInteger(D / heads)) {
    throw new RangeError(
      `Cannot record attention: heads must divide the width ${D}, current value is ${heads}`,
    );
  }
  if (!Number.isInteger(skipped) || skipped < 0 || skipped >= Q) {
    throw new RangeError(
      `Cannot record attention: queryStart must be an integer from 0 to ${
        Q - 1
      }, current value is ${skipped}`,
    );
  }
  return {
    B,
    Q,
    S,
    D,
    heads,
    headSize: D / heads,
    skipped,
    outputs: Q - skipped,
    causal: attrs.causal,
  };
}

/** A recorded use of one of the passes. */
type Use = Pick<OpContext<AttentionAttrs>, "inputs" | "attrs" | "axes"> & Outputs;

/** Tensors by the names of the kernels' bindings. */
function tensorsOf({ inputs, outputs }: Use): Record<string, Tensor> {
  const { out } = { ...inputs, ...outputs };
  return { ...inputs, ...outputs, ...(out && { result: out }) };
}

/** What the kernel family of a pass needs to know of one use. */
function useOf(pass: AttentionPass, use: Use): AttentionUse {
  const { B: batch, Q: queries, S: keys, heads, headSize, skipped, causal } = sizesOf(use);
  const tensors = tensorsOf(use);
  const types = Object.fromEntries(VECTORS[pass].map((name) => [name, tensors[name].dtype]));
  return { batch, queries, skipped, keys, heads, headSize, causal, types };
}

/** Bindings that hold rows, as f32 or f16. */
const VECTORS: Readonly<Record<AttentionPass, readonly string[]>> = {
  forward: ["q", "kv", "result"],
  backwardQuery: ["q", "kv", "result", "dout", "dq"],
  backwardKey: ["q", "kv", "dout", "dkv"],
};

/** The launch of a pass. */
function launch(pass: AttentionPass, use: Use & { environment: KernelEnvironment }): Dispatch {
  const spec = useOf(pass, use), tensors = tensorsOf(use);
  const kernel = chosenKernel(ATTENTION[pass], spec, use.environment);
  return {
    label: kernel.label,
    source: kernel.code,
    tensors: kernel.bindings.slice(1).map((name) => tensors[name]),
    params: kernel.params.buffer,
    grid: kernel.workgroups,
  };
}

/** Scores of one query: visits every key it sees. `i` counts queries, not rows of q. */
function eachScore(
  query: { arrays: Arrays; sizes: Sizes; at: { b: number; h: number; i: number } },
  visit: (j: number, score: number, key: number) => void,
): void {
  const { arrays: { q, kv }, sizes: { Q, S, D, headSize, skipped, causal }, at } = query;
  const row = skipped + at.i, start = (at.b * Q + row) * D + at.h * headSize;
  for (let j = 0; j < (causal ? Math.min(S, row + 1) : S); j++) {
    const key = (at.b * S + j) * 2 * D + at.h * headSize;
    let score = 0;
    for (let c = 0; c < headSize; c++) score += q[start + c] * kv[key + c];
    visit(j, score / Math.sqrt(headSize), key);
  }
}

/** Visits every query of every head, with its index among the statistics and its first element of out. */
function eachQuery(
  { B, D, heads, headSize, outputs }: Sizes,
  visit: (at: { b: number; h: number; i: number }, statistic: number, start: number) => void,
): void {
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < outputs; i++) {
        visit({ b, h, i }, (b * heads + h) * outputs + i, (b * outputs + i) * D + h * headSize);
      }
    }
  }
}

const attentionOp = defineOp({
  name: "attention",
  inputs: { q: "B Q D", kv: "B S E" },
  attrs: DEFAULTS,
  outputs: (context) => {
    const { B, outputs, D, heads } = sizesOf(context);
    return {
      out: { shape: [B, outputs, D], dtype: (context.attrs.dtype) ?? "f32" },
      lse: { shape: [B, heads, outputs], auxiliary: true },
    };
  },
  dispatches: (context) => [launch("forward", context)],
  gradient: ({ g, inputs: { q, kv }, outputs: { out, lse }, attrs, grads, needs }) => {
    const dout = grads.out;
    const { dq, delta } = g.record(attentionBackwardQueryOp, { q, kv, out, lse, dout }, attrs);
    return {
      q: needs("q") ? dq : undefined,
      kv: needs("kv") ? g.record(attentionBackwardKeyOp, { q, kv, lse, delta, dout }, attrs).dkv : undefined,
    };
  },
  reference: (arrays, context) => {
    const sizes = sizesOf(context), { D, headSize } = sizes;
    const out = new Float64Array(sizes.B * sizes.outputs * D);
    const lse = new Float64Array(sizes.B * sizes.heads * sizes.outputs);
    eachQuery(sizes, (at, statistic, start) => {
      let largest = -Infinity, total = 0;
      eachScore({ arrays, sizes, at }, (_, score) => largest = Math.max(largest, score));
      eachScore({ arrays, sizes, at }, (_, score) => total += Math.exp(score - largest));
      lse[statistic] = largest + Math.log(total);
      eachScore({ arrays, sizes, at }, (_, score, key) => {
        const weight = Math.exp(score - largest) / total;
        for (let c = 0; c < headSize; c++) out[start + c] += weight * arrays.kv[key + D + c];
      });
    });
    return { out, lse };
  },
  flops: (context) => 4 * context.axes.B * sizesOf(context).outputs * context.axes.S * context.axes.D,
});

const attentionBackwardQueryOp = defineOp({
  name: "attentionBackwardQuery",
  inputs: { q: "B Q D", kv: "B S E", out: "B O D", lse: "B h O", dout: "B O D" },
  attrs: DEFAULTS,
  outputs: ({ inputs }) => ({ dq: { shape: inputs.q.shape }, delta: { shape: inputs.lse.shape } }),
  dispatches: (context) => [launch("backwardQuery", context)],
  gradient: "none",
  reference: (arrays, context) => {
    const sizes = sizesOf(context), { Q, D, headSize, skipped } = sizes;
    const { kv, out, lse, dout } = arrays;
    const dq = new Float64Array(sizes.B * Q * D), delta = new Float64Array(lse.length);
    eachQuery(sizes, (at, statistic, start) => {
      const query = (at.b * Q + skipped + at.i) * D + at.h * headSize;
      for (let c = 0; c < headSize; c++) delta[statistic] += dout[start + c] * out[start + c];
      eachScore({ arrays, sizes, at }, (_, score, key) => {
        let flow = -delta[statistic];
        for (let c = 0; c < headSize; c++) flow += dout[start + c] * kv[key + D + c];
        flow *= Math.exp(score - lse[statistic]) / Math.sqrt(headSize);
        for (let c = 0; c < headSize; c++) dq[query + c] += flow * kv[key + c];
      });
    });
    return { dq, delta };
  },
  flops: (context) => 6 * context.axes.B * context.axes.Q * context.axes.S * context.axes.D,
});

const attentionBackwardKeyOp = defineOp({
  name: "attentionBackwardKey",
  inputs: { q: "B Q D", kv: "B S E", lse: "B h O", delta: "B h O", dout: "B O D" },
  attrs: DEFAULTS,
  outputs: ({ inputs }) => ({ dkv: { shape: inputs.kv.shape } }),
  dispatches: (context) => [launch("backwardKey", context)],
  gradient: "none",
  reference: (arrays, context) => {
    const sizes = sizesOf(context), { Q, D, headSize, skipped } = sizes;
    const { q, kv, lse, delta, dout } = arrays;
    const dkv = new Float64Array(kv.length);
    eachQuery(sizes, (at, statistic, start) => {
      const query = (at.b * Q + skipped + at.i) * D + at.h * headSize;
      eachScore({ arrays, sizes, at }, (_, score, key) => {
        const weight = Math.exp(score - lse[statistic]);
        let flow = -delta[statistic];
        for (let c = 0; c < headSize; c++) flow += dout[start + c] * kv[key + D + c];
        flow *= weight / Math.sqrt(headSize);
        for (let c = 0; c < headSize; c++) {
          dkv[key + c] += flow * q[query + c];
          dkv[key + D + c] += weight * dout[start + c];
        }
      });
    });
    return { dkv };
  },
  flops: (context) => 8 * context.axes.B * sizesOf(context).outputs * context.axes.S * context.axes.D,
});

/**
 * softmax(q · keysᵀ / sqrt(head size)) · values, for every head.
 *
 * @param q `[B Q D]`; head h has columns h · D/heads and up.
 * @param kv `[B S 2D]`: keys in the first D columns, values in the last D.
 * @param options.queryStart Rows of q that have no query (a class token that only serves as a key). Default 0.
 * @param options.causal Row i of q sees only keys 0 to i. Default false.
 * @param options.dtype Storage type of the result.
 * @returns `[B Q-queryStart D]`.
 */
export function attention(
  g: Graph,
  q: Tensor,
  kv: Tensor,
  options: { heads: number; queryStart?: number; causal?: boolean; dtype?: Dtype },
): Tensor {
  const { heads, queryStart = 0, causal = false, dtype = "f32" } = options;
  return recordOne(g, attentionOp, { q, kv }, { heads, queryStart, causal, dtype });
}
