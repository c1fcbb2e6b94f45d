/** Exact comparison of many tensors, with a short message where they differ. */

import assert from "node:assert/strict";

/** Fails, naming the first tensor and element that differs, unless both hold the same names and the same bits. */
export function assertSameBits(
  actual: ReadonlyMap<string, Float32Array | Uint8Array>,
  expected: ReadonlyMap<string, Float32Array | Uint8Array>,
  message = "tensors",
): void {
  assert.deepEqual([...actual.keys()].sort(), [...expected.keys()].sort(), `${message}: names`);
  for (const [name, values] of actual) {
    const others = expected.get(name)!;
    assert.equal(values.length, others.length, `${message}: length of ${name}`);
    const at = values.findIndex((value, i) => !Object.is(value, others[i]));
    assert.ok(at < 0, `${message}: ${name}[${at}] is ${values[at]}, expected ${others[at]}`);
  }
}
