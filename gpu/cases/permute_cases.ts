import type { CaseTable } from "./op_case.ts";

export const cases: CaseTable = {
  permute: [
    { name: "one element", inputs: { x: [1, 1] }, attrs: { order: [1, 0] } },
    { name: "a vector stays as it is", inputs: { x: [7] }, attrs: { order: [0] } },
    {
      name: "rows and columns, primes, more than a workgroup",
      inputs: { x: [17, 19] },
      attrs: { order: [1, 0] },
    },
    { name: "f16", inputs: { x: [3, 5] }, dtypes: { x: "f16" }, attrs: { order: [1, 0] } },
    { name: "three axes round", inputs: { x: [3, 5, 7] }, attrs: { order: [2, 0, 1] } },
    { name: "the middle axes of four", inputs: { x: [2, 3, 5, 7] }, attrs: { order: [0, 2, 1, 3] } },
    { name: "a kernel turned round", inputs: { x: [4, 6, 9] }, attrs: { order: [1, 2, 0], reverse: 2 } },
    {
      name: "all four axes, the first backwards",
      inputs: { x: [2, 3, 4, 5] },
      attrs: { order: [3, 1, 0, 2], reverse: 0 },
    },
    {
      name: "scores of 128 sentences and clips",
      bench: true,
      inputs: { x: [128, 128] },
      attrs: { order: [1, 0] },
    },
  ],
};
