import assert from "node:assert/strict";
import fc from "fast-check";
import { bestOf, dotProduct, VectorTable } from "../../../data/search_index/nearest.ts";
import { createPrng } from "../../../lib/random.ts";

/** The definition: every row, then all of them in order. */
function plainLoop(rows: readonly Float32Array[], query: Float32Array, count: number) {
  return rows.map((values, row) => ({ row, score: dotProduct(values, query) }))
    .sort((a, b) => b.score - a.score || a.row - b.row).slice(0, count);
}

function tableOf(rows: readonly Float32Array[], dims: number): VectorTable {
  const table = new VectorTable(rows.length, dims);
  rows.forEach((values, row) => table.set(row, values));
  return table;
}

Deno.test("nearest() gives the hits of a plain loop, whatever the numbers", () => {
  // Few different values make many equal and nearly equal scores.
  const coarse = fc.constantFrom(0, -0, 1, -1, 0.5, 1e-3, 1 + 2 ** -23, 1e-30, 1e-42, -3e4);
  const cases = fc.integer({ min: 1, max: 70 }).chain((dims) => {
    const vector = fc.array(fc.oneof(coarse, fc.float({ noNaN: true, min: -8, max: 8 })), {
      minLength: dims,
      maxLength: dims,
    }).map((values) => Float32Array.from(values));
    return fc.record({
      dims: fc.constant(dims),
      rows: fc.array(vector, { maxLength: 40 }),
      query: vector,
      count: fc.integer({ min: 1, max: 45 }),
    });
  });
  fc.assert(
    fc.property(cases, ({ dims, rows, query, count }) => {
      assert.deepEqual(tableOf(rows, dims).nearest(query, count), plainLoop(rows, query, count));
    }),
    { numRuns: 400 },
  );
});

Deno.test("nearest() gives the hits of a plain loop among many unit vectors, of which some are the same", () => {
  const prng = createPrng(5), dims = 48;
  const unit = () => {
    const values = Float32Array.from({ length: dims }, () => prng.normal());
    const length = Math.sqrt(dotProduct(values, values));
    return values.map((value) => value / length);
  };
  const rows = Array.from({ length: 5000 }, unit);
  for (let row = 0; row < rows.length; row += 7) rows[row] = rows[prng.integer(rows.length)];
  const table = tableOf(rows, dims);
  for (let i = 0; i < 20; i++) {
    const query = i % 2 === 0 ? unit() : rows[prng.integer(rows.length)];
    const count = i === 0 ? 2000 : 25;
    assert.deepEqual(table.nearest(query, count), plainLoop(rows, query, count));
  }
});

Deno.test("bestOf() takes the first of equal scores, and no more than there are", () => {
  assert.deepEqual(bestOf([1, 3, 3, 2, 3], 2), [{ row: 1, score: 3 }, { row: 2, score: 3 }]);
  assert.deepEqual(bestOf([1, 2], 9).map(({ row }) => row), [1, 0]);
  assert.deepEqual(bestOf([], 3), []);
});
