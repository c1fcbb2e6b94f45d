/** What attention's kernels are told of one use. */

import type { Dtype } from "../graph.ts";

/** Queries' results; the gradient of queries; that of keys and values. */
export type AttentionPass = "forward" | "backwardQuery" | "backwardKey";

/** One use: all that a kernel's text, grid and speed depend on. */
export interface AttentionUse {
  readonly batch: number;
  /** Rows of q, and how many of the first have no query. */
  readonly queries: number;
  readonly skipped: number;
  readonly keys: number;
  readonly heads: number;
  readonly headSize: number;
  readonly causal: boolean;
  /** Storage types by binding, of those that may be halves. */
  readonly types: Readonly<Record<string, Dtype>>;
}

/** Labels, and names of bindings in order; statistics (lse, delta) are f32. */
export const BINDINGS: Readonly<
  Record<AttentionPass, { readonly label: string; readonly bindings: readonly string[] }>
> = {
  forward: { label: "attention", bindings: ["params", "q", "kv", "result", "lse"] },
  backwardQuery: {
    label: "attention.backwardQuery",
    bindings: ["params", "q", "kv", "result", "dout", "dq", "lse", "delta"],
  },
  backwardKey: {
    label: "attention.backwardKey",
    bindings: ["params", "q", "kv", "dout", "dkv", "lse", "delta"],
  },
};

/** Rows that workgroups of a pass own, and those they stream. */
export function ownRowsOf(pass: AttentionPass, { queries, skipped, keys }: AttentionUse): number {
  return pass === "forward" ? queries - skipped : pass === "backwardQuery" ? queries : keys;
}

/** Rows of the other side. */
export function streamedRowsOf(pass: AttentionPass, { queries, skipped, keys }: AttentionUse): number {
  return pass === "backwardKey" ? queries - skipped : keys;
}

/** The bits of the factor on scores. */
export function scaleBits({ headSize }: Pick<AttentionUse, "headSize">): number {
  return new Uint32Array(new Float32Array([1 / Math.sqrt(headSize)]).buffer)[0];
}
