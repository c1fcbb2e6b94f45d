import type { CaseTable } from "./op_case.ts";

export const cases: CaseTable = {
  l2Normalize: [
    { name: "one column gives signs", inputs: { x: [3, 1] } },
    { name: "512 channels", inputs: { x: [2, 3, 512] } },
    { name: "more rows than a workgroup holds", inputs: { x: [131, 5] } },
    { name: "f16", inputs: { x: [3, 17] }, dtypes: { x: "f16" } },
    { name: "a batch of embeddings", bench: true, inputs: { x: [512, 512] } },
  ],
  l2NormalizeDx: [
    {
      name: "197 channels",
      inputs: { y: [7, 197], norm: [7], dOut: [7, 197] },
      values: { norm: (_, normal) => 0.5 + normal() ** 2 },
    },
    {
      name: "a batch of embeddings",
      bench: true,
      inputs: { y: [512, 512], norm: [512], dOut: [512, 512] },
      values: { norm: (_, normal) => 0.5 + normal() ** 2 },
    },
  ],
};
