/** `sidenet export`: a run as a file that others can read, what it refuses before anything is written, and what the check tells. */

import assert from "node:assert/strict";
import { join } from "node:path";
import * as verb from "../../cli/export.ts";
import { MODEL } from "../../onnx/schema.ts";
import { findRuntime } from "../../train/export/runtime.ts";
import { engineTest } from "../_util/engine.ts";
import { runVerb } from "../_util/run_verb.ts";
import { smallConfig, smallRun } from "../train/run/_small.ts";

/** Metadata of a file. */
function metadataOf(path: string): Record<string, string> {
  const { metadataProps } = MODEL.decode(Deno.readFileSync(path));
  return Object.fromEntries(metadataProps!.map(({ key, value }) => [key, value]));
}

engineTest(
  "a run leaves as one file, in half the space with f16, and tells how its frames are made",
  async () => {
    const { path } = await smallRun(await smallConfig(["solver.epochs=1"]));
    const out = join(path, "small.onnx"), half = join(path, "half.onnx");
    const hasRuntime = findRuntime() !== null, check = hasRuntime ? ["--check"] : [];
    const { code, stdout, stderr } = await runVerb(verb, [path, "--out", out, ...check]);
    assert.equal(code, 0);
    assert.match(stdout, /^.*small\.onnx: \d+ KiB, \d+ operators, frames → logits, embedding\n/);
    if (hasRuntime) {
      assert.match(stdout, /\ncheck: logits of batches of 1, 2, 3 differ by \d\.\de-\d+ .*, within 1e-4\n/);
      assert.match(stdout, /\none clip: onnxruntime \(CPU\) [\d.]+ ms, here [\d.]+ ms/);
    }
    assert.match(stderr, /^adapter: /m);
    const { class_names, preprocessing, sampling, task } = metadataOf(out);
    assert.equal(task, "classification");
    assert.deepEqual(JSON.parse(class_names), ["left", "right"]);
    assert.deepEqual(JSON.parse(preprocessing).shape, ["batch", 2, 3, 16, 16]);
    assert.equal(JSON.parse(sampling).frames, 2);

    const args = [path, "--out", half, "--dtype", "f16", "--external", "--with-preprocessing", "--json"];
    const [{ files: [file] }] = (await runVerb(verb, args)).stdout.trim().split("\n").map((line) =>
      JSON.parse(line)
    );
    assert.equal(file.weights, `${half}.data`);
    assert.ok(Deno.statSync(file.weights).size < 0.6 * Deno.statSync(out).size);
    assert.deepEqual(JSON.parse(metadataOf(half).preprocessing).shape, ["batch", 2, 16, 16, 3]);

    const folder = join(path, "folder.onnx");
    await Deno.mkdir(folder);
    const before = [...Deno.readDirSync(path)].length;
    for (
      const [args, message, exitCode] of [
        [[path], /^Cannot export: --out must name the file, such as "model\.onnx"$/, 2],
        [[path, "--out", "model.pt"], /^Cannot export to "model\.pt": the name must end in \.onnx$/, 2],
        [[path, "--out", folder], /folder\.onnx": it must be a file, current value is a folder$/, 2],
        [[path, "--out", join(out, "x.onnx")], /^Cannot write to ".*small\.onnx": it must be a folder/, 4],
        [[path, "other", "--out", out], /there is no place for the argument "other"$/, 2],
        [["--out", out, "seed=1"], /^Cannot export: a run or a checkpoint must be named/, 2],
        [[path, "--out", out, "--dtype", "int8"], /dtype.*f32.*f16.*int8/, 2],
        [[join(path, "none"), "--out", out], /^Cannot .*none"/, 4],
        [[path, "--out", out, "network.side_dims=3"], /side_dims/, 2],
      ] as [string[], RegExp, number][]
    ) {
      await assert.rejects(runVerb(verb, args), (error: Error & { exitCode: number }) => {
        assert.match(error.message, message);
        assert.equal(error.exitCode, exitCode, error.message);
        return true;
      });
    }
    assert.equal([...Deno.readDirSync(path)].length, before, "nothing is left by what is refused");
  },
);
