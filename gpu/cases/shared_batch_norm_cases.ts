import type { CaseTable } from "./op_case.ts";

const positive = (_: number, normal: () => number) => 0.5 + Math.abs(normal());

export const cases: CaseTable = {
  sharedNormTrain: [
    { name: "one rank, several chunks", inputs: { x: [71, 65], weight: [65], bias: [65] } },
    { name: "one row: variance 0", inputs: { x: [1, 5], weight: [5], bias: [5] }, constant: ["x"] },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: { x: [3136, 320], weight: [320], bias: [320] },
    },
  ],
  sharedNormBackward: [
    {
      name: "rows of other ranks are counted",
      inputs: { x: [67, 5], weight: [5], mean: [5], variance: [5], parts: [1, 3, 5], dout: [67, 5] },
      values: { variance: positive, parts: (i) => i < 10 ? 0 : 134 },
    },
    {
      name: "added to what else flows there",
      inputs: {
        x: [67, 5],
        weight: [5],
        mean: [5],
        variance: [5],
        parts: [1, 3, 5],
        dout: [67, 5],
        residual: [67, 5],
      },
      values: { variance: positive, parts: (i) => i < 10 ? 0 : 134 },
    },
    {
      name: "no gradient of x",
      inputs: { x: [3, 65], weight: [65], mean: [65], variance: [65], parts: [1, 3, 65], dout: [3, 65] },
      values: { variance: positive },
      attrs: { wantsX: false },
    },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: {
        x: [3136, 320],
        weight: [320],
        mean: [320],
        variance: [320],
        parts: [1, 3, 320],
        dout: [3136, 320],
      },
      values: { variance: positive, parts: () => 3136 },
    },
  ],
};
