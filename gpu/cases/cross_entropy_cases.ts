import type { CaseTable } from "./op_case.ts";

const positive = (_: number, normal: () => number) => normal() ** 2;

export const cases: CaseTable = {
  oneHot: [
    {
      name: "one class",
      inputs: { labels: [1] },
      dtypes: { labels: "u32" },
      values: { labels: () => 0 },
      attrs: { classes: 1 },
    },
    {
      name: "smoothed labels, first and last class among them",
      inputs: { labels: [7] },
      dtypes: { labels: "u32" },
      values: { labels: (i) => [0, 40, 3, 17, 40, 1, 0][i] },
      attrs: { classes: 41, smoothing: 0.1 },
    },
    {
      name: "a batch over 174 classes",
      bench: true,
      inputs: { labels: [32] },
      attrs: { classes: 174, smoothing: 0.1 },
      values: { labels: (i) => i },
      dtypes: { labels: "u32" },
    },
  ],
  crossEntropy: [
    {
      name: "one sample, one class",
      inputs: { logits: [1, 1], targets: [1, 1] },
      values: { targets: () => 1 },
      constant: ["targets"],
    },
    {
      name: "a batch of labels over 174 classes",
      inputs: { logits: [5, 174], targets: [5, 174] },
      values: { targets: (i) => (i % 174 === 3 ? 0.9 : 0) + 0.1 / 174 },
      constant: ["targets"],
    },
    {
      name: "soft targets whose sum is not one",
      inputs: { logits: [19, 7], targets: [19, 7] },
      values: { targets: positive },
      constant: ["targets"],
    },
    {
      name: "huge logits",
      inputs: { logits: [3, 65], targets: [3, 65] },
      values: {
        logits: (i, normal) => 1000 * normal() + (i < 65 ? 1e5 : -1e5),
        targets: (i) => (i % 65 === 1 ? 1 : 0),
      },
      constant: ["targets"],
    },
    {
      name: "a batch over 174 classes",
      bench: true,
      inputs: { logits: [32, 174], targets: [32, 174] },
      values: { targets: positive },
      constant: ["targets"],
    },
  ],
  crossEntropyDLogits: [
    {
      name: "a batch over 101 classes",
      inputs: { logits: [3, 101], targets: [3, 101], logNormaliser: [3], mass: [3], dLoss: [1] },
      values: { targets: positive, mass: positive, logNormaliser: (_, normal) => 5 + normal() },
    },
    {
      name: "a batch over 174 classes",
      bench: true,
      inputs: { logits: [32, 174], targets: [32, 174], logNormaliser: [32], mass: [32], dLoss: [1] },
      values: { targets: positive, mass: positive, logNormaliser: (_, normal) => 5 + normal() },
    },
  ],
};
