/** A run that is interrupted, then meets a full disk, then goes on, ends where an undisturbed one does. */
import assert from "node:assert/strict";
import { synthesize } from "../../data/synth/dataset.ts";
import { openCheckpoint, savedState } from "../../train/files/checkpoint.ts";
import { parseConfig, synthOptions } from "../../train/recipe/config.ts";
import { openRunFolder, readMetrics } from "../../train/files/run_folder.ts";
import { encodeList, videoKeys } from "../_util/frames_and_videos.ts";
import { gpuTest } from "../_util/gpu.ts";
import { hasFfmpeg } from "../_util/video_files.ts";
import { lastLine, TINY_RECIPE, TinyFolder } from "./_tiny.ts";

/** Every tensor of a checkpoint as its bits. */
async function tensorsOf(path: string): Promise<Map<string, Uint32Array>> {
  await using source = await openCheckpoint(path);
  const tensors = new Map<string, Uint32Array>();
  for (const name of source.names()) tensors.set(name, new Uint32Array((await source.readF32(name)).buffer));
  return tensors;
}

/** Two runs ended with the same bits, by the same losses. */
async function assertSameEnd(folder: TinyFolder, actual: string, expected: string): Promise<void> {
  for (const file of ["last.safetensors", "state.safetensors"]) {
    const tensors = await tensorsOf(folder.file("runs", expected, file));
    assert.ok(tensors.size > 10);
    assert.deepEqual(await tensorsOf(folder.file("runs", actual, file)), tensors, file);
  }
  const figures = async (run: string) => {
    const { steps, evals } = await readMetrics(folder.file("runs", run));
    return { losses: steps.map(({ step, loss, lr }) => [step, loss, lr]), evals };
  };
  assert.deepEqual(await figures(actual), await figures(expected));
}

/** Runs a command and sends a signal when it says something. */
async function ended(folder: TinyFolder, args: readonly string[], signal: Deno.Signal, at: string) {
  let sent = false;
  return await folder.sidenet(args, {
    onStderr: (text, child) => {
      if (sent || !text.includes(at)) return;
      sent = true;
      child.kill(signal);
    },
  });
}

gpuTest("Ctrl-C and a full disk lose nothing: the resumed run ends with the same bits", async () => {
  await using folder = await TinyFolder.create();
  const train = (name: string) => ["train", "tiny.yaml", `name=${name}`, "solver.epochs=6"];
  const whole = await folder.sidenet(train("whole"));
  assert.equal(whole.code, 0, whole.stderr);

  const stopped = await ended(folder, train("parts"), "SIGINT", " step 3/");
  assert.equal(stopped.code, 130, stopped.stderr);
  assert.match(
    lastLine(stopped),
    /^sidenet: Stopped at step \d+; everything is saved: go on with --resume runs\/parts$/,
  );
  const state = await Deno.readFile(folder.file("runs/parts/state.safetensors"));

  // The same command would begin anew: what was stopped is named, and that is all (the list ends this one before it begins).
  const anew = await folder.sidenet([...train("parts"), "data.train_list=none.txt"]);
  assert.match(
    anew.stderr,
    /^note: runs\/parts has not ended \(stopped, its state is of step \d+\), and this is a new run; to go on with that one: sidenet train --resume runs\/parts$/m,
  );
  const other = await folder.sidenet([...train("whole"), "data.train_list=none.txt"]);
  assert.doesNotMatch(other.stderr, /has not ended/);

  const resume = ["train", "--resume", "runs/parts"];
  {
    using _holder = await openRunFolder(folder.file("runs/parts"));
    const second = await folder.sidenet(resume);
    assert.equal(second.code, 4);
    assert.match(
      lastLine(second),
      new RegExp(
        `^sidenet: Cannot write to "runs/parts": process ${Deno.pid} .*is writing to it \\(train, since `,
      ),
    );
  }
  if (Deno.build.os !== "windows") {
    // A limit of 512-byte blocks between the weights and the state; its signal would end the process before its error is told.
    const full = await folder.sidenet(resume, { shell: "trap '' XFSZ; ulimit -f 1600" });
    assert.equal(
      lastLine(full),
      'sidenet: Cannot write "runs/parts/state.safetensors": the file would be larger than the system allows (ulimit -f); ' +
        "a previous file of this name is unchanged; raise the limit and try again",
    );
    assert.equal(full.code, 4);
  }
  assert.deepEqual(await Deno.readFile(folder.file("runs/parts/state.safetensors")), state);
  const left = await Array.fromAsync(Deno.readDir(folder.file("runs/parts")), ({ name }) => name);
  assert.deepEqual(left.filter((name) => name === "lock" || name.endsWith(".partial")), []);

  const resumed = await folder.sidenet(resume);
  assert.equal(resumed.code, 0, resumed.stderr);
  await assertSameEnd(folder, "parts", "whole");
  assert.match(
    resumed.stdout,
    /; (the last evaluation is the best|best after epoch \d: top-1 .* · loss [\d.]+)\n/,
  );
});

