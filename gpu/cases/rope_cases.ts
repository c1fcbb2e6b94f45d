import type { CaseTable } from "./op_case.ts";

export const cases: CaseTable = {
  rope: [
    {
      name: "one patch, one frequency",
      inputs: { x: [1, 1, 4] },
      attrs: { heads: 1, columns: 4, grid: 1, span: 16 },
    },
    {
      name: "a class token before 3 x 3 patches, two heads",
      inputs: { x: [2, 10, 16] },
      attrs: { heads: 2, columns: 16, grid: 3, span: 16 },
    },
    {
      name: "keys before values",
      inputs: { x: [2, 17, 48] },
      attrs: { heads: 3, columns: 24, grid: 4, span: 16 },
    },
    {
      name: "an odd number of angles, no class token",
      inputs: { x: [1, 9, 12] },
      attrs: { heads: 1, columns: 12, grid: 3, span: 7 },
    },
    {
      name: "a class token before 24 x 24 patches, one head of 64",
      inputs: { x: [1, 577, 64] },
      attrs: { heads: 1, columns: 64, grid: 24, span: 16 },
    },
    {
      name: "turned back",
      inputs: { x: [2, 5, 8] },
      attrs: { heads: 2, columns: 8, grid: 2, span: 16, reverse: true },
    },
    {
      name: "f16",
      inputs: { x: [2, 5, 16] },
      attrs: { heads: 2, columns: 8, grid: 2, span: 16 },
      dtypes: { x: "f16" },
    },
    {
      name: "4 pictures of 24 x 24 patches, 16 heads of 64",
      bench: true,
      inputs: { x: [4, 577, 1024] },
      attrs: { heads: 16, columns: 1024, grid: 24, span: 16 },
    },
  ],
};
