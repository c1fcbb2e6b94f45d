import type { CaseTable } from "./op_case.ts";

export const cases: CaseTable = {
  temporalConv: [
    { name: "everything one", inputs: { x: [1, 1, 1, 1], weight: [1, 1], bias: [1] } },
    { name: "one frame sees only zeros around it", inputs: { x: [2, 1, 3, 5], weight: [5, 3], bias: [5] } },
    { name: "two frames", inputs: { x: [1, 2, 1, 7], weight: [7, 3], bias: [7] } },
    { name: "8 frames, 49 patches", inputs: { x: [2, 8, 49, 13], weight: [13, 3], bias: [13] } },
    {
      name: "a kernel of 5, longer than the clip",
      inputs: { x: [3, 3, 2, 65], weight: [65, 5], bias: [65] },
    },
    { name: "197 positions, cut into runs", inputs: { x: [2, 5, 197, 3], weight: [3, 3], bias: [3] } },
    {
      name: "f16 input",
      inputs: { x: [1, 4, 5, 6], weight: [6, 3], bias: [6] },
      dtypes: { x: "f16" },
    },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: { x: [2, 8, 196, 320], weight: [320, 3], bias: [320] },
    },
  ],
  temporalConvDx: [
    { name: "everything one", inputs: { dOut: [1, 1, 1, 1], weight: [1, 1] } },
    { name: "7 frames", inputs: { dOut: [2, 7, 5, 13], weight: [13, 3] } },
    { name: "a kernel of 5, longer than the clip", inputs: { dOut: [1, 3, 2, 3], weight: [3, 5] } },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: { dOut: [2, 8, 196, 320], weight: [320, 3] },
    },
  ],
  temporalConvDWeight: [
    { name: "everything one", inputs: { x: [1, 1, 1, 1], dOut: [1, 1, 1, 1] }, attrs: { taps: 1 } },
    { name: "one frame", inputs: { x: [2, 1, 3, 5], dOut: [2, 1, 3, 5] }, attrs: { taps: 3 } },
    { name: "runs of positions, the last is short", inputs: { x: [3, 4, 197, 7], dOut: [3, 4, 197, 7] } },
    {
      name: "a kernel of 7, longer than the clip",
      inputs: { x: [1, 3, 2, 3], dOut: [1, 3, 2, 3] },
      attrs: { taps: 7 },
    },
    { name: "more clips than partial sums", inputs: { x: [301, 2, 2, 2], dOut: [301, 2, 2, 2] } },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: { x: [2, 8, 196, 320], dOut: [2, 8, 196, 320] },
    },
  ],
};
