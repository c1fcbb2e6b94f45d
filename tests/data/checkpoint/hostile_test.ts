/** Files made to cost memory or time, or to hide something: each is refused at once, by what it claims. */
import assert from "node:assert/strict";
import { openCheckpointFile } from "../../../data/checkpoint/open.ts";
import type { RangeSource } from "../../../data/checkpoint/safetensors.ts";
import { openZip } from "../../../data/checkpoint/zip.ts";
import { encodeDirectory, encodeZip } from "../../../data/zip_write.ts";
import { DataError } from "../../../lib/errors.ts";
import { archiveOf } from "../../_util/checkpoint_fuzz.ts";
import { memorySource } from "../../_util/memory_source.ts";
import { dict, global, tensor, textOf } from "../../_util/pickle_pieces.ts";

const encoder = new TextEncoder();

/** A dict with one item. */
const item = (value: number[]) => dict(["w", value]);

async function refusal(bytes: Uint8Array): Promise<string> {
  const start = performance.now();
  try {
    await openCheckpointFile(memorySource(bytes), { label: "x.pt" });
  } catch (error) {
    assert.ok(error instanceof DataError, String(error));
    assert.ok(performance.now() - start < 3000, `took ${performance.now() - start} ms`);
    return error.message;
  }
  return "";
}

const pickles: [what: string, pickle: number[], message: RegExp][] = [
  [
    "a storage larger than its entry",
    item(tensor({ count: 1n << 40n, shape: [3n], strides: [1n] })),
    /storage "0" must have 4398046511104 bytes, current value is 12/,
  ],
  [
    "a storage that is not there",
    item(tensor({ key: "../../etc/passwd", shape: [3n], strides: [1n] })),
    /must be in the archive, there is no "a\/data\/\.\.\/\.\.\/etc\/passwd"/,
  ],
  [
    "a tensor that leaves its storage",
    item(tensor({ shape: [4n], strides: [1n] })),
    /must fit its storage "0" of 3 elements/,
  ],
  [
    "strides that leave the storage",
    item(tensor({ shape: [2n, 2n], strides: [3n, 1n] })),
    /must fit its storage/,
  ],
  [
    "an offset that leaves the storage",
    item(tensor({ offset: 3n, shape: [1n], strides: [1n] })),
    /must fit its storage/,
  ],
  [
    "an empty tensor with an offset beyond the storage",
    item(tensor({ offset: 4n, shape: [0n], strides: [1n] })),
    /must fit its storage/,
  ],
  [
    "a negative stride",
    item(tensor({ offset: 2n, shape: [3n], strides: [-1n] })),
    /as many strides as sizes/,
  ],
  ["a negative size", item(tensor({ shape: [-3n], strides: [1n] })), /as many strides as sizes/],
  ["a size beyond 2^53", item(tensor({ shape: [1n << 60n], strides: [0n] })), /as many strides as sizes/],
  [
    "a tensor of a thousand billion elements over one",
    item(tensor({ shape: [1n << 40n], strides: [0n] })),
    /must not be larger than its file, it takes 4398046511104 bytes/,
  ],
  [
    "sizes whose product overflows",
    item(tensor({ shape: Array(16).fill(1n << 51n), strides: Array(16).fill(0n) })),
    /must not be larger than its file/,
  ],
  [
    "more axes than a network has",
    item(tensor({ shape: Array(17).fill(1n), strides: Array(17).fill(1n) })),
    /as many strides as sizes, at most 16/,
  ],
  ["a list that holds itself", [0x5d, 0x71, 0, 0x68, 0, 0x61], /may nest at most 64 deep/],
  ["a list that doubles with every line", [
    0x5d,
    ...tensor({ shape: [3n], strides: [1n] }),
    0x61,
    ...Array.from({ length: 40 }, () => [0x71, 0, 0x30, 0x5d, 0x68, 0, 0x61, 0x68, 0, 0x61]).flat(),
  ], /at most 1048576 values/],
  ["nested lists without end", [...Array(2000).fill([0x5d, 0x28]).flat()], /at most 1000 marks/],
  ["a text of 4 GB", [0x58, 0xff, 0xff, 0xff, 0xff], /goes on after byte/],
  ["a text of 2^64 bytes", [0x8d, ...Array(8).fill(0xff)], /goes on after byte/],
  ["bytes of 2 GB", [0x42, 0xff, 0xff, 0xff, 0x7f], /goes on after byte/],
  ["a number of 2 GB", [0x8b, 0xff, 0xff, 0xff, 0x7f], /at most 64 bytes/],
  [
    "a class of TorchScript outside a TorchScript archive",
    item(global("__torch__.Net")),
    /refers to "__torch__\.Net", which is not on the list/,
  ],
  [
    "a call of a storage class",
    item([...global("torch.FloatStorage"), 0x29, 0x52]),
    /"torch\.FloatStorage" must not be called/,
  ],
  ["a call of text", item([...textOf("f"), 0x29, 0x52]), /only a named global may be called/],
  [
    "an object of an OrderedDict",
    item([...global("collections.OrderedDict"), 0x29, 0x81]),
    /must not be called/,
  ],
  [
    "attributes of a tensor",
    item([...tensor({ shape: [3n], strides: [1n] }), 0x7d, 0x62]),
    /only an object or a dict may be given attributes/,
  ],
  ["an extension code", [0x82, 7], /uses EXT1, which no state dict needs: refused/],
  ["an opcode that does not exist", [0xff], /must be an opcode, current value is 0xff/],
  ["a memo that was never set", [0x68, 9], /memo 9 of the pickle must be set/],
  ["a protocol of the future", [0x80, 9], /protocol must be at most 5, current value is 9/],
  ["a tensor without a name", tensor({ shape: [3n], strides: [1n] }), /one tensor without a name/],
  ["no tensor", item([0x4b, 1]), /it must hold a tensor, it holds none/],
  ["two values", [0x4b, 1, 0x4b, 2], /must leave one value on its stack/],
];

