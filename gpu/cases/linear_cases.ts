import type { CaseTable } from "./op_case.ts";

const nt = { transposeB: true };

export const cases: CaseTable = {
  matmul: [
    { name: "one number", inputs: { a: [1, 1], b: [1, 1] } },
    { name: "primes, no transpose", inputs: { a: [7, 13], b: [13, 5] } },
    {
      name: "primes, B transposed, bias and residual",
      inputs: { a: [7, 13], b: [5, 13], bias: [5], residual: [7, 5] },
      attrs: nt,
    },
    { name: "one past a tile", inputs: { a: [65, 33], b: [129, 33], bias: [129] }, attrs: nt },
    {
      name: "multiples of a tile",
      inputs: { a: [64, 64], b: [64, 64], bias: [64], residual: [64, 64] },
      attrs: nt,
    },
    { name: "batched", inputs: { a: [3, 17, 9], b: [3, 9, 11] } },
    { name: "batched, B transposed", inputs: { a: [3, 17, 8], b: [3, 11, 8] }, attrs: nt },
    {
      name: "A transposed",
      inputs: { a: [19, 7], b: [19, 6] },
      attrs: { transposeA: true },
      constant: ["a", "b"],
    },
    {
      name: "split sum that does not divide",
      inputs: { a: [41, 5], b: [41, 6] },
      attrs: { transposeA: true, splitK: 3 },
      constant: ["a", "b"],
    },
    {
      name: "fused quickGelu",
      inputs: { a: [9, 12], b: [10, 12], bias: [10] },
      attrs: { ...nt, activation: "quickGelu" },
      constant: ["a", "b", "bias"],
    },
    {
      name: "fused relu",
      inputs: { a: [9, 12], b: [10, 12], bias: [10] },
      attrs: { ...nt, activation: "relu" },
      constant: ["a", "b", "bias"],
    },
    {
      name: "fused gelu and residual",
      inputs: { a: [9, 12], b: [10, 12], bias: [10], residual: [9, 10] },
      attrs: { ...nt, activation: "gelu" },
      constant: ["a", "b", "bias", "residual"],
    },
    {
      name: "gelu with what it is applied to",
      inputs: { a: [9, 12], b: [10, 12], bias: [10] },
      attrs: { ...nt, activation: "gelu", keepsPreactivation: true },
      constant: ["a", "b", "bias"],
    },
    {
      name: "gradient of gelu",
      inputs: { a: [9, 12], b: [12, 10], preactivation: [9, 10] },
      attrs: { activation: "gelu" },
      constant: ["a", "b", "preactivation"],
    },
    {
      name: "A transposed, with its sums",
      inputs: { a: [19, 7], b: [19, 6] },
      attrs: { transposeA: true, sumsRows: true },
      constant: ["a", "b"],
    },
    {
      name: "split sum, with sums of A",
      inputs: { a: [41, 8], b: [41, 12] },
      attrs: { transposeA: true, splitK: 3, sumsRows: true },
      constant: ["a", "b"],
    },
    {
      name: "f16 weights and activations",
      inputs: { a: [33, 24], b: [40, 24], bias: [40] },
      attrs: { ...nt, dtype: "f16" },
      dtypes: { a: "f16", b: "f16" },
      constant: ["a", "b", "bias"],
    },
    {
      name: "f16 weights, f32 out",
      inputs: { a: [33, 24], b: [40, 24] },
      attrs: nt,
      dtypes: { a: "f16", b: "f16" },
      constant: ["a", "b"],
    },
    { name: "long rows", inputs: { a: [2500, 3], b: [4, 3], bias: [4] }, attrs: nt },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: { a: [3136, 320], b: [320, 320], bias: [320], residual: [3136, 320] },
      attrs: { transposeB: true },
    },
  ],
  joinWindows: [
    {
      name: "two windows",
      inputs: { x0: [3, 5], x1: [2, 5] },
      attrs: { shape: [5, 5], offsets: [0, 15] },
      constant: ["x0", "x1"],
    },
    {
      name: "two windows among zeros",
      inputs: { x0: [3, 5], x1: [1, 5] },
      attrs: { shape: [7, 5], offsets: [5, 25] },
      constant: ["x0", "x1"],
    },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: { x0: [1568, 320], x1: [1568, 320] },
      attrs: { shape: [3136, 320], offsets: [0, 501760] },
    },
  ],
  sliceRowsCopy: [
    { name: "inner rows", inputs: { x: [5, 3] }, attrs: { shape: [5, 1], offset: 5 }, gradient: "none" },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: { x: [3136, 320] },
      attrs: { shape: [1568, 320], offset: 320 },
      gradient: "none",
    },
  ],
};
