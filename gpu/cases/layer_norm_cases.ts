import type { CaseTable } from "./op_case.ts";

const positive = (_: number, normal: () => number) => 0.5 + Math.abs(normal());

export const cases: CaseTable = {
  layerNorm: [
    { name: "one element", inputs: { x: [1, 1], weight: [1], bias: [1] } },
    { name: "one row, C is a prime", inputs: { x: [1, 131], weight: [131], bias: [131] } },
    {
      name: "C is a multiple of 4, one row past a workgroup",
      inputs: { x: [9, 68], weight: [68], bias: [68] },
    },
    {
      name: "leading axes fold",
      inputs: { x: [2, 3, 5, 20], weight: [20], bias: [20] },
      attrs: { eps: 1e-6 },
    },
    {
      name: "a large mean beside a small spread",
      inputs: { x: [5, 64], weight: [64], bias: [64] },
      values: { x: (_, normal) => 300 + normal() },
      tolerance: 2e-4,
    },
    {
      name: "constant rows: variance 0",
      inputs: { x: [4, 12], weight: [12], bias: [12] },
      values: { x: (i) => Math.floor(i / 12) },
      constant: ["x"],
    },
    { name: "rows past one chunk", inputs: { x: [197, 36], weight: [36], bias: [36] } },
    { name: "f16 in", inputs: { x: [7, 36], weight: [36], bias: [36] }, dtypes: { x: "f16" } },
    {
      name: "f16 in and out, C is odd",
      inputs: { x: [3, 33], weight: [33], bias: [33] },
      dtypes: { x: "f16" },
      attrs: { dtype: "f16" },
    },
    {
      name: "f16 weights",
      inputs: { x: [3, 32], weight: [32], bias: [32] },
      dtypes: { x: "f16", weight: "f16", bias: "f16" },
      attrs: { dtype: "f16" },
    },
    { name: "16 frames of ViT-B/16", bench: true, inputs: { x: [3152, 768], weight: [768], bias: [768] } },
  ],
  layerNormBackward: [
    {
      name: "C is a prime",
      inputs: { x: [3, 131], weight: [131], mean: [3], rstd: [3], dout: [3, 131] },
      values: { rstd: positive },
    },
    {
      name: "C is a prime, added to what else flows there",
      inputs: { x: [3, 131], weight: [131], mean: [3], rstd: [3], dout: [3, 131], residual: [3, 131] },
      values: { rstd: positive },
    },
    {
      name: "C is a multiple of 4, added to what else flows there",
      inputs: { x: [17, 36], weight: [36], mean: [17], rstd: [17], dout: [17, 36], residual: [17, 36] },
      values: { rstd: positive },
    },
    {
      name: "C is a multiple of 4, rows past a workgroup",
      inputs: { x: [17, 36], weight: [36], mean: [17], rstd: [17], dout: [17, 36] },
      values: { rstd: positive },
    },
    {
      name: "16 frames of ViT-B/16",
      bench: true,
      inputs: { x: [3152, 768], weight: [768], mean: [3152], rstd: [3152], dout: [3152, 768] },
      values: { rstd: positive },
    },
  ],
  layerNormBackwardWeight: [
    {
      name: "one row",
      inputs: { x: [1, 65], mean: [1], rstd: [1], dout: [1, 65] },
      values: { rstd: positive },
    },
    {
      name: "several chunks, the last one short",
      inputs: { x: [67, 5], mean: [67], rstd: [67], dout: [67, 5] },
      values: { rstd: positive },
    },
    {
      name: "16 frames of ViT-B/16",
      bench: true,
      inputs: { x: [3152, 768], mean: [3152], rstd: [3152], dout: [3152, 768] },
      values: { rstd: positive },
    },
  ],
};
