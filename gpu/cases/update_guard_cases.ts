import type { CaseTable } from "./op_case.ts";

/** Finite values at the edges of their type, and what is not finite among them. */
const EDGES = [3.4028234e38, -3.4028234e38, 1e-45, -0, 1.1754944e-38];
const NOT_FINITE = [NaN, Infinity, -Infinity];

const guard = (skip: number, skipped: number, inARow: number) => (i: number) => [skip, skipped, inARow][i];

export const cases: CaseTable = {
  countNonFinite: [
    { name: "one finite element", inputs: { bits: [1] } },
    { name: "one NaN", inputs: { bits: [1] }, values: { bits: () => NaN } },
    { name: "the edges of the type are finite", inputs: { bits: [5] }, values: { bits: (i) => EDGES[i] } },
    {
      name: "NaN and both infinities among a prime of values",
      inputs: { bits: [1009] },
      values: { bits: (i, normal) => i % 101 < 3 ? NOT_FINITE[i % 101] : normal() },
    },
    {
      name: "one past the partial counts, the last not finite",
      inputs: { bits: [16385] },
      values: { bits: (i, normal) => i === 16384 ? Infinity : normal() },
    },
    {
      name: "all not finite, in rows",
      inputs: { bits: [3, 5] },
      values: { bits: (i) => NOT_FINITE[i % 3] },
    },
    { name: "a million weights", bench: true, inputs: { bits: [1000000] } },
  ],
  guardMark: [
    {
      name: "all finite",
      inputs: { nonFinite: [3], guard: [3] },
      values: { nonFinite: () => 0, guard: guard(0, 4, 2) },
    },
    {
      name: "the last part is not finite",
      inputs: { nonFinite: [3], guard: [3] },
      values: { nonFinite: (i) => i === 2 ? 7 : 0, guard: guard(0, 4, 2) },
    },
    {
      name: "a mark stays",
      inputs: { nonFinite: [1], guard: [3] },
      values: { nonFinite: () => 0, guard: guard(1, 0, 0) },
    },
  ],
  guardRevert: [
    {
      name: "without a mark nothing changes",
      inputs: { before: [257], guard: [3], values: [257] },
      values: { guard: guard(0, 3, 1) },
    },
    {
      name: "marked, what is not finite is replaced",
      inputs: { before: [257], guard: [3], values: [257] },
      values: { guard: guard(1, 0, 0), values: (i) => NOT_FINITE[i % 3] },
    },
    {
      name: "statistics of a side network",
      bench: true,
      inputs: { before: [100000], guard: [3], values: [100000] },
      values: { guard: guard(1, 0, 0) },
    },
  ],
  guardSettle: [
    {
      name: "an update was made",
      inputs: { guard: [3] },
      values: { guard: guard(0, 5, 2) },
      attrs: { most: 3 },
    },
    {
      name: "an update was skipped",
      inputs: { guard: [3] },
      values: { guard: guard(1, 5, 1) },
      attrs: { most: 3 },
    },
    {
      name: "the last that may be",
      inputs: { guard: [3] },
      values: { guard: guard(1, 5, 2) },
      attrs: { most: 3 },
    },
    {
      name: "none may be skipped any more",
      inputs: { guard: [3] },
      values: { guard: guard(1, 6, 3) },
      attrs: { most: 3 },
    },
  ],
};
