import type { CaseTable } from "./op_case.ts";

/** From far below zero to far above, where exp overflows unless it is taken of a negative number. */
const wide = (i: number) => [0, -1e-4, 1e-4, -3.5, 3.5, -12, 12, -200, 200, -1e20, 1e20][i % 11];

export const cases: CaseTable = {
  siluMultiply: [
    { name: "one element", inputs: { gate: [1], x: [1] } },
    { name: "one past a workgroup", inputs: { gate: [257], x: [257] } },
    { name: "several axes", inputs: { gate: [3, 5, 7], x: [3, 5, 7] } },
    {
      name: "large gates",
      inputs: { gate: [11], x: [11] },
      values: { gate: wide, x: (i) => 1 + i },
      constant: ["gate", "x"],
    },
    { name: "a trained gate alone", inputs: { gate: [33], x: [33] }, constant: ["x"] },
    { name: "f16", inputs: { gate: [2, 33], x: [2, 33] }, dtypes: { gate: "f16", x: "f16" } },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: { gate: [2, 8, 196, 320], x: [2, 8, 196, 320] },
    },
  ],
  siluMultiplyDx: [
    { name: "one element", inputs: { gate: [1], x: [1], dout: [1] } },
    { name: "one past a workgroup", inputs: { gate: [257], x: [257], dout: [257] } },
    {
      name: "large gates",
      inputs: { gate: [11], x: [11], dout: [11] },
      values: { gate: wide },
    },
    {
      name: "f16 inputs, f32 gradient",
      inputs: { gate: [2, 33], x: [2, 33], dout: [2, 33] },
      dtypes: { gate: "f16", x: "f16" },
    },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: { gate: [2, 8, 196, 320], x: [2, 8, 196, 320], dout: [2, 8, 196, 320] },
    },
  ],
};
