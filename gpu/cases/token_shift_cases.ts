import type { CaseTable } from "./op_case.ts";

export const cases: CaseTable = {
  tokenShift: [
    { name: "one frame becomes zeros", inputs: { x: [2, 1, 4] } },
    { name: "one channel", inputs: { x: [1, 3, 1] } },
    { name: "an odd number of channels", inputs: { x: [2, 8, 37] } },
    { name: "the transposed map", inputs: { x: [2, 5, 7] }, attrs: { reverse: true } },
    { name: "64 clips of 8 frames", bench: true, inputs: { x: [64, 8, 320] } },
  ],
};
