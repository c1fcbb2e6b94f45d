/** `sidenet extract` as a user runs it, and what comes after it. Some 30 seconds on a software adapter. */
import assert from "node:assert/strict";
import { gpuTest } from "../_util/gpu.ts";
import { lastLine, TinyFolder } from "./_tiny.ts";

const FIXED = ["data.random_shift=false", "data.crop=centre"];

Deno.test("extract wants a folder, and a number of epochs where views are random", async () => {
  await using folder = await TinyFolder.create();
  const nowhere = await folder.sidenet(["extract", "tiny.yaml"]);
  assert.equal(nowhere.code, 2);
  assert.equal(lastLine(nowhere), "sidenet: Cannot extract features: --out must name the folder they go to");
  const random = await folder.sidenet(["extract", "tiny.yaml", "--out", "features"]);
  assert.equal(random.code, 2);
  assert.match(
    lastLine(random),
    /^sidenet: Cannot extract features: --epochs must say .*data\.random_shift=true, data\.crop=random; /,
  );
});

Deno.test("a disk that is too small is told before anything is written", async () => {
  await using folder = await TinyFolder.create();
  const frames = ["data.num_segments=1024", "network.backbone=null", "network.arch=ViT-L/14-336px"];
  const { code, stderr } = await folder.sidenet([
    "extract",
    "tiny.yaml",
    "--out",
    "features",
    ...FIXED,
    ...frames,
    "data.input_size=336",
  ]);
  assert.equal(code, 4, stderr);
  assert.match(
    stderr.trimEnd().split("\n").at(-1)!,
    /^sidenet: Cannot extract features into "features": the disk must have [\d.,]+ \w+ free, current value is /,
  );
  await assert.rejects(Deno.stat(folder.file("features")), Deno.errors.NotFound);
});

gpuTest("extract, train from the features, and evaluate the run with the backbone", async () => {
  await using folder = await TinyFolder.create();
  const exact = [...FIXED, "precision=f16"];
  const extracted = await folder.sidenet(["extract", "tiny.yaml", "--out", "features", "--json", ...exact]);
  assert.equal(extracted.code, 0, extracted.stderr);
  const { clips, shards, extracted: done, bad, adapter, bytes } = JSON.parse(extracted.stdout);
  assert.deepEqual([clips, shards, done, bad, typeof adapter], [24, 2, 24, 0, "string"]);
  const sizes = await Promise.all(
    ["train", "val"].map(async (split) =>
      (await Deno.stat(folder.file("features", `${split}-00000.safetensors`))).size
    ),
  );
  assert.equal(bytes, sizes[0] + sizes[1]);
  assert.match(extracted.stderr, /24 clips to extract: 2 shards, [\d.]+ KiB; the disk has /);
  const features = ["data.features=features", ...exact];
  const trained = await folder.sidenet(["train", "tiny.yaml", "solver.max_steps=2", ...features]);
  assert.equal(trained.code, 0, trained.stderr);
  const evaluated = await folder.sidenet(["eval", "runs/tiny", "--json"]);
  assert.equal(evaluated.code, 0, evaluated.stderr);
  const summary = await folder.json<{ top1: number }>("runs", "tiny", "summary.json");
  assert.equal(JSON.parse(evaluated.stdout).top1, summary.top1, "the backbone gives what the features hold");
  const plan = await folder.sidenet(["plan", "tiny.yaml", "--json", ...features]);
  const figures = JSON.parse(plan.stdout);
  assert.equal(figures.gpu_bytes_by_use.frozen_weights, 0);
  assert.equal(figures.feature_cache_bytes, 24 * figures.feature_cache_bytes_per_clip);
  assert.match(plan.stderr, /feature cache .* a clip, .* for 24 clips with --epochs 1; this recipe reads it/);
});

gpuTest("Ctrl-C stops an extraction after the batch under way, and the same command goes on", async () => {
  await using folder = await TinyFolder.create();
  const command = ["extract", "tiny.yaml", "--out", "features", ...FIXED];
  let sent = false;
  const stopped = await folder.sidenet(command, {
    onStderr: (text, child) => {
      if (sent || !text.includes("GPU memory: ")) return;
      sent = true;
      child.kill("SIGINT");
    },
  });
  assert.equal(stopped.code, 130, stopped.stderr);
  assert.match(
    lastLine(stopped),
    /^sidenet: Stopped after \d+ of 24 clips, all of them kept: the same command goes on$/,
  );
  const finished = await folder.sidenet(command);
  assert.equal(finished.code, 0, finished.stderr);
  assert.match(
    finished.stdout,
    /^24 clips in 2 shards, [\d.]+ KiB: features .*\ntrain from them with data\.features=features\n$/,
  );
});
