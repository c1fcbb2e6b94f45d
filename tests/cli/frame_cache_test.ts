/** Runs that read through a frame cache end where a run without one does. Some 15 seconds. */
import assert from "node:assert/strict";
import { openCheckpoint } from "../../train/files/checkpoint.ts";
import { readMetrics } from "../../train/files/run_folder.ts";
import { gpuTest } from "../_util/gpu.ts";
import { lastLine, TinyFolder } from "./_tiny.ts";

/** What a run came to, as bits and figures. */
async function endOf(folder: TinyFolder, name: string) {
  const run = folder.file("runs", name);
  await using source = await openCheckpoint(`${run}/last.safetensors`);
  const weights = new Map<string, Float32Array>();
  for (const tensor of source.names()) weights.set(tensor, await source.readF32(tensor));
  assert.ok(weights.size > 10);
  const { steps, evals } = await readMetrics(run);
  return { weights, evals, losses: steps.map(({ loss }) => loss) };
}

gpuTest(
  "a run gives the same bits without a frame cache, while it fills one and from a full one",
  async () => {
    await using folder = await TinyFolder.create();
    const train = (name: string, ...more: string[]) =>
      folder.sidenet(["train", "tiny.yaml", `name=${name}`, "solver.epochs=2", ...more]);
    const plain = await train("plain");
    assert.equal(plain.code, 0, plain.stderr);
    assert.doesNotMatch(plain.stderr, /frame cache/);
    const wanted = await endOf(folder, "plain");
    const cached = ["data.frame_cache=frames", "data.cache_mb=0"];
    for (const [name, before] of [["fills", "0 clips, 0 B"], ["full", "24 clips, \\d.*"]]) {
      const { code, stderr } = await train(name, ...cached);
      assert.equal(code, 0, stderr);
      const told = stderr.split("\n").filter((line) => line.includes("frame cache"));
      assert.equal(told.length, 2, stderr);
      assert.match(told[0], new RegExp(`frame cache frames: ${before}$`));
      assert.match(told[1], /frame cache frames: 24 clips, \d.* KiB$/);
      assert.deepEqual(await endOf(folder, name), wanted);
    }

    const refused = await train("refused", ...cached, "data.frame_cache_side=128");
    assert.equal(refused.code, 2);
    assert.match(
      lastLine(refused),
      /^sidenet: Cannot use data\.frame_cache "frames": data\.frame_cache_side must be 256, .* value is 128; name another/,
    );
    await assert.rejects(Deno.stat(folder.file("runs/refused")));

    // An evaluation reads through the same cache.
    const evaluated = await folder.sidenet(["eval", "runs/full", "--json"]);
    assert.equal(evaluated.code, 0, evaluated.stderr);
    assert.equal(JSON.parse(evaluated.stdout).top1, wanted.evals.at(-1)!.top1);
  },
);
