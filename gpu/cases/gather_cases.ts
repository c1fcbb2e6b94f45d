import type { CaseTable } from "./op_case.ts";

const index = (i: number) => [0, 4, 2, 4, 1, 3, 0][i % 7];

/** Start, ten words of many, end, and padding. */
const sentences = (i: number) => {
  const place = i % 32;
  return place === 0 ? 49406 : place === 11 ? 49407 : place > 11 ? 0 : (i * 7919) % 49406;
};

export const cases: CaseTable = {
  embedding: [
    { name: "one id", inputs: { ids: [1], table: [1, 1] }, dtypes: { ids: "u32" }, values: { ids: () => 0 } },
    {
      name: "a batch of texts",
      inputs: { ids: [3, 7], table: [5, 37] },
      dtypes: { ids: "u32" },
      values: { ids: index },
    },
    {
      name: "ids past the table read its last row",
      inputs: { ids: [4], table: [5, 3] },
      dtypes: { ids: "u32" },
      values: { ids: (i) => [4, 5, 1000, 0xffffffff][i] },
    },
    {
      name: "f16 table",
      inputs: { ids: [7], table: [5, 6] },
      dtypes: { ids: "u32", table: "f16" },
      values: { ids: index },
    },
    {
      name: "16 texts",
      bench: true,
      inputs: { ids: [16, 77], table: [4096, 512] },
      values: { ids: index },
      dtypes: { ids: "u32" },
    },
  ],
  embeddingDTable: [
    {
      name: "one id",
      inputs: { ids: [1], dOut: [1, 1] },
      dtypes: { ids: "u32" },
      values: { ids: () => 0 },
    },
    {
      name: "a batch of texts, rows that nobody picks",
      inputs: { ids: [3, 67], dOut: [3, 67, 5] },
      attrs: { rows: 9 },
      dtypes: { ids: "u32" },
      values: { ids: index },
    },
    {
      name: "ids past the table are its last row",
      inputs: { ids: [4], dOut: [4, 3] },
      attrs: { rows: 5 },
      dtypes: { ids: "u32" },
      values: { ids: (i) => [4, 5, 1000, 0xffffffff][i] },
    },
    {
      name: "128 sentences of 32 tokens, CLIP's table",
      bench: true,
      inputs: { ids: [128, 32], dOut: [128, 32, 512] },
      attrs: { rows: 49408 },
      values: { ids: sentences },
      dtypes: { ids: "u32" },
    },
  ],
  addEmbeddingDTable: [
    {
      name: "a batch of texts, beside what is there",
      inputs: { ids: [3, 67], dOut: [3, 67, 5], dTable: [9, 5] },
      dtypes: { ids: "u32" },
      values: { ids: index },
    },
    {
      name: "all ids equal",
      inputs: { ids: [131], dOut: [131, 2], dTable: [3, 2] },
      dtypes: { ids: "u32" },
      values: { ids: () => 1 },
    },
    {
      name: "128 sentences of 32 tokens, CLIP's table",
      bench: true,
      inputs: { ids: [128, 32], dOut: [128, 32, 512], dTable: [49408, 512] },
      values: { ids: sentences },
      dtypes: { ids: "u32" },
    },
  ],
  gatherRows: [
    {
      name: "one row",
      inputs: { x: [1, 1, 1], index: [1] },
      dtypes: { index: "u32" },
      values: { index: () => 0 },
    },
    {
      name: "one token a text",
      inputs: { x: [7, 5, 33], index: [7] },
      dtypes: { index: "u32" },
      values: { index },
    },
    {
      name: "an index past the end reads the last row",
      inputs: { x: [2, 3, 4], index: [2] },
      dtypes: { index: "u32" },
      values: { index: (i) => 2 + 7 * i },
    },
    {
      name: "16 texts",
      bench: true,
      inputs: { x: [16, 77, 512], index: [16] },
      values: { index },
      dtypes: { index: "u32" },
    },
  ],
  gatherRowsDx: [
    { name: "one row", inputs: { index: [1], dOut: [1, 1] }, dtypes: { index: "u32" }, values: { index } },
    {
      name: "an index past the end is the last row",
      inputs: { index: [7], dOut: [7, 33] },
      attrs: { rows: 3 },
      dtypes: { index: "u32" },
      values: { index },
    },
    {
      name: "128 texts",
      bench: true,
      inputs: { index: [128], dOut: [128, 512] },
      attrs: { rows: 32 },
      values: { index },
      dtypes: { index: "u32" },
    },
  ],
};
