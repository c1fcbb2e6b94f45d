/** Runs that read through a frame cache end where a run without one does. Some 15 seconds. */
import assert from "node:assert/strict";
import { openCheckpoint } from "../../train/files/checkpoint.ts";
import { readMetrics } from "../../train/files/run_folder.ts";
import { gpuTest } from "../_util/gpu.ts";
import { ffmpeg, hasFfmpeg } from "../_util/video_files.ts";
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

if (hasFfmpeg) {
  gpuTest("videos that are trained on for several epochs get a cache of frames beside the run", async () => {
    await using folder = await TinyFolder.create();
    for (const label of ["left", "right"]) {
      await Deno.mkdir(folder.file("videos", label), { recursive: true });
      for (const clip of [1, 2, 3, 4]) {
        const source = `testsrc2=size=40x30:rate=10:duration=${1 + clip / 10}`;
        await ffmpeg(["-f", "lavfi", "-i", source, folder.file("videos", label, `${clip}.mp4`)]);
      }
    }
    const train = (name: string, ...more: string[]) =>
      folder.sidenet(
        ["train", "tiny.yaml", "videos", `name=${name}`, "data.batch_size=2", ...more],
      );
    const cacheOf = (name: string) =>
      Deno.stat(folder.file("runs", name, "frame_cache")).then(() => true, () => false);

    const whole = await train("whole", "solver.epochs=2");
    assert.equal(whole.code, 0, whole.stderr);
    const told = whole.stderr.split("\n").filter((line) => line.includes("frame_cache"));
    assert.match(
      told[0],
      /^decoded frames of the training videos are kept in runs\/whole\/frame_cache, at most .*=null does without$/,
    );
    assert.match(told[1], /^frame cache runs\/whole\/frame_cache: 6 clips, /);
    assert.equal(told.length, 2);
    assert.ok(await cacheOf("whole"));
    const wanted = await endOf(folder, "whole");

    // Cut, its cache taken away, and gone on with: the same bits.
    const cut = await train("cut", "solver.epochs=2", "solver.max_steps=4");
    assert.equal(cut.code, 0, cut.stderr);
    await Deno.remove(folder.file("runs/cut/frame_cache"), { recursive: true });
    const resumed = await folder.sidenet(["train", "--resume", "runs/cut", "solver.max_steps=null"]);
    assert.equal(resumed.code, 0, resumed.stderr);
    const ended = await endOf(folder, "cut");
    assert.deepEqual(ended.weights, wanted.weights);
    assert.deepEqual(ended.losses, wanted.losses);

    // Evaluations read the files, inside training and after it, and leave nothing behind.
    await Deno.remove(folder.file("runs/whole/frame_cache"), { recursive: true });
    const evaluated = await folder.sidenet(["eval", "runs/whole", "--json"]);
    assert.equal(evaluated.code, 0, evaluated.stderr);
    const best = wanted.evals.find(({ loss }) => loss === JSON.parse(evaluated.stdout).loss);
    assert.ok(best, "eval gives what training told");
    assert.ok(!await cacheOf("whole"));

    for (const more of [["solver.epochs=1"], ["solver.epochs=2", "data.frame_cache=null"]]) {
      const without = await train("without", ...more);
      assert.equal(without.code, 0, without.stderr);
      assert.doesNotMatch(without.stderr, /frame.cache/);
      await Deno.remove(folder.file("runs/without"), { recursive: true });
    }
  });
}
