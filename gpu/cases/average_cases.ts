import type { CaseTable } from "./op_case.ts";

const guard = (skip: number, skipped: number) => (i: number) => [skip, skipped, skipped][i];
const rates = (i: number) => [7, 0.5, 0.25, 2e-4][i];

export const cases: CaseTable = {
  moveAverage: [
    {
      name: "a prime of elements",
      inputs: { average: [257], value: [257], rates: [1], guard: [3] },
      values: { rates: () => 2e-4, guard: guard(0, 0) },
    },
    {
      name: "rows, with the rate after one skipped update",
      inputs: { average: [3, 5], value: [3, 5], rates: [4], guard: [3] },
      values: { rates, guard: guard(0, 1) },
      attrs: { offset: 1, count: 3 },
    },
    {
      name: "more skipped updates than rates: the last",
      inputs: { average: [3, 5], value: [3, 5], rates: [4], guard: [3] },
      values: { rates, guard: guard(0, 9) },
      attrs: { offset: 1, count: 3 },
    },
    {
      name: "marked to be skipped, with values of NaN",
      inputs: { average: [65], value: [65], rates: [1], guard: [3] },
      values: { value: () => NaN, rates: () => 0.5, guard: guard(1, 0) },
    },
    {
      name: "a million weights",
      bench: true,
      inputs: { average: [1000000], value: [1000000], rates: [1], guard: [3] },
      values: { rates: () => 2e-4, guard: guard(0, 0) },
    },
  ],
  exchange: [
    { name: "one element", inputs: { a: [1], b: [1] } },
    { name: "a prime of elements", inputs: { a: [1009], b: [1009] } },
    {
      name: "rows, of which one tensor is not finite",
      inputs: { a: [3, 5], b: [3, 5] },
      values: { a: () => NaN },
    },
    { name: "a million weights", bench: true, inputs: { a: [1000000], b: [1000000] } },
  ],
};
