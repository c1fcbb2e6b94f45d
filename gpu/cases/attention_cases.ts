import type { CaseTable } from "./op_case.ts";

const large = (_: number, normal: () => number) => 12 * normal();
// Log-sum-exps a little above the largest score, as those of a softmax over many keys are.
const above = (_: number, normal: () => number) => 3 + Math.abs(normal());

export const cases: CaseTable = {
  attention: [
    { name: "one query, one key, head size 1", inputs: { q: [1, 1, 1], kv: [1, 1, 2] }, attrs: { heads: 1 } },
    {
      name: "head size 4, fewer queries than lanes",
      inputs: { q: [2, 5, 12], kv: [2, 7, 24] },
      attrs: { heads: 3 },
    },
    { name: "one query on a few keys", inputs: { q: [3, 1, 16], kv: [3, 5, 32] }, attrs: { heads: 2 } },
    {
      name: "head size 3, not a multiple of 4",
      inputs: { q: [2, 9, 6], kv: [2, 11, 12] },
      attrs: { heads: 2 },
    },
    { name: "more queries than one tile", inputs: { q: [1, 67, 8], kv: [1, 37, 16] }, attrs: { heads: 1 } },
    { name: "more keys than one tile", inputs: { q: [1, 16, 8], kv: [1, 67, 16] }, attrs: { heads: 1 } },
    {
      name: "one frame of ViT-B/16, two heads",
      inputs: { q: [1, 197, 128], kv: [1, 197, 256] },
      attrs: { heads: 2 },
      constant: ["q", "kv"],
    },
    {
      name: "one frame of ViT-E/14, one head of 112",
      inputs: { q: [1, 257, 112], kv: [1, 257, 224] },
      attrs: { heads: 1 },
      constant: ["q", "kv"],
    },
    {
      name: "the first row of q has no query",
      inputs: { q: [2, 17, 8], kv: [2, 17, 16] },
      attrs: { heads: 2, queryStart: 1 },
    },
    { name: "causal", inputs: { q: [2, 19, 8], kv: [2, 19, 16] }, attrs: { heads: 2, causal: true } },
    {
      name: "causal over several tiles",
      inputs: { q: [1, 77, 4], kv: [1, 77, 8] },
      attrs: { heads: 1, causal: true },
    },
    {
      name: "causal with rows without a query, fewer keys than queries",
      inputs: { q: [1, 41, 4], kv: [1, 35, 8] },
      attrs: { heads: 1, causal: true, queryStart: 2 },
    },
    {
      name: "scores of several hundred",
      inputs: { q: [1, 9, 16], kv: [1, 33, 32] },
      attrs: { heads: 1 },
      values: { q: large, kv: large },
      constant: ["q", "kv"],
      tolerance: 2e-4,
    },
    {
      name: "scores that leave few weights",
      inputs: { q: [1, 9, 16], kv: [1, 33, 32] },
      attrs: { heads: 1 },
      values: { q: (_, normal) => 6 * normal() },
    },
    {
      name: "f16 in and out",
      inputs: { q: [2, 13, 16], kv: [2, 18, 32] },
      dtypes: { q: "f16", kv: "f16" },
      attrs: { heads: 2, dtype: "f16" },
    },
    {
      name: "f16 in and out, head size 3",
      inputs: { q: [1, 5, 6], kv: [1, 6, 12] },
      dtypes: { q: "f16", kv: "f16" },
      attrs: { heads: 2, dtype: "f16" },
    },
    {
      name: "f16 queries are constants",
      inputs: { q: [1, 9, 8], kv: [1, 9, 16] },
      dtypes: { q: "f16" },
      attrs: { heads: 2 },
    },
    {
      name: "head size 20",
      inputs: { q: [1, 9, 20], kv: [1, 17, 40] },
      attrs: { heads: 1 },
    },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: { q: [16, 197, 320], kv: [16, 197, 640] },
      attrs: { heads: 5, queryStart: 1 },
    },
  ],
  attentionBackwardQuery: [
    {
      name: "rows without a query, several heads",
      inputs: { q: [2, 10, 8], kv: [2, 11, 16], out: [2, 9, 8], lse: [2, 2, 9], dout: [2, 9, 8] },
      values: { lse: above },
      attrs: { heads: 2, queryStart: 1 },
    },
    {
      name: "head size 64",
      inputs: { q: [1, 33, 64], kv: [1, 9, 128], out: [1, 33, 64], lse: [1, 1, 33], dout: [1, 33, 64] },
      values: { lse: above },
    },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: {
        q: [16, 197, 320],
        kv: [16, 197, 640],
        out: [16, 196, 320],
        lse: [16, 5, 196],
        dout: [16, 196, 320],
      },
      attrs: { heads: 5, queryStart: 1 },
      values: { lse: above },
    },
  ],
  attentionBackwardKey: [
    {
      name: "rows without a query, several heads",
      inputs: { q: [2, 10, 8], kv: [2, 11, 16], lse: [2, 2, 9], delta: [2, 2, 9], dout: [2, 9, 8] },
      values: { lse: above },
      attrs: { heads: 2, queryStart: 1 },
    },
    {
      name: "head size 64",
      inputs: { q: [1, 9, 64], kv: [1, 33, 128], lse: [1, 1, 9], delta: [1, 1, 9], dout: [1, 9, 64] },
      values: { lse: above },
    },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: {
        q: [16, 197, 320],
        kv: [16, 197, 640],
        lse: [16, 5, 196],
        delta: [16, 5, 196],
        dout: [16, 196, 320],
      },
      attrs: { heads: 5, queryStart: 1 },
      values: { lse: above },
    },
  ],
};