gpuTest(
  "a run that is killed in its first steps goes on from them; without a state it begins again, and says so",
  async () => {
    await using folder = await TinyFolder.create();
    const train = (
      name: string,
    ) => ["train", "tiny.yaml", `name=${name}`, "solver.epochs=1", "data.batch_size=1"];
    const killed = await ended(folder, train("killed"), "SIGKILL", " step 5/16");
    assert.notEqual(killed.code, 0, killed.stderr);
    assert.equal((await savedState(folder.file("runs/killed/state.safetensors"))).step, 2);
    // The same, killed before its first state: what other files hold is of no use.
    const folders = { killed: folder.file("runs/killed"), early: folder.file("runs/early") };
    await Deno.mkdir(folders.early);
    for (const file of ["config.yaml", "metrics.jsonl"]) {
      await Deno.copyFile(`${folders.killed}/${file}`, `${folders.early}/${file}`);
    }
    for (const name of ["killed", "early"]) {
      const resumed = await folder.sidenet(["train", "--resume", `runs/${name}`]);
      assert.equal(resumed.code, 0, resumed.stderr);
      assert.equal(
        resumed.stderr.includes(`runs/${name} holds no saved state yet: the run begins again in it\n`),
        name === "early",
        resumed.stderr,
      );
      assert.equal(resumed.stderr.includes(" step 2/16"), name === "early", resumed.stderr);
    }
    await assertSameEnd(folder, "killed", "early");
    const { steps } = await readMetrics(folders.early);
    assert.deepEqual(steps.map(({ step }) => step), Array.from({ length: 16 }, (_, i) => i + 1));
  },
);

const videosName = "a run on videos that is told to end, then killed, each inside an epoch, loses nothing";
if (hasFfmpeg && Deno.build.os !== "windows") {
  gpuTest(videosName, async () => {
    await using folder = await TinyFolder.create();
    // Two augmented copies of every clip; eight steps an epoch, and a state after each.
    const keys = [
      ...["num_sample=2", "rand_aug=true", "batch_size=2", "workers=2"].map((key) => `data.${key}`),
    ]
      .concat("solver.epochs=2", "logging.checkpoint_every=1", "logging.skip_epoch=[0]");
    const { config } = parseConfig(TINY_RECIPE);
    await synthesize(folder.file(config.data.root!), synthOptions(config)!);
    for (const split of ["train", "val"] as const) {
      await encodeList(folder, split, ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv444p"]);
    }
    const train = (name: string) => ["train", "tiny.yaml", `name=${name}`, ...keys, ...videoKeys(2)];
    const whole = await folder.sidenet(train("whole"));
    assert.equal(whole.code, 0, whole.stderr);

    const stopped = await ended(folder, train("parts"), "SIGTERM", " step 3/16");
    assert.equal(stopped.code, 130, stopped.stderr);
    const step = Number(/^sidenet: Stopped at step (\d+); everything is saved/.exec(lastLine(stopped))?.[1]);
    assert.ok(step >= 3 && step < 8, stopped.stderr);
    const resume = ["train", "--resume", "runs/parts"];
    const killed = await ended(folder, resume, "SIGKILL", " step 11/16");
    assert.notEqual(killed.code, 0);
    assert.doesNotMatch(killed.stderr, / step 16\/16/);
    const resumed = await folder.sidenet(resume);
    assert.equal(resumed.code, 0, resumed.stderr);
    assert.doesNotMatch(resumed.stderr, / step 10\/16/, "it starts where it was killed");
    await assertSameEnd(folder, "parts", "whole");
  });
} else {
  Deno.test({ name: `${videosName} (no ffmpeg, or no signals)`, ignore: true, fn: () => {} });
}
