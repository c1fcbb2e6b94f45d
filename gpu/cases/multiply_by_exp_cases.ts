import type { CaseTable } from "./op_case.ts";

export const cases: CaseTable = {
  multiplyByExp: [
    { name: "one score", inputs: { x: [1, 1], s: [] } },
    { name: "primes, more than a workgroup", inputs: { x: [17, 19], s: [] } },
    { name: "a sum in several parts", inputs: { x: [2100, 1], s: [] } },
    { name: "CLIP's largest scale", inputs: { x: [3, 5], s: [] }, values: { s: () => Math.log(100) } },
    { name: "f16", inputs: { x: [3, 5], s: [] }, dtypes: { x: "f16" }, constant: ["s"] },
    { name: "scores of 128 sentences and clips", bench: true, inputs: { x: [128, 128], s: [] } },
  ],
};
