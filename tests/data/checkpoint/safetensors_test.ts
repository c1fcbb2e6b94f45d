import assert from "node:assert/strict";
import { findDuplicateKey } from "../../../data/checkpoint/_json_scan.ts";
import {
  encodeSafetensors,
  MAX_HEADER_BYTES,
  openSafetensors,
  type RangeSource,
} from "../../../data/checkpoint/safetensors.ts";
import { DataError } from "../../../lib/errors.ts";

function memory(bytes: Uint8Array): RangeSource {
  return {
    sizeBytes: bytes.length,
    read: (offset, length) => Promise.resolve(bytes.slice(offset, offset + length)),
  };
}

function join(chunks: Iterable<Uint8Array>): Uint8Array {
  return new Uint8Array([...chunks].flatMap((chunk) => [...chunk]));
}

/** A file with exactly this header text and `dataBytes` zero bytes of data. */
function file(header: string | Uint8Array, dataBytes = 0, statedBytes?: number | bigint): Uint8Array {
  const text = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + text.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(statedBytes ?? text.length), true);
  bytes.set(text, 8);
  return bytes;
}

const samples = [
  { name: "z", dtype: "F32", shape: [2, 3], data: new Float32Array([1, -2, 0.5, 1e-40, 3e38, -0]) },
  { name: "half", dtype: "F16", shape: [3], data: new Float32Array([1, 65504, 2 ** -24]) },
  { name: "brain", dtype: "BF16", shape: [2], data: new Float32Array([1, -3]) },
  { name: "double", dtype: "F64", shape: [2], data: new Float32Array([0.1, 7]) },
  { name: "7", dtype: "I64", shape: [2], data: new BigInt64Array([-5n, 1n << 40n]) },
  { name: "a", dtype: "I32", shape: [1], data: new Int32Array([-9]) },
  { name: "i16", dtype: "I16", shape: [2], data: new Int16Array([-300, 300]) },
  { name: "i8", dtype: "I8", shape: [1, 1], data: new Int8Array([-7]) },
  { name: "scalar", dtype: "U8", shape: [], data: new Uint8Array([200]) },
  { name: "yes", dtype: "BOOL", shape: [2], data: new Uint8Array([1, 0]) },
  { name: "empty", dtype: "F32", shape: [0, 4], data: new Float32Array(0) },
] as const;

Deno.test("a written file reads back with every dtype, its metadata and shapes", async () => {
  const bytes = join(encodeSafetensors(samples, { step: "12", about: 'a "quoted" note' }));
  const opened = await openSafetensors(memory(bytes));
  assert.deepEqual({ ...opened.metadata }, { about: 'a "quoted" note', step: "12" });
  assert.deepEqual([...opened.names()].sort(), samples.map((tensor) => tensor.name).sort());
  const expected: Record<string, number[]> = {
    z: [...samples[0].data],
    half: [1, 65504, 2 ** -24],
    brain: [1, -3],
    double: [Math.fround(0.1), 7],
    7: [-5, 2 ** 40],
    a: [-9],
    i16: [-300, 300],
    i8: [-7],
    scalar: [200],
    yes: [1, 0],
    empty: [],
  };
  for (const { name, dtype, shape } of samples) {
    assert.deepEqual([...await opened.readF32(name)], expected[name], name);
    const info = opened.describe(name);
    assert.equal(info.dtype, dtype);
    assert.deepEqual(info.shape, shape);
    assert.equal((await opened.readRaw(name)).length, info.sizeBytes);
  }
  await assert.rejects(async () => await opened.readF32("absent"), /must hold a tensor "absent"/);
});

Deno.test("the same tensors in another order give the same bytes", () => {
  const forward = join(encodeSafetensors(samples, { b: "1", a: "2" }));
  const backward = join(encodeSafetensors([...samples].reverse(), { a: "2", b: "1" }));
  assert.deepEqual(forward, backward);
});

Deno.test("encodeSafetensors() refuses data that does not fit its shape and names given twice", () => {
  const tensor = { name: "w", dtype: "F32", shape: [3], data: new Float32Array(2) } as const;
  assert.throws(
    () => join(encodeSafetensors([tensor])),
    /"w": shape \[3\] of F32 needs 12 bytes, current value is 8/,
  );
  const good = { ...tensor, shape: [2] };
  assert.throws(() => join(encodeSafetensors([good, good])), /names must be unique/);
});

