import type { CaseTable } from "./op_case.ts";

/** Logits far from zero, where the gate is nearly at its ends. */
const far = (i: number, normal: () => number) => (i % 3 - 1) * 30 + normal();

export const cases: CaseTable = {
  sigmoidGate: [
    { name: "one element", inputs: { x: [1], logit: [1] } },
    { name: "one past a workgroup", inputs: { x: [257], logit: [257] } },
    {
      name: "a side state with its residual",
      inputs: { x: [2, 3, 5, 7], logit: [2, 3, 5, 7], residual: [2, 3, 5, 7] },
    },
    { name: "large logits", inputs: { x: [64], logit: [64], residual: [64] }, values: { logit: far } },
    {
      name: "f16 logits",
      inputs: { x: [9, 5], logit: [9, 5] },
      dtypes: { logit: "f16" },
    },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: { x: [2, 8, 196, 320], logit: [2, 8, 196, 320], residual: [2, 8, 196, 320] },
    },
  ],
  sigmoidGateDx: [
    { name: "one element", inputs: { x: [1], logit: [1], dout: [1] } },
    { name: "one past a workgroup", inputs: { x: [257], logit: [257], dout: [257] } },
    {
      name: "logits whose exponential leaves f32",
      inputs: { x: [65], logit: [65], dout: [65] },
      values: { logit: (i) => (i - 32) * 10 },
    },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: { x: [2, 8, 196, 320], logit: [2, 8, 196, 320], dout: [2, 8, 196, 320] },
    },
  ],
};
