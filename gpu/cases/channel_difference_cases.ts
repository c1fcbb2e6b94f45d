import type { CaseTable } from "./op_case.ts";

export const cases: CaseTable = {
  channelDifference: [
    { name: "two channels of one pixel", inputs: { x: [1, 2, 1, 1] } },
    { name: "a window of five coloured pictures", inputs: { x: [3, 15, 5, 7] }, attrs: { lag: 3 } },
    { name: "only the ends meet", inputs: { x: [2, 7, 3, 2] }, attrs: { lag: 6 } },
    { name: "more elements than a workgroup", inputs: { x: [2, 6, 13, 17] }, attrs: { lag: 2 } },
    { name: "f16 pictures", inputs: { x: [2, 6, 4, 4] }, attrs: { lag: 3 }, dtypes: { x: "f16" } },
    {
      name: "two windows of five pictures",
      bench: true,
      inputs: { x: [2, 15, 224, 224] },
      attrs: { lag: 3 },
    },
  ],
};
