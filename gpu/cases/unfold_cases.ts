import type { CaseTable } from "./op_case.ts";

export const cases: CaseTable = {
  unfold: [
    {
      name: "one pixel",
      inputs: { x: [1, 1, 1, 1] },
      attrs: { frames: 1, kernel: [1, 1, 1], stride: [1, 1, 1], padding: [0, 0, 0] },
    },
    {
      name: "patches of a CLIP tower",
      inputs: { x: [2, 3, 12, 8] },
      attrs: { frames: 1, kernel: [1, 4, 4], stride: [1, 4, 4], padding: [0, 0, 0] },
    },
    {
      name: "stem of a side network: three frames, padded in time",
      inputs: { x: [8, 3, 4, 6] },
      attrs: { frames: 4, kernel: [3, 2, 2], stride: [1, 2, 2], padding: [1, 0, 0] },
    },
    {
      name: "overlapping patches, padded everywhere, pixels left over",
      inputs: { x: [5, 2, 7, 9] },
      attrs: { frames: 5, kernel: [3, 3, 4], stride: [2, 2, 3], padding: [1, 1, 2] },
    },
    {
      name: "strides beyond the kernel skip pixels",
      inputs: { x: [3, 1, 8, 8] },
      attrs: { frames: 3, kernel: [1, 2, 1], stride: [2, 3, 3], padding: [0, 0, 0] },
    },
    {
      name: "more columns than a workgroup",
      inputs: { x: [1, 3, 10, 15] },
      attrs: { frames: 1, kernel: [1, 5, 5], stride: [1, 5, 5], padding: [0, 0, 0] },
    },
    {
      name: "f16 patches",
      inputs: { x: [2, 3, 4, 4] },
      attrs: { frames: 2, kernel: [1, 2, 2], stride: [1, 2, 2], padding: [0, 0, 0], dtype: "f16" },
      constant: ["x"],
    },
    {
      name: "the stem of a side network on one clip",
      bench: true,
      inputs: { x: [8, 3, 224, 224] },
      attrs: { frames: 8, kernel: [3, 16, 16], stride: [1, 16, 16], padding: [1, 0, 0] },
    },
  ],
  unfoldDx: [
    {
      name: "overlapping patches, padded everywhere, pixels left over",
      inputs: { dOut: [2 * 4 * 4, 2 * 36] },
      attrs: { frames: 4, kernel: [3, 3, 4], stride: [2, 2, 3], padding: [1, 1, 2], shape: [4, 2, 7, 9] },
    },
    {
      name: "patches side by side",
      inputs: { dOut: [2 * 6, 3 * 16] },
      attrs: { frames: 1, kernel: [1, 4, 4], stride: [1, 4, 4], padding: [0, 0, 0], shape: [2, 3, 12, 8] },
    },
    {
      name: "the stem of a side network on one clip",
      bench: true,
      inputs: { dOut: [1568, 2304] },
      attrs: {
        frames: 8,
        kernel: [3, 16, 16],
        stride: [1, 16, 16],
        padding: [1, 0, 0],
        shape: [8, 3, 224, 224],
      },
    },
  ],
};
