import assert from "node:assert/strict";
import * as inspect from "../../cli/inspect.ts";
import { encodeTorch, stateDict } from "../../data/checkpoint/torch_write.ts";
import { writeFileWhole } from "../../data/files.ts";
import { checkKnownWeights } from "../../train/files/known_weights.ts";
import { runVerb } from "../_util/run_verb.ts";

const FIXTURES = new URL("../fixtures/checkpoints/", import.meta.url).pathname;

Deno.test("inspect lists the state dict of a training checkpoint, with totals and what was taken off", async () => {
  const { code, stdout } = await runVerb(inspect, [`${FIXTURES}train-side4video-ddp.pt`]);
  assert.equal(code, 0);
  assert.match(stdout, /^fc\.weight +\[5 32\] +F32 +640 B$/m);
  assert.match(stdout, /: torch zip, 11\.5 KiB$/m);
  assert.match(stdout, /^listed: "model_state_dict", "module\." taken off the names$/m);
  assert.match(stdout, /^9 tensors, 330 elements, .* \(8 F32, 1 I64\)$/m);
  assert.match(stdout, /^looks like: no model known here$/m);
  assert.doesNotMatch(stdout, /exp_avg|epoch/);
});

Deno.test("inspect --all lists optimiser state and plain values; --key another dict", async () => {
  const all = await runVerb(inspect, [`${FIXTURES}train-dist.pyth`, "--all"]);
  assert.match(all.stdout, /^optimizer_state\/state\/0\/exp_avg /m);
  assert.match(all.stdout, /^epoch = 3$/m);
  assert.match(all.stdout, /^optimizer_state\/param_groups\/0\/foreach = None$/m);
  const state = await runVerb(inspect, [`${FIXTURES}train-dist.pyth`, "--key", "optimizer_state/state/0"]);
  assert.match(state.stdout, /^exp_avg /m);
  await assert.rejects(runVerb(inspect, [`${FIXTURES}train-dist.pyth`, "--key", "ema"]), { exitCode: 4 });
});

Deno.test("inspect --json gives one object with every tensor, the totals and the guess", async () => {
  const { stdout } = await runVerb(inspect, [`${FIXTURES}openai-torchscript.pt`, "--json", "--sha256"]);
  const result = JSON.parse(stdout);
  assert.equal(result.format, "torchscript");
  assert.deepEqual([result.tensors, result.list.length], [53, 53]);
  const conv = result.list.find(({ name }: { name: string }) => name === "visual.conv1.weight");
  assert.deepEqual(conv, { name: "visual.conv1.weight", dtype: "F16", shape: [16, 3, 4, 4], bytes: 1536 });
  assert.equal(
    result.bytes,
    result.list.reduce((sum: number, { bytes }: { bytes: number }) => sum + bytes, 0),
  );
  assert.deepEqual(result.looks_like, {
    text: "CLIP ViT of width 16, patch 4, 2 layers, image 8",
    system: "CLIP",
    backbone: "ViT of width 16, patch 4, 2 layers, image 8",
    classes: null,
    side_dim: null,
    holds_backbone: true,
    holds_trained: false,
    layout: "OpenAI",
    activation: "quick_gelu",
  });
  const bytes = await Deno.readFile(`${FIXTURES}openai-torchscript.pt`);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  assert.equal(result.sha256, [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join(""));
});

Deno.test("a file with the name of one of OpenAI's, or its contents, is compared with the published checksum", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/ViT-B-16.pt`;
    await Deno.copyFile(`${FIXTURES}openai-torchscript.pt`, path);
    const { stdout } = await runVerb(inspect, [path]);
    assert.match(
      stdout,
      /^warning: .*ViT-B-16\.pt" is not OpenAI's ViT-B-16\.pt \(ViT-B\/16\): expected SHA-256 5806e77c\w+, current value is \w{64}$/m,
    );
    assert.equal(JSON.parse((await runVerb(inspect, [path, "--json"])).stdout).known.ok, false);
    assert.equal(await checkKnownWeights(`${FIXTURES}openai-torchscript.pt`), null);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("inspect refuses a hostile file with exit code 4, and a missing argument with 2", async () => {
  await assert.rejects(runVerb(inspect, [`${FIXTURES}evil-reduce.pt`]), {
    exitCode: 4,
    message: /posix\.system/,
  });
  await assert.rejects(runVerb(inspect, []), { exitCode: 2 });
});

Deno.test("inspect says what a trained network was trained on", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const shapes: [string, number[]][] = [
      ["visual.side_conv1.weight", [4, 3, 3, 16, 16]],
      ["visual.transformer.side_spatial_position_embeddings", [196, 4]],
      ...Array.from(
        { length: 12 },
        (_, i): [string, number[]] => [`visual.transformer.side_linears.${i}.weight`, [4, 768]],
      ),
      ["fc.weight", [7, 4]],
    ];
    const tensors = shapes.map(([name, shape]) => ({
      name,
      dtype: "F32" as const,
      shape,
      read: () => Promise.resolve(new Uint8Array(4 * shape.reduce((a, b) => a * b))),
    }));
    await writeFileWhole(`${folder}/best.pt`, encodeTorch(stateDict(tensors)));
    const { stdout } = await runVerb(inspect, [`${folder}/best.pt`]);
    assert.match(
      stdout,
      /^looks like: Side4Video on ViT-B\/16 with 7 classes \(side_dim 4\), without the backbone$/m,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("inspect tells a backbone's layout and activation, and what it does not read", async () => {
  const reported = new URL("../fixtures/reports/checkpoints/", import.meta.url).pathname;
  const { stdout } = await runVerb(inspect, [`${reported}hf.bin`]);
  assert.match(stdout, /^looks like: CLIP ViT of width 8, .*, in the layout of Hugging Face CLIP$/m);
  assert.match(stdout, /^activation: the file does not say it; a run assumes quick_gelu$/m);
  const objects = await runVerb(inspect, [`${reported}nparray.pt`, "--all"]);
  assert.match(objects.stdout, /^meta\/rng = object of numpy\.ndarray, not read$/m);
  assert.match(objects.stdout, /^not read: numpy\.ndarray \(meta\/rng\)$/m);
  const json = JSON.parse((await runVerb(inspect, [`${reported}namespace.pt`, "--json"])).stdout);
  assert.deepEqual(json.foreign, [{ name: "args", type: "argparse.Namespace" }]);
});
