import assert from "node:assert/strict";
import { crc32 as zlib } from "node:zlib";
import { crc32 } from "../../lib/crc32.ts";
import { createPrng } from "../../lib/random.ts";

Deno.test("crc32() is zlib's, for every length around a block and for random bytes", () => {
  assert.equal(crc32(new TextEncoder().encode("123456789")), 0xcbf43926);
  const prng = createPrng(3), bytes = Uint8Array.from({ length: 4099 }, () => prng.integer(256));
  for (const length of [0, 1, 7, 8, 9, 15, 16, 17, 4099]) {
    assert.equal(crc32(bytes.subarray(0, length)), zlib(bytes.subarray(0, length)), `${length} bytes`);
  }
});
