/** Every file of tests/fixtures/checkpoints, which PyTorch wrote: the good ones give what their twins hold, the others are refused. */
import assert from "node:assert/strict";
import { openCheckpointFile, openWeights } from "../../../data/checkpoint/open.ts";
import { gatherRows, TensorView } from "../../../data/checkpoint/tensor_view.ts";
import { fileRange } from "../../../data/files.ts";
import { DataError } from "../../../lib/errors.ts";

const FOLDER = new URL("../../fixtures/checkpoints/", import.meta.url).pathname;

interface FixtureFile {
  file: string;
  expect?: string;
  must_refuse?: boolean;
  non_tensors?: Record<string, unknown>;
  strides?: Record<string, number[]>;
}

const { files } = JSON.parse(await Deno.readTextFile(`${FOLDER}index.json`)) as { files: FixtureFile[] };

/** What each refused file must be refused for. */
const REASONS: Record<string, RegExp> = {
  "evil-reduce.pt": /refers to "posix\.system", which is not on the list/,
  "evil-stack-global.pt": /refers to "posix\.system", which is not on the list/,
  "evil-inst.pt": /uses INST of "posix\.system"/,
  "evil-late.pt": /refers to "posix\.system", which is not on the list/,
  "evil-eval.pt": /refers to "builtins\.eval", which is not on the list/,
  "evil-legacy.pt": /refers to "posix\.system", which is not on the list/,
  "whole-module.pt":
    /must hold tensors by name, it is an object of "torch\.nn\.modules\.\w+\.\w+": save the state_dict/,
  "truncated.pt": /must end with its directory, current file has none; the file is truncated/,
  "not-a-checkpoint.pt": /it must be a checkpoint, its first bytes are the text "/,
  "short-storage.pt": /storage "0" must have 192 bytes, current value is 96/,
};

async function open(name: string) {
  const range = await fileRange(FOLDER + name);
  try {
    return { range, file: await openCheckpointFile(range, { label: name }) };
  } catch (error) {
    await range.close();
    throw error;
  }
}

for (const { file: name, expect, non_tensors: values, strides } of files.filter((file) => file.expect)) {
  Deno.test(`${name} holds what its safetensors twin holds, bit for bit`, async () => {
    const { file, range } = await open(name), twin = await open(expect!);
    await using _ranges = {
      [Symbol.asyncDispose]: async () => (await range.close(), await twin.range.close()),
    };
    assert.deepEqual(file.names().sort(), twin.file.names().sort());
    for (const path of file.names()) {
      const found = file.describe(path)!, expected = twin.file.describe(path)!;
      assert.equal(found.dtype, expected.dtype, path);
      // The tool that wrote the twins gives a bf16 scalar one axis.
      const isScalar = expected.dtype === "BF16" && found.shape.length === 0;
      assert.deepEqual(found.shape, isScalar ? [] : expected.shape, path);
      assert.deepEqual(await file.readRaw(path), await twin.file.readRaw(path), path);
    }
    assert.deepEqual(Object.fromEntries(file.values), values);
    const { tensors } = file.tree!;
    for (const [path, steps] of Object.entries(strides!)) {
      assert.deepEqual(tensors.get(path)!.strides, steps, path);
    }
  });
}

