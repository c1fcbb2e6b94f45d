import type { CaseTable } from "./op_case.ts";

export const cases: CaseTable = {
  copyInto: [
    { name: "one past a workgroup", inputs: { src: [257], dst: [257] } },
    { name: "f32 into f16", inputs: { src: [3, 5], dst: [3, 5] }, dtypes: { dst: "f16" } },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: { src: [2, 8, 196, 320], dst: [2, 8, 196, 320] },
    },
  ],
  accumulateInto: [
    { name: "one element", inputs: { src: [1], dst: [1] } },
    { name: "one past a workgroup, scaled", inputs: { src: [257], dst: [257] }, attrs: { factor: -0.25 } },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: { src: [2, 8, 196, 320], dst: [2, 8, 196, 320] },
    },
  ],
  fill: [
    { name: "one past a workgroup", inputs: { dst: [257] }, attrs: { value: 2.5 } },
    { name: "two clips of 8 frames beside ViT-B/16", bench: true, inputs: { dst: [2, 8, 196, 320] } },
  ],
  clampMax: [
    { name: "one number", inputs: { dst: [] }, values: { dst: () => 4.7 }, attrs: { limit: Math.log(100) } },
    { name: "one past a workgroup", inputs: { dst: [257] }, attrs: { limit: 0.25 } },
    { name: "a million weights", bench: true, inputs: { dst: [1000000] }, attrs: { limit: 0.25 } },
  ],
  zeros: [
    { name: "several axes", inputs: {}, attrs: { shape: [3, 5, 7] } },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: {},
      attrs: { shape: [2, 8, 196, 320] },
    },
  ],
  cast: [
    { name: "f32 to f16", inputs: { x: [257] }, attrs: { dtype: "f16" }, constant: ["x"] },
    { name: "f16 to f32", inputs: { x: [3, 5] }, attrs: { dtype: "f32" }, dtypes: { x: "f16" } },
    { name: "f32 to f32", inputs: { x: [3, 5] }, attrs: { dtype: "f32" } },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: { x: [2, 8, 196, 320] },
      attrs: { dtype: "f16" },
    },
  ],
  slice: [
    { name: "leading axis", inputs: { x: [7, 5] }, attrs: { axis: 0, start: 2, length: 3 } },
    { name: "middle axis", inputs: { x: [3, 197, 5] }, attrs: { axis: 1, start: 1, length: 196 } },
    { name: "last axis", inputs: { x: [11, 13] }, attrs: { axis: 1, start: 12, length: 1 } },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: { x: [16, 197, 320] },
      attrs: { axis: 1, start: 1, length: 196 },
    },
  ],
  pad: [
    { name: "flat", inputs: { x: [7] }, attrs: { axis: 0, before: 3, after: 250 } },
    { name: "middle axis, after only", inputs: { x: [3, 1, 5] }, attrs: { axis: 1, before: 0, after: 13 } },
    { name: "last axis, before only", inputs: { x: [3, 2] }, attrs: { axis: 1, before: 1, after: 0 } },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: { x: [16, 196, 320] },
      attrs: { axis: 1, before: 1, after: 0 },
    },
  ],
  concat: [
    { name: "rows of three tensors", inputs: { x0: [1, 5], x1: [7, 5], x2: [2, 5] }, attrs: { axis: 0 } },
    { name: "a token before patches", inputs: { x0: [3, 1, 7], x1: [3, 49, 7] }, attrs: { axis: 1 } },
    { name: "last axis", inputs: { x0: [5, 3], x1: [5, 1] }, attrs: { axis: 1 } },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: { x0: [16, 1, 320], x1: [16, 196, 320] },
      attrs: { axis: 1 },
    },
  ],
};
