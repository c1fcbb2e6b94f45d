import type { CaseTable } from "./op_case.ts";

export const cases: CaseTable = {
  splitTokens: [
    { name: "one patch", inputs: { x: [1, 2, 1] } },
    { name: "197 tokens", inputs: { x: [2, 197, 5] } },
    { name: "f16", inputs: { x: [2, 3, 4] }, dtypes: { x: "f16" } },
    { name: "two clips of 8 frames beside ViT-B/16", bench: true, inputs: { x: [16, 197, 320] } },
  ],
  prependToken: [
    { name: "one patch, one channel", inputs: { x: [1, 1, 1], cls: [1], position: [2, 1] } },
    { name: "49 patches", inputs: { x: [3, 49, 11], cls: [11], position: [50, 11] } },
    { name: "many frames", inputs: { x: [131, 4, 3], cls: [3], position: [5, 3] } },
    {
      name: "f16 patches, f32 tables",
      inputs: { x: [2, 3, 5], cls: [5], position: [4, 5] },
      dtypes: { x: "f16" },
      constant: ["cls", "position"],
    },
    {
      name: "16 frames of ViT-B/16",
      bench: true,
      inputs: { x: [16, 196, 768], cls: [768], position: [197, 768] },
    },
  ],
  addPosition: [
    { name: "everything one", inputs: { x: [1, 1, 1], position: [1, 1] } },
    { name: "one past a workgroup", inputs: { x: [3, 257, 1], position: [257, 1] } },
    { name: "many frames", inputs: { x: [211, 3, 5], position: [3, 5] } },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: { x: [16, 196, 320], position: [196, 320] },
    },
  ],
  sideTokens: [
    {
      name: "one frame: the class token is zero",
      inputs: { c: [2, 1, 4], s: [2, 1, 3, 4], position: [3, 4] },
    },
    { name: "everything one", inputs: { c: [1, 1, 1], s: [1, 1, 1, 1], position: [1, 1] } },
    { name: "49 patches, odd channels", inputs: { c: [2, 3, 13], s: [2, 3, 49, 13], position: [49, 13] } },
    { name: "8 frames", inputs: { c: [3, 8, 6], s: [3, 8, 4, 6], position: [4, 6] } },
    { name: "the class token has a position", inputs: { c: [2, 3, 7], s: [2, 3, 4, 7], position: [5, 7] } },
    {
      name: "f16 out",
      inputs: { c: [1, 4, 6], s: [1, 4, 5, 6], position: [5, 6] },
      dtypes: { s: "f16" },
      constant: ["c", "position"],
    },
    {
      name: "two clips of 8 frames beside ViT-B/16",
      bench: true,
      inputs: { c: [2, 8, 320], s: [2, 8, 196, 320], position: [196, 320] },
    },
  ],
};