for (const { file: name } of files.filter((file) => file.must_refuse)) {
  Deno.test(`${name} is refused with the reason, and nothing is run`, async () => {
    const start = performance.now();
    await assert.rejects(openWeights(FOLDER + name), (error: Error) => {
      assert(error instanceof DataError);
      assert.match(error.message, /^Cannot read "/);
      assert.match(error.message, REASONS[name]);
      return true;
    });
    assert.ok(performance.now() - start < 1000);
    // What the hostile files would do if their call were made.
    await assert.rejects(Deno.stat("/tmp/pwned_fixture"), Deno.errors.NotFound);
  });
}

Deno.test("openWeights() takes the state dict of a training checkpoint and takes off the prefix of DistributedDataParallel", async () => {
  const keys: [file: string, key: string, prefix: string][] = [
    ["train-side4video.pt", "model_state_dict", ""],
    ["train-side4video-ddp.pt", "model_state_dict", "module."],
    ["train-dist.pyth", "model_state", ""],
    ["train-dist.safetensors", "model_state", ""],
    ["legacy.pt", "model_state_dict", ""],
    ["retrieval-model.bin", "", ""],
  ];
  for (const [name, key, prefix] of keys) {
    await using weights = await openWeights(FOLDER + name);
    assert.deepEqual([weights.key, weights.prefixes.join()], [key, prefix], name);
    assert.deepEqual(weights.names().sort(), [
      "conv.bias",
      "conv.weight",
      "fc.bias",
      "fc.weight",
      "side_bn.bias",
      "side_bn.num_batches_tracked",
      "side_bn.running_mean",
      "side_bn.running_var",
      "side_bn.weight",
    ]);
    assert.deepEqual(weights.shapeOf("fc.weight"), [5, 32]);
    assert.equal(weights.dtypeOf("side_bn.num_batches_tracked"), "I64");
    assert.equal(weights.shapeOf("module.fc.weight"), undefined);
    assert.equal((await weights.readF32("fc.bias")).length, 5);
    await assert.rejects(async () => await weights.readF32("absent"), /must hold a tensor "absent"/);
  }
});

Deno.test("openWeights() takes the dict and the prefix it is told, and names what there is when there is none", async () => {
  const path = `${FOLDER}train-side4video.pt`;
  await using moments = await openWeights(path, { key: "optimizer_state_dict/state/0" });
  assert.deepEqual(moments.names().sort(), ["exp_avg", "exp_avg_sq", "step"]);
  await using all = await openWeights(path, { key: "" });
  assert.ok(all.names().includes("model_state_dict/fc.weight"));
  await using bn = await openWeights(path, { prefix: "side_bn." });
  assert.ok(bn.names().includes("running_var") && !bn.names().includes("fc.weight"));
  await assert.rejects(
    openWeights(path, { key: "model" }),
    /tensors under "model", it has model_state_dict, optimizer_state_dict/,
  );
  await assert.rejects(openWeights(path, { prefix: "clip." }), /must start with "clip\."/);
});

Deno.test("openWeights() says what a file is that is no checkpoint", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const cases: [string | Uint8Array, RegExp][] = [
      ["", /it has 0 bytes/],
      ["version https://git-lfs.github.com/spec/v1\noid sha256:0", /Git LFS pointer/],
      ["<!DOCTYPE html><html>", /a web page/],
      [new Uint8Array([0x80, 2, 0x7d, 0x2e]), /a pickle that torch\.save did not write/],
      [new Uint8Array(100).fill(7), /first bytes are 07 07 07/],
    ];
    for (const [content, message] of cases) {
      const path = `${folder}/x.pt`;
      await Deno.writeFile(path, typeof content === "string" ? new TextEncoder().encode(content) : content);
      await assert.rejects(
        openWeights(path),
        (error) => error instanceof DataError && message.test(error.message),
      );
    }
    await assert.rejects(openWeights(`${folder}/none.pt`), /it does not exist/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("gatherRows() follows strides of every element size", () => {
  const bytes = new Uint8Array(48).map((_, i) => i);
  for (const [dtype, size] of [["U8", 1], ["F16", 2], ["F32", 4], ["I64", 8]] as const) {
    const view = new TensorView({ key: "0", dtype, start: 0 }, 0, [3, 2], [1, 3]);
    const expected = [0, 3, 1, 4, 2, 5].flatMap((from) =>
      Array.from({ length: size }, (_, i) => from * size + i)
    );
    assert.deepEqual([...gatherRows(view, bytes.subarray(0, 6 * size))], expected);
  }
});
