/** Files written here, read back here; PyTorch reads them in `deno task check:torch`. */
import assert from "node:assert/strict";
import { convertTensors } from "../../../data/checkpoint/convert.ts";
import { openCheckpointFile, selectWeights } from "../../../data/checkpoint/open.ts";
import { PyDict, PyFloat, PyGlobal, PyTuple } from "../../../data/checkpoint/pickle_values.ts";
import {
  encodeSafetensors,
  streamSafetensors,
  type TensorToStream,
} from "../../../data/checkpoint/safetensors.ts";
import { encodeTorch, stateDict, TensorLeaf, type TorchTree } from "../../../data/checkpoint/torch_write.ts";
import { openZip } from "../../../data/checkpoint/zip.ts";
import { memorySource } from "../../_util/memory_source.ts";

async function collect(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Uint8Array> {
  const bytes: number[] = [];
  for await (const chunk of chunks) for (const byte of chunk) bytes.push(byte);
  return Uint8Array.from(bytes);
}

function tensor(
  name: string,
  dtype: TensorToStream["dtype"],
  shape: number[],
  data: ArrayBufferView,
): TensorToStream {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { name, dtype, shape, read: () => Promise.resolve(bytes) };
}

const TENSORS: TensorToStream[] = [
  tensor("w", "F32", [2, 3], new Float32Array([1, -2, 0.5, 1e-40, 3e38, -0])),
  tensor("half", "F16", [3], new Uint16Array([0x3c00, 0x7bff, 1])),
  tensor("brain", "BF16", [1, 2], new Uint16Array([0x3f80, 0xc040])),
  tensor("double", "F64", [], new Float64Array([0.1])),
  tensor("count", "I64", [], new BigInt64Array([1n << 40n])),
  tensor("i32", "I32", [1], new Int32Array([-9])),
  tensor("i16", "I16", [2], new Int16Array([-300, 300])),
  tensor("i8", "I8", [1], new Int8Array([-7])),
  tensor("u8", "U8", [1], new Uint8Array([200])),
  tensor("yes", "BOOL", [2], new Uint8Array([1, 0])),
  tensor("empty", "F32", [0, 4], new Float32Array(0)),
];

Deno.test("a state dict written as a PyTorch file reads back with every type, shape and bit, in its order", async () => {
  const bytes = await collect(encodeTorch(stateDict(TENSORS)));
  const file = await openCheckpointFile(memorySource(bytes), { label: "x.pt" });
  assert.equal(file.format, "torch zip");
  assert.deepEqual(file.names(), TENSORS.map(({ name }) => name));
  for (const { name, dtype, shape, read } of TENSORS) {
    const found = file.describe(name)!;
    assert.deepEqual([found.dtype, found.shape], [dtype, shape], name);
    assert.deepEqual(await file.readRaw(name), await read(), name);
  }
  assert.deepEqual(bytes, await collect(encodeTorch(stateDict(TENSORS))), "equal input gives equal bytes");
});

Deno.test("storages of a written file start at multiples of 64 bytes, and the archive has what PyTorch looks for", async () => {
  const bytes = await collect(encodeTorch(stateDict(TENSORS)));
  const zip = await openZip(memorySource(bytes), { label: "x.pt" });
  const view = new DataView(bytes.buffer);
  assert.deepEqual([...zip.entries.keys()].slice(0, 3), [
    "archive/data.pkl",
    "archive/byteorder",
    "archive/data/0",
  ]);
  for (const entry of zip.entries.values()) {
    const at = entry.headerOffset;
    assert.equal(
      (at + 30 + view.getUint16(at + 26, true) + view.getUint16(at + 28, true)) % 64,
      0,
      entry.name,
    );
  }
  const version = await zip.read(zip.entries.get("archive/version")!);
  assert.equal(new TextDecoder().decode(version), "3\n");
});

Deno.test("a training checkpoint keeps its nesting, and whole and real numbers apart", async () => {
  const group = new PyDict(false);
  group.entries.set("lr", new PyFloat(1)).set("betas", new PyTuple([new PyFloat(0.9), new PyFloat(0.999)]));
  group.entries.set("foreach", null).set("amsgrad", false).set("params", [
    0,
    1,
    -1,
    300,
    70000,
    -(2 ** 40),
    1n << 70n,
  ]);
  const state = new PyDict(false);
  state.entries.set(0, new PyTuple([])).set(1, "ünï");
  const tree = new Map<string, TorchTree>([
    ["epoch", 7],
    ["model_state_dict", stateDict(TENSORS.slice(0, 2))],
    ["moment", new TensorLeaf(TENSORS[2])],
    ["optimizer_state_dict", new Map<string, TorchTree>([["state", state], ["param_groups", [group]]])],
    ["loss", 0.5123],
  ]);
  const file = await openCheckpointFile(memorySource(await collect(encodeTorch(tree))), { label: "x.pt" });
  assert.deepEqual(Object.fromEntries(file.values), {
    epoch: 7,
    "optimizer_state_dict/state/1": "ünï",
    "optimizer_state_dict/param_groups/0/lr": 1,
    "optimizer_state_dict/param_groups/0/betas/0": 0.9,
    "optimizer_state_dict/param_groups/0/betas/1": 0.999,
    "optimizer_state_dict/param_groups/0/foreach": null,
    "optimizer_state_dict/param_groups/0/amsgrad": false,
    "optimizer_state_dict/param_groups/0/params/0": 0,
    "optimizer_state_dict/param_groups/0/params/1": 1,
    "optimizer_state_dict/param_groups/0/params/2": -1,
    "optimizer_state_dict/param_groups/0/params/3": 300,
    "optimizer_state_dict/param_groups/0/params/4": 70000,
    "optimizer_state_dict/param_groups/0/params/5": -(2 ** 40),
    "optimizer_state_dict/param_groups/0/params/6": 1n << 70n,
    loss: 0.5123,
  });
  assert.deepEqual(file.names(), ["model_state_dict/w", "model_state_dict/half", "moment"]);
  const root = file.tree!.root as PyDict;
  const groups = (root.entries.get("optimizer_state_dict") as PyDict).entries.get("param_groups") as PyDict[];
  assert.ok(groups[0].entries.get("lr") instanceof PyFloat, "1.0 must not become 1");
});

Deno.test("encodeTorch() refuses types that PyTorch files do not have, bytes that do not fit, and objects", async () => {
  const refuse = (tree: TorchTree, message: RegExp) =>
    assert.rejects(async () => await collect(encodeTorch(tree)), message);
  await refuse(
    stateDict([tensor("x", "F8_E4M3", [1], new Uint8Array(1))]),
    /a tensor of F8_E4M3: PyTorch files hold F64/,
  );
  await refuse(
    stateDict([tensor("x", "F32", [2], new Float32Array(1))]),
    /it needs 8 bytes, current value is 4/,
  );
  await refuse(new PyGlobal("os.system"), /Cannot encode "os\.system"/);
});

Deno.test("streamSafetensors() writes the bytes of encodeSafetensors() and refuses a tensor of another size", async () => {
  const whole = await Promise.all(
    TENSORS.map(async ({ name, dtype, shape, read }) => ({ name, dtype, shape, data: await read() })),
  );
  assert.deepEqual(
    await collect(streamSafetensors(TENSORS, { a: "1" })),
    await collect(encodeSafetensors(whole, { a: "1" })),
  );
  const wrong = tensor("x", "F32", [2], new Float32Array(1));
  await assert.rejects(
    async () => await collect(streamSafetensors([wrong])),
    /"x": shape \[2\] of F32 needs 8 bytes, current value is 4/,
  );
});

Deno.test("convertTensors() changes floats alone, renames, leaves out, and counts what overflows", async () => {
  const file = await openCheckpointFile(memorySource(await collect(encodeTorch(stateDict(TENSORS)))), {
    label: "x.pt",
  });
  const overflowed: [string, number][] = [];
  const converted = convertTensors(selectWeights(file), {
    dtype: "F16",
    rename: (name) => (name === "i8" ? null : `a.${name}`),
    onOverflow: (name, count) => overflowed.push([name, count]),
  });
  const types = Object.fromEntries(converted.map(({ name, dtype }) => [name, dtype]));
  assert.deepEqual([types["a.w"], types["a.double"], types["a.brain"], types["a.count"], types["a.yes"]], [
    "F16",
    "F16",
    "F16",
    "I64",
    "BOOL",
  ]);
  assert.ok(!("a.i8" in types));
  const w = await converted.find(({ name }) => name === "a.w")!.read();
  assert.deepEqual([...new Uint16Array(w.buffer, w.byteOffset, 6)], [
    0x3c00,
    0xc000,
    0x3800,
    0,
    0x7c00,
    0x8000,
  ]);
  assert.deepEqual(overflowed, [["a.w", 1]]);
});