const entry = (dtype: string, shape: string, offsets: string) =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}`;

const broken: [string, Uint8Array, RegExp][] = [
  ["a file of 7 bytes", new Uint8Array(7), /at least 8 bytes, current size is 7/],
  [
    "a header beyond the cap",
    file("{}", 0, MAX_HEADER_BYTES + 1),
    /at most 33554432 bytes, current value is 33554433/,
  ],
  ["a header of 2^63 bytes", file("{}", 0, 1n << 63n), /at most 33554432 bytes/],
  [
    "a header longer than the file",
    file("{}", 0, 40),
    /ends at byte 48, current file size is 10; the file is truncated/,
  ],
  ["a header that is not UTF-8", file(new Uint8Array([0x7b, 0xff, 0x7d])), /must be UTF-8/],
  ["a header that does not start an object", file("[1]"), /must start with "\{"/],
  ["a header that is not JSON", file('{"a":'), /must be JSON/],
  [
    "a shape of 17 axes",
    file(`{"a":${entry("U8", `[${Array(17).fill(1)}]`, "[0,1]")}}`, 1),
    /shape of tensor "a" must have at most 16 axes, current count is 17$/,
  ],
  [
    "a name given twice",
    file(`{"a":${entry("U8", "[1]", "[0,1]")},"\\u0061":${entry("U8", "[1]", "[1,2]")}}`, 2),
    /"a" twice/,
  ],
  [
    "an unknown dtype",
    file(`{"a":${entry("F7", "[1]", "[0,1]")}}`, 1),
    /dtype of tensor "a" must be one of .*"F7"/,
  ],
  [
    "a dtype named like an object's own method",
    file(`{"a":${entry("toString", "[1]", "[0,1]")}}`, 1),
    /must be one of/,
  ],
  [
    "a negative size",
    file(`{"a":${entry("U8", "[-1]", "[0,1]")}}`, 1),
    /list of sizes, current value is \[-1\]/,
  ],
  [
    "a shape that overflows",
    file(`{"a":${entry("U8", "[4294967296,4294967296]", "[0,0]")}}`),
    /must have 18446744073709552000 bytes/,
  ],
  ["offsets that run backwards", file(`{"a":${entry("U8", "[1]", "[1,0]")}}`, 1), /must be \[begin, end\]/],
  [
    "a size that is not shape × dtype",
    file(`{"a":${entry("F32", "[2]", "[0,4]")}}`, 4),
    /shape \[2\] and dtype F32 must have 8 bytes, current value is 4/,
  ],
  [
    "a gap",
    file(`{"a":${entry("U8", "[1]", "[1,2]")}}`, 2),
    /must start at data byte 0, current value is 1: it leaves a gap/,
  ],
  [
    "an overlap",
    file(`{"a":${entry("U8", "[2]", "[0,2]")},"b":${entry("U8", "[2]", "[1,3]")}}`, 3),
    /"b" must start at data byte 2, current value is 1: it overlaps/,
  ],
  [
    "bytes after the last tensor",
    file(`{"a":${entry("U8", "[1]", "[0,1]")}}`, 2),
    /describes 62 bytes, current file size is 63/,
  ],
  ["a file cut short", file(`{"a":${entry("U8", "[2]", "[0,2]")}}`, 1), /current file size is/],
  ["metadata that is not text", file(`{"__metadata__":{"k":1}}`), /metadata "k" must be a string/],
  [
    "an entry with a foreign key",
    file(`{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"x":1}}`),
    /current keys include "x"/,
  ],
];

for (const [what, bytes, message] of broken) {
  Deno.test(`openSafetensors() refuses ${what}`, async () => {
    await assert.rejects(openSafetensors(memory(bytes), { label: "x.safetensors" }), (error: Error) => {
      assert(error instanceof DataError);
      assert.match(error.message, /^Cannot read "x\.safetensors": /);
      assert.match(error.message, message);
      return true;
    });
  });
}

Deno.test("findDuplicateKey() looks inside nested objects and is not misled by text", () => {
  assert.equal(findDuplicateKey('{"a":{"b":1,"c":[{"b":2}]},"b":"{\\"a\\":1}"}'), null);
  assert.equal(findDuplicateKey('{"a":{"b":1,"b":2}}'), "b");
});
