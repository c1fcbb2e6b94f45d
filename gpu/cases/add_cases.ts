import type { CaseTable } from "./op_case.ts";

export const cases: CaseTable = {
  add: [
    { name: "one element", inputs: { x: [1], y: [1] } },
    { name: "one past a workgroup", inputs: { x: [257], y: [257] }, attrs: { alpha: 0.5, beta: 0.5 } },
    { name: "several axes", inputs: { x: [3, 5, 7], y: [3, 5, 7] }, attrs: { alpha: 1, beta: -2 } },
    {
      name: "f16 plus f32 into f16",
      inputs: { x: [2, 33], y: [2, 33] },
      dtypes: { x: "f16" },
      attrs: { dtype: "f16" },
      constant: ["x", "y"],
    },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: { x: [2, 8, 196, 320], y: [2, 8, 196, 320] },
      attrs: { alpha: 0.5, beta: 0.5 },
    },
  ],
  addWindow: [
    {
      name: "all but the first of five",
      inputs: { x: [3, 4, 7], y: [3, 5, 7] },
      attrs: { alpha: 0.5, beta: -2, run: 28, row: 35, start: 7 },
      gradient: "none",
    },
    {
      name: "rows past a workgroup, the first half",
      inputs: { x: [70, 9], y: [70, 18] },
      attrs: { run: 9, row: 18 },
      gradient: "none",
    },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: { x: [2, 8, 196, 320], y: [16, 197, 320] },
      attrs: { alpha: 0.5, beta: 0.5, run: 62720, row: 63040, start: 320 },
      gradient: "none",
    },
  ],
  scale: [
    { name: "one past a workgroup", inputs: { x: [257] }, attrs: { factor: -0.25 } },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: { x: [2, 8, 196, 320] },
      attrs: { factor: 0.5 },
    },
  ],
};
