import type { CaseTable } from "./op_case.ts";

export const cases: CaseTable = {
  transpose: [
    { name: "one element", inputs: { x: [1, 1] } },
    { name: "primes, more than a workgroup", inputs: { x: [17, 19] } },
    { name: "f16", inputs: { x: [3, 5] }, dtypes: { x: "f16" } },
    { name: "scores of 128 sentences and clips", bench: true, inputs: { x: [128, 128] } },
  ],
};
