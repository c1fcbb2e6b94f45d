import type { CaseTable, OpCase } from "./op_case.ts";

/** From far below zero to far above, through it: where exp or x² overflow, and where small errors show. */
const wide = (i: number) => [0, -1e-4, 1e-4, -3.5, 3.5, -12, 12, -200, 200, -1e20, 1e20][i % 11];

const forward: OpCase[] = [
  { name: "one element", inputs: { x: [1] } },
  { name: "one past a workgroup", inputs: { x: [257] } },
  { name: "several axes", inputs: { x: [3, 5, 7] } },
  { name: "all around one", inputs: { x: [199] }, values: { x: (_, normal) => 1.4 + 0.2 * normal() } },
  { name: "large values", inputs: { x: [11] }, values: { x: wide }, constant: ["x"] },
  { name: "f16", inputs: { x: [2, 33] }, dtypes: { x: "f16" } },
  { name: "two clips of 8 frames beside ViT-B/16", bench: true, inputs: { x: [2, 8, 196, 320] } },
];

const backward: OpCase[] = [
  { name: "one element", inputs: { x: [1], dOut: [1] } },
  { name: "one past a workgroup", inputs: { x: [257], dOut: [257] } },
  { name: "large values", inputs: { x: [11], dOut: [11] }, values: { x: wide } },
  { name: "f16 input, f32 gradient", inputs: { x: [2, 33], dOut: [2, 33] }, dtypes: { x: "f16" } },
  {
    name: "two clips of 8 frames beside ViT-B/16",
    bench: true,
    inputs: { x: [2, 8, 196, 320], dOut: [2, 8, 196, 320] },
  },
];

export const cases: CaseTable = {
  gelu: forward,
  geluDx: backward,
  quickGelu: forward,
  quickGeluDx: backward,
  relu: forward,
  reluDx: backward,
};
