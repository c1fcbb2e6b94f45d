import type { CaseTable } from "./op_case.ts";

const positive = (_: number, normal: () => number) => 0.5 + Math.abs(normal());

export const cases: CaseTable = {
  batchNormTrain: [
    { name: "one row: variance 0", inputs: { x: [1, 5], weight: [5], bias: [5] }, constant: ["x"] },
    { name: "one column", inputs: { x: [37, 1], weight: [1], bias: [1] } },
    { name: "several chunks, one past a column group", inputs: { x: [71, 65], weight: [65], bias: [65] } },
    {
      name: "leading axes fold",
      inputs: { x: [2, 3, 5, 12], weight: [12], bias: [12] },
      attrs: { eps: 1e-3 },
    },
    {
      name: "a large mean beside a small spread",
      inputs: { x: [97, 3], weight: [3], bias: [3] },
      values: { x: (_, normal) => 300 + normal() },
      tolerance: 2e-4,
    },
    {
      name: "constant columns",
      inputs: { x: [33, 7], weight: [7], bias: [7] },
      values: { x: (i) => i % 7 },
      constant: ["x"],
    },
    { name: "more rows than chunks of the least size", inputs: { x: [8237, 2], weight: [2], bias: [2] } },
    {
      name: "f16 in and out",
      inputs: { x: [67, 9], weight: [9], bias: [9] },
      dtypes: { x: "f16" },
      attrs: { dtype: "f16" },
    },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: { x: [3136, 320], weight: [320], bias: [320] },
    },
  ],
  batchNormEval: [
    {
      name: "running statistics away from 0 and 1",
      inputs: { x: [35, 67], weight: [67], bias: [67], runningMean: [67], runningVar: [67] },
      values: { runningVar: positive, runningMean: (_, normal) => 2 + normal() },
      constant: ["runningMean", "runningVar"],
    },
    {
      name: "one row, f16 in and out",
      inputs: { x: [1, 3], weight: [3], bias: [3], runningMean: [3], runningVar: [3] },
      values: { runningVar: positive },
      dtypes: { x: "f16" },
      attrs: { dtype: "f16" },
      constant: ["runningMean", "runningVar"],
    },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: { x: [3136, 320], weight: [320], bias: [320], runningMean: [320], runningVar: [320] },
      values: { runningVar: positive },
      constant: ["runningMean", "runningVar"],
    },
  ],
  batchNormBackward: [
    {
      name: "batch statistics, several chunks",
      inputs: { x: [67, 5], weight: [5], mean: [5], variance: [5], dout: [67, 5] },
      values: { variance: positive },
    },
    {
      name: "batch statistics, added to what else flows there",
      inputs: { x: [67, 5], weight: [5], mean: [5], variance: [5], dout: [67, 5], residual: [67, 5] },
      values: { variance: positive },
    },
    {
      name: "constant statistics, no gradient of x",
      inputs: { x: [3, 65], weight: [65], mean: [65], variance: [65], dout: [3, 65] },
      values: { variance: positive },
      attrs: { batchStatistics: false, wantsX: false },
    },
    {
      name: "constant statistics",
      inputs: { x: [3, 65], weight: [65], mean: [65], variance: [65], dout: [3, 65] },
      values: { variance: positive },
      attrs: { batchStatistics: false },
    },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: { x: [3136, 320], weight: [320], mean: [320], variance: [320], dout: [3136, 320] },
      values: { variance: positive },
    },
  ],
  batchNormUpdate: [
    {
      name: "the variance is made unbiased",
      inputs: { mean: [67], variance: [67], runningMean: [67], runningVar: [67] },
      values: { variance: positive, runningVar: positive },
      attrs: { count: 5, momentum: 0.3 },
    },
    {
      name: "one row keeps the biased variance",
      inputs: { mean: [3], variance: [3], runningMean: [3], runningVar: [3] },
      values: { variance: positive, runningVar: positive },
      attrs: { count: 1 },
    },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: { mean: [320], variance: [320], runningMean: [320], runningVar: [320] },
      attrs: { count: 3136 },
      values: { variance: positive, runningVar: positive },
    },
  ],
};
