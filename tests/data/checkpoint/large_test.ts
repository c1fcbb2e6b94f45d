/** Headers and indices that are large for nothing: each is refused by what it claims, with little of it in the message. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openWeights } from "../../../data/checkpoint/open.ts";
import { filesOfWeights } from "../../../data/checkpoint/sharded.ts";
import { DataError } from "../../../lib/errors.ts";
import { REPORTED } from "../../_util/reported_checkpoints.ts";

const encoder = new TextEncoder();

/** A safetensors file with this header, and data behind it. */
function safetensors(header: string, dataBytes = 0): Uint8Array {
  const text = encoder.encode(header), out = new Uint8Array(8 + text.length + dataBytes);
  new DataView(out.buffer).setBigUint64(0, BigInt(text.length), true);
  out.set(text, 8);
  return out;
}

/** The length of a header that is not there. */
function claim(headerBytes: bigint): Uint8Array {
  const out = safetensors("{}");
  new DataView(out.buffer).setBigUint64(0, headerBytes, true);
  return out;
}

const entry = (name: string, i: number) =>
  `"${name}":{"dtype":"F32","shape":[],"data_offsets":[${4 * i},${4 * i + 4}]}`;
const entries = (count: number) =>
  `{${Array.from({ length: count }, (_, i) => entry(`a${i}`, i)).join(",")}}`;

const REFUSED: [what: string, file: () => Uint8Array, message: RegExp][] = [
  [
    "a header of 110 MB",
    () => claim(110_000_000n),
    /may have at most 33554432 bytes, current value is 110000000/,
  ],
  [
    "a name of 5 MB",
    () => safetensors(`{${entry("n".repeat(5e6), 0)}}`, 4),
    /at most 1024 characters, "n{80}…" has 5000000$/,
  ],
  [
    "a name of 5 MB in escapes",
    () => safetensors(`{${entry("\\u0041".repeat(8e5), 0)}}`, 4),
    /at most 1024 characters, "/,
  ],
  [
    "a hundred and twenty thousand tensors",
    () => safetensors(entries(120_000), 480_000),
    /at most 500000 texts$/,
  ],
  [
    "a type of 5 MB",
    () => safetensors(`{"a":{"dtype":"${"F".repeat(5e6)}","shape":[],"data_offsets":[0,4]}}`, 4),
    /dtype of tensor "a" must be one of .*, current value is "F{79}…$/,
  ],
  [
    "two million brackets",
    () => safetensors(`{"a":${"[".repeat(1e6)}${"]".repeat(1e6)}}`),
    /nest at most 3 deep$/,
  ],
  [
    "a shape of a hundred thousand texts",
    () => safetensors(`{"a":{"dtype":"F32","shape":[${'"1",'.repeat(1e5)}1],"data_offsets":[0,4]}}`, 4),
    /shape of tensor "a" must be a list of sizes, current value is \["1"/,
  ],
  ["an open text of 5 MB", () => safetensors(`{"${"a".repeat(5e6)}`), /at most 1024 characters, "a{80}…/],
  [
    "an index of two hundred thousand files",
    () => encoder.encode(`{"weight_map":{${Array.from({ length: 200_000 }, (_, i) => `"a${i}":"b${i}"`)}}}`),
    /at most 250000 texts$/,
  ],
  [
    "an index of many files",
    () => encoder.encode(`{"weight_map":{${Array.from({ length: 2000 }, (_, i) => `"a${i}":"b${i}"`)}}}`),
    /may name at most 1024 files, current count is 2000$/,
  ],
  [
    "an index that leads elsewhere",
    () => encoder.encode('{"weight_map":{"a":"../../secret"}}'),
    /must lie beside it, it names "\.\.\/\.\.\/secret"$/,
  ],
  [
    "an index that leads to the folder",
    () => encoder.encode('{"weight_map":{"a":".."}}'),
    /must lie beside it, it names "\.\."$/,
  ],
  [
    "an index of a file that is not there",
    () => encoder.encode('{"weight_map":{"a":"none.safetensors"}}'),
    /Cannot open ".*none\.safetensors": it does not exist/,
  ],
  [
    "JSON of something else",
    () => encoder.encode('{"model_type":"clip"}'),
    /is JSON without the "weight_map" of an index$/,
  ],
  ["JSON cut off", () => encoder.encode('{"weight_map":{"a":"b'), /begins like JSON and is none$/],
];

for (const [what, file, message] of REFUSED) {
  Deno.test(`a file with ${what} is refused in one short line`, async () => {
    const folder = await Deno.makeTempDir();
    try {
      const path = join(folder, "x.bin");
      await Deno.writeFile(path, file());
      await assert.rejects(openWeights(path), (error) => {
        assert.ok(error instanceof DataError, String(error));
        assert.match(error.message, message);
        assert.ok(error.message.length < 600, `${error.message.length} characters`);
        return true;
      });
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

Deno.test("ninety thousand tensors are read", async () => {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeFile(path, safetensors(entries(90_000), 360_000));
    await using weights = await openWeights(path);
    assert.equal(weights.names().length, 90_000);
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("an index stands for the files beside it", async () => {
  const index = `${REPORTED}sh/model.safetensors.index.json`;
  await using weights = await openWeights(index);
  await using whole = await openWeights(`${REPORTED}plain.pt`);
  assert.deepEqual(weights.names().sort(), whole.names().sort());
  for (const name of whole.names()) assert.deepEqual(await weights.readF32(name), await whole.readF32(name));
  assert.deepEqual((await filesOfWeights(index)).map((path) => path.slice(REPORTED.length)), [
    "sh/model.safetensors.index.json",
    "sh/model-00001-of-00002.safetensors",
    "sh/model-00002-of-00002.safetensors",
  ]);
  assert.deepEqual(await filesOfWeights(`${REPORTED}plain.pt`), [`${REPORTED}plain.pt`]);
});
