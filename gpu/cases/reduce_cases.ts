import type { CaseTable } from "./op_case.ts";

export const cases: CaseTable = {
  sumRows: [
    { name: "one element", inputs: { x: [1, 1, 1] } },
    { name: "one row is a scaled copy", inputs: { x: [3, 1, 65] }, attrs: { factor: -0.5 } },
    { name: "mean over 197 tokens", inputs: { x: [2, 197, 33] }, attrs: { factor: 1 / 197 } },
    { name: "two stages, the last run is short", inputs: { x: [1, 1009, 7] } },
    { name: "two stages, as many runs as allowed", inputs: { x: [1, 8191, 3] } },
    { name: "few rows of many columns", inputs: { x: [1, 3, 4099] } },
    { name: "f16", inputs: { x: [2, 37, 5] }, dtypes: { x: "f16" } },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: { x: [16, 196, 320] },
      attrs: { factor: 1 / 196 },
    },
  ],
  repeatRows: [
    { name: "one element", inputs: { x: [1, 1] }, attrs: { rows: 1 } },
    { name: "a prime number of rows, scaled", inputs: { x: [2, 37] }, attrs: { rows: 31, factor: 1 / 31 } },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: { x: [16, 320] },
      attrs: { rows: 196 },
    },
  ],
};