for (const [what, pickle, message] of pickles) {
  Deno.test(`a pickle with ${what} is refused`, async () => {
    assert.match(await refusal(await archiveOf(Uint8Array.from([0x80, 2, ...pickle, 0x2e]))), message);
  });
}

Deno.test("a pickle that makes a million containers is refused", async () => {
  const bytes = new Uint8Array(2 ** 20 + 3).fill(0x7d);
  bytes.set([0x80, 2]);
  bytes[bytes.length - 1] = 0x2e;
  assert.match(await refusal(await archiveOf(bytes)), /at most 524288 containers/);
});

/** A sound archive of two entries, and where its second directory entry starts. */
async function archive(): Promise<{ bytes: Uint8Array; view: DataView; directory: number; second: number }> {
  const parts: Uint8Array[] = [];
  const content = Uint8Array.of(0x80, 2, 0x7d, 0x2e);
  for await (
    const part of encodeZip([{ name: "a/data.pkl", read: () => content }, {
      name: "a/data/0",
      read: () => new Uint8Array(12),
    }])
  ) {
    parts.push(part);
  }
  const bytes = new Uint8Array(parts.flatMap((part) => [...part])), view = new DataView(bytes.buffer);
  const directory = view.getUint32(bytes.length - 6, true);
  return { bytes, view, directory, second: directory + 46 + "a/data.pkl".length };
}

