import type { CaseTable } from "./op_case.ts";

/** Values from {0, 1, 2}: most maxima are shared by two or three frames. */
const ties = (i: number) => (i * 7919) % 3;

export const cases: CaseTable = {
  temporalDeficit: [
    { name: "everything one", inputs: { x: [1, 1, 1, 1] } },
    { name: "one frame has nothing above it", inputs: { x: [2, 1, 3, 5] } },
    { name: "two frames", inputs: { x: [1, 2, 3, 4] } },
    { name: "8 frames, 49 positions, 20 channels", inputs: { x: [2, 8, 49, 20] } },
    { name: "more rows than a workgroup", inputs: { x: [3, 5, 11, 3] } },
    {
      name: "ties, forward only: the maximum has corners there",
      inputs: { x: [2, 6, 5, 3] },
      values: { x: ties },
      gradient: "none",
    },
    {
      name: "far below zero",
      inputs: { x: [1, 4, 3, 2] },
      values: { x: (_, normal) => normal() - 1e6 },
      gradient: "none",
    },
    { name: "f16 input", inputs: { x: [1, 4, 5, 6] }, dtypes: { x: "f16" } },
    { name: "two clips of 8 frames beside ViT-B/16", bench: true, inputs: { x: [2, 8, 196, 320] } },
  ],
  temporalDeficitDx: [
    { name: "everything one", inputs: { x: [1, 1, 1, 1], dOut: [1, 1, 1, 1] } },
    { name: "two frames", inputs: { x: [2, 2, 3, 4], dOut: [2, 2, 3, 4] } },
    { name: "7 frames, 9 positions", inputs: { x: [2, 7, 9, 5], dOut: [2, 7, 9, 5] } },
    {
      name: "ties: the earliest maximum gets the gradient",
      inputs: { x: [3, 6, 7, 4], dOut: [3, 6, 7, 4] },
      values: { x: ties },
    },
    {
      name: "frames that stand still",
      inputs: { x: [1, 5, 2, 3], dOut: [1, 5, 2, 3] },
      values: { x: () => 0.25 },
    },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: { x: [2, 8, 196, 320], dOut: [2, 8, 196, 320] },
    },
  ],
};
