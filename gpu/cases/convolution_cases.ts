import type { CaseTable } from "./op_case.ts";

export const cases: CaseTable = {
  convolution: [
    {
      name: "everything one",
      inputs: { x: [1, 1, 1, 1], weight: [1, 1], bias: [1] },
      attrs: { grid: [1, 1], kernel: [1, 1, 1], columns: 1 },
    },
    {
      name: "over time, with what is added",
      inputs: { x: [2, 5, 6, 7], weight: [3, 21], bias: [3], residual: [2, 5, 6, 3] },
      attrs: { grid: [6, 1], kernel: [3, 1, 1], columns: 1 << 20 },
    },
    {
      name: "3x3 in space, without a bias",
      inputs: { x: [1, 2, 15, 4], weight: [5, 36] },
      attrs: { grid: [3, 5], kernel: [1, 3, 3], columns: 1 << 20 },
    },
    {
      name: "a kernel larger than the clip in every direction",
      inputs: { x: [2, 2, 6, 3], weight: [2, 225], bias: [2] },
      attrs: { grid: [2, 3], kernel: [5, 5, 3], columns: 1 << 20 },
    },
    {
      name: "positions in parts, the last is short",
      inputs: { x: [2, 3, 35, 5], weight: [6, 45], bias: [6], residual: [2, 3, 35, 6] },
      attrs: { grid: [5, 7], kernel: [1, 3, 3], columns: 64 * 45 },
    },
    {
      name: "3x3 of a clip of 16 frames beside ViT-B/16",
      bench: true,
      inputs: { x: [1, 16, 196, 96], weight: [96, 864], bias: [96] },
      attrs: { grid: [14, 14], kernel: [1, 3, 3], columns: 1 << 23 },
    },
  ],
  convolutionColumns: [
    {
      name: "everything one",
      inputs: { x: [1, 1, 1, 1] },
      attrs: { grid: [1, 1], kernel: [1, 1, 1], first: 0, rows: 1 },
    },
    {
      name: "rows of two clips",
      inputs: { x: [2, 3, 6, 5] },
      attrs: { grid: [2, 3], kernel: [3, 3, 3], first: 11, rows: 17 },
    },
    {
      name: "a clip of 16 frames beside ViT-B/16",
      bench: true,
      inputs: { x: [1, 16, 196, 96] },
      attrs: { grid: [14, 14], kernel: [1, 3, 3], first: 0, rows: 3136 },
    },
  ],
};