const archives: [
  what: string,
  damage: (zip: Awaited<ReturnType<typeof archive>>) => void,
  message: RegExp,
][] = [
  [
    "a directory larger than the file",
    ({ bytes, view }) => view.setUint32(bytes.length - 10, 0x7fffffff, true),
    /directory must end before byte/,
  ],
  [
    "65535 entries in a small directory",
    ({ bytes, view }) => view.setUint16(bytes.length - 12, 0xffff, true),
    /must have fewer entries/,
  ],
  [
    "an entry of 4 GB",
    (
      { view, second },
    ) => (view.setUint32(second + 20, 0xfffffffe, true), view.setUint32(second + 24, 0xfffffffe, true)),
    /"a\/data\/0" must end before byte/,
  ],
  [
    "an entry larger than what is stored of it",
    ({ view, second }) => view.setUint32(second + 24, 0x10000000, true),
    /must have equal sizes/,
  ],
  [
    "entries on top of each other",
    ({ view, second }) => view.setUint32(second + 42, 4, true),
    /overlaps the next entry/,
  ],
  ["an encrypted entry", ({ view, second }) => view.setUint16(second + 8, 1, true), /must not be encrypted/],
  [
    "a compressed pickle",
    ({ view, directory }) => view.setUint16(directory + 10, 8, true),
    /must be stored, current compression is deflate/,
  ],
  ["a name that is not UTF-8", ({ bytes, second }) => void (bytes[second + 46] = 0xff), /must be UTF-8/],
  ["a name given twice", ({ bytes, view, directory, second }) => {
    bytes.set(bytes.subarray(second + 46, second + 54), directory + 46);
    bytes[directory + 54] = 0;
    view.setUint16(directory + 28, 8, true);
    view.setUint16(directory + 30, 2, true);
  }, /names must be unique/],
  [
    "a local header somewhere else",
    ({ view, directory }) => view.setUint32(directory + 42, 1, true),
    /must start at byte 1, there is none/,
  ],
  ["a damaged byte", ({ bytes }) => void (bytes[66] ^= 1), /checksum of "a\/data\.pkl" must be/],
];

for (const [what, damage, message] of archives) {
  Deno.test(`an archive with ${what} is refused`, async () => {
    const zip = await archive();
    damage(zip);
    assert.match(await refusal(zip.bytes), message);
  });
}

Deno.test("an archive of more than 4 GB is read through its ZIP64 fields, by range", async () => {
  // A file of zeros with one entry beyond 4 GB and one larger than 4 GB; only its directory and a header are real.
  const far = 5 * 2 ** 30,
    records = [
      { name: "a/big", sizeBytes: 2 ** 32 + 100, crc32: 0, headerOffset: 0 },
      { name: "a/far", sizeBytes: 8, crc32: 0, headerOffset: far },
    ];
  const directoryAt = far + 1000, directory = encodeDirectory(records, directoryAt);
  const header = new Uint8Array(30);
  new DataView(header.buffer).setUint32(0, 0x04034b50, true);
  const real: [number, Uint8Array][] = [[0, header], [far, header], [far + 30, encoder.encode("contents")], [
    directoryAt,
    directory,
  ]];
  const source: RangeSource = {
    sizeBytes: directoryAt + directory.length,
    read(offset, length) {
      assert.ok(length < 2 ** 20, "a range must stay small");
      const out = new Uint8Array(length);
      for (const [start, bytes] of real) {
        for (let i = 0; i < bytes.length; i++) {
          if (start + i >= offset && start + i < offset + length) out[start + i - offset] = bytes[i];
        }
      }
      return Promise.resolve(out);
    },
  };
  const zip = await openZip(source, { label: "big.zip" });
  assert.equal(zip.entries.get("a/big")!.sizeBytes, 2 ** 32 + 100);
  assert.equal(new TextDecoder().decode(await zip.read(zip.entries.get("a/far")!)), "contents");
  const part = await zip.read(zip.entries.get("a/big")!, { offset: 2 ** 32, length: 100 });
  assert.deepEqual(part, new Uint8Array(100));
  await assert.rejects(
    zip.read(zip.entries.get("a/big")!, { offset: 2 ** 32, length: 101 }),
    /must have 4294967397 bytes/,
  );
});
