import type { CaseTable } from "./op_case.ts";

// lr, beta1, beta2, eps, weight decay, 1 − beta1^t, 1 − beta2^t, gradient scale; two groups.
const hyper = [
  [1e-3, 0.9, 0.98, 1e-8, 0.2, 1 - 0.9, 1 - 0.98, 1],
  [0.1, 0.8, 0.999, 1e-6, 0, 1 - 0.8 ** 7, 1 - 0.999 ** 7, 0.25],
].flat();

// lr, beta1, beta2, eps, weight decay, gradient scale; two groups.
const bertHyper = [[1e-3, 0.9, 0.98, 1e-6, 0.2, 1], [0.1, 0.8, 0.999, 1e-6, 0, 0.25]].flat();

const positive = (_: number, normal: () => number) => normal() ** 2;

export const cases: CaseTable = {
  adamw: [
    {
      name: "first step: moments are zero",
      inputs: { param: [257], grad: [257], m: [257], v: [257], hyper: [8], clip: [1], guard: [3] },
      values: { m: () => 0, v: () => 0, hyper: (i) => hyper[i], clip: () => 1, guard: () => 0 },
    },
    {
      name: "second group, clipped, without decay",
      inputs: { param: [3, 5], grad: [3, 5], m: [3, 5], v: [3, 5], hyper: [16], clip: [1], guard: [3] },
      values: { v: positive, hyper: (i) => hyper[i], clip: () => 0.37, guard: () => 0 },
      attrs: { hyperOffset: 8 },
    },
    {
      name: "a gradient of zero leaves only the decay",
      inputs: { param: [1], grad: [1], m: [1], v: [1], hyper: [8], clip: [1], guard: [3] },
      values: {
        grad: () => 0,
        m: () => 0,
        v: () => 0,
        hyper: (i) => hyper[i],
        clip: () => 1,
        guard: () => 0,
      },
    },
    {
      name: "marked to be skipped, with a gradient of NaN",
      inputs: { param: [3, 5], grad: [3, 5], m: [3, 5], v: [3, 5], hyper: [8], clip: [1], guard: [3] },
      values: {
        grad: () => NaN,
        v: positive,
        hyper: (i) => hyper[i],
        clip: () => NaN,
        guard: (i) => i < 1 ? 1 : 0,
      },
    },
    {
      name: "the constants after one skipped update",
      inputs: { param: [3, 5], grad: [3, 5], m: [3, 5], v: [3, 5], hyper: [16], clip: [1], guard: [3] },
      values: { v: positive, hyper: (i) => hyper[i], clip: () => 1, guard: (i) => i === 1 ? 1 : 0 },
      attrs: { hyperStride: 8, hyperRows: 2 },
    },
    {
      name: "more skipped updates than constants: the last",
      inputs: { param: [3, 5], grad: [3, 5], m: [3, 5], v: [3, 5], hyper: [16], clip: [1], guard: [3] },
      values: { v: positive, hyper: (i) => hyper[i], clip: () => 1, guard: (i) => i === 1 ? 9 : 0 },
      attrs: { hyperStride: 8, hyperRows: 2 },
    },
    {
      name: "a million weights",
      bench: true,
      inputs: {
        param: [1000000],
        grad: [1000000],
        m: [1000000],
        v: [1000000],
        hyper: [8],
        clip: [1],
        guard: [3],
      },
      values: { v: positive, hyper: (i) => hyper[i], clip: () => 1, guard: () => 0 },
    },
  ],
  bertAdam: [
    {
      name: "first step: moments are zero",
      inputs: { param: [257], grad: [257], m: [257], v: [257], hyper: [6], clip: [1], guard: [3] },
      values: { m: () => 0, v: () => 0, hyper: (i) => bertHyper[i], clip: () => 1, guard: () => 0 },
    },
    {
      name: "second group, clipped, without decay",
      inputs: { param: [3, 5], grad: [3, 5], m: [3, 5], v: [3, 5], hyper: [12], clip: [1], guard: [3] },
      values: { v: positive, hyper: (i) => bertHyper[i], clip: () => 0.37, guard: () => 0 },
      attrs: { hyperOffset: 6 },
    },
    {
      name: "marked to be skipped, with a gradient of NaN",
      inputs: { param: [3, 5], grad: [3, 5], m: [3, 5], v: [3, 5], hyper: [6], clip: [1], guard: [3] },
      values: {
        grad: () => NaN,
        v: positive,
        hyper: (i) => bertHyper[i],
        clip: () => NaN,
        guard: (i) => i < 1 ? 1 : 0,
      },
    },
    {
      name: "more skipped updates than constants: the last",
      inputs: { param: [3, 5], grad: [3, 5], m: [3, 5], v: [3, 5], hyper: [12], clip: [1], guard: [3] },
      values: { v: positive, hyper: (i) => bertHyper[i], clip: () => 1, guard: (i) => i === 1 ? 9 : 0 },
      attrs: { hyperStride: 6, hyperRows: 2 },
    },
    {
      name: "a million weights",
      bench: true,
      inputs: {
        param: [1000000],
        grad: [1000000],
        m: [1000000],
        v: [1000000],
        hyper: [6],
        clip: [1],
        guard: [3],
      },
      values: { v: positive, hyper: (i) => bertHyper[i], clip: () => 1, guard: () => 0 },
    },
  ],
  clipTensors: [
    {
      name: "one element above the bound",
      inputs: { grad: [1], clip: [1] },
      values: { grad: () => -3, clip: () => 1 },
    },
    {
      name: "large, small, empty of values and long tensors",
      inputs: { grad: [5000], clip: [1] },
      values: {
        grad: (i, normal) => i < 64 ? normal() : i < 128 ? 1e-3 * normal() : i < 192 ? 0 : normal(),
        clip: () => 1,
      },
      attrs: { starts: [0, 64, 128, 192] },
    },
    {
      name: "norms that the factor of all brings below the bound, and one that it does not",
      inputs: { grad: [192], clip: [1] },
      values: { grad: (i, normal) => (i < 64 ? 10 : 0.1) * normal(), clip: () => 0.2 },
      attrs: { starts: [0, 64], maxNorm: 0.5 },
    },
    {
      name: "a million weights in 500 tensors",
      bench: true,
      inputs: { grad: [1000000], clip: [1] },
      values: { clip: () => 1 },
      attrs: { starts: Array.from({ length: 500 }, (_, i) => 1984 * i) },
    },
  ],
  gradNorm: [
    { name: "one element", inputs: { grad: [1] } },
    { name: "a prime", inputs: { grad: [1009] } },
    { name: "one past the partial sums", inputs: { grad: [16385] } },
    { name: "large gradients", inputs: { grad: [65] }, values: { grad: (_, normal) => 1e15 * normal() } },
    { name: "f16", inputs: { grad: [33] }, dtypes: { grad: "f16" } },
    { name: "a million weights", bench: true, inputs: { grad: [1000000] } },
  ],
  clipFactor: [
    { name: "above the bound", inputs: { norm: [1] }, values: { norm: () => 8 }, attrs: { maxNorm: 3 } },
    { name: "below the bound", inputs: { norm: [1] }, values: { norm: () => 0.5 } },
    { name: "a norm of zero", inputs: { norm: [1] }, values: { norm: () => 0 } },
  ],
};
