import type { CaseTable } from "./op_case.ts";

export const cases: CaseTable = {
  softmax: [
    { name: "one column", inputs: { x: [3, 1] } },
    { name: "197 columns", inputs: { x: [2, 5, 197] } },
    { name: "more rows than a workgroup holds", inputs: { x: [67, 3] } },
    {
      name: "huge values",
      inputs: { x: [5, 65] },
      values: { x: (i, normal) => 1e4 * normal() + 1e5 * (i % 2) },
      constant: ["x"],
    },
    { name: "f16", inputs: { x: [3, 17] }, dtypes: { x: "f16" } },
    { name: "scores of 8 frames", bench: true, inputs: { x: [8, 5, 197, 197] } },
  ],
  maskedSoftmax: [
    {
      name: "one column",
      inputs: { x: [3, 1], mask: [3, 1] },
      values: { mask: () => 1 },
      constant: ["mask"],
    },
    {
      name: "words of sentences, and one row without any",
      inputs: { x: [67, 32], mask: [67, 32] },
      values: { mask: (i) => i % 32 <= Math.floor(i / 32) && i >= 32 ? 1 : 0 },
      constant: ["mask"],
    },
    {
      name: "197 columns, every third masked, the largest among them",
      inputs: { x: [2, 5, 197], mask: [2, 5, 197] },
      values: { x: (i, normal) => i % 3 === 0 ? 1e4 : normal(), mask: (i) => i % 3 === 0 ? 0 : 1 },
      constant: ["mask"],
    },
    {
      name: "f16",
      inputs: { x: [3, 17], mask: [3, 17] },
      dtypes: { x: "f16" },
      values: { mask: (i) => i % 2 },
      constant: ["mask"],
    },
    {
      name: "128 sentences",
      bench: true,
      inputs: { x: [128, 32], mask: [128, 32] },
      values: { mask: (i) => i % 32 < 12 ? 1 : 0 },
      constant: ["mask"],
    },
  ],
  softmaxDx: [
    { name: "one column", inputs: { y: [3, 1], dOut: [3, 1] } },
    { name: "197 columns", inputs: { y: [7, 197], dOut: [7, 197] } },
    { name: "more rows than a workgroup holds", inputs: { y: [67, 3], dOut: [67, 3] } },
    { name: "scores of 8 frames", bench: true, inputs: { y: [8, 5, 197, 197], dOut: [8, 5, 197, 197] } },
  ],
};
