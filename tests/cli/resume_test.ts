/** A run that is interrupted, then meets a full disk, then goes on, ends where an undisturbed one does. */
import assert from "node:assert/strict";
import { openCheckpoint } from "../../train/checkpoint.ts";
import { readMetrics } from "../../train/run_folder.ts";
import { gpuTest } from "../_util/gpu.ts";
import { lastLine, TinyFolder } from "./_tiny.ts";

/** Every tensor of a checkpoint as its bits. */
async function tensorsOf(path: string): Promise<Map<string, Uint32Array>> {
  await using source = await openCheckpoint(path);
  const tensors = new Map<string, Uint32Array>();
  for (const name of source.names()) tensors.set(name, new Uint32Array((await source.readF32(name)).buffer));
  return tensors;
}

gpuTest("Ctrl-C and a full disk lose nothing: the resumed run ends with the same bits", async () => {
  await using folder = await TinyFolder.create();
  const whole = await folder.sidenet(["train", "tiny.yaml", "name=whole"]);
  assert.equal(whole.code, 0, whole.stderr);

  let sent = false;
  const stopped = await folder.sidenet(["train", "tiny.yaml", "name=parts"], {
    onStderr: (text, child) => {
      if (sent || !text.includes(" step 3/")) return;
      sent = true;
      child.kill("SIGINT");
    },
  });
  assert.equal(stopped.code, 130, stopped.stderr);
  assert.match(
    lastLine(stopped),
    /^sidenet: Stopped at step \d+; everything is saved: go on with --resume runs\/parts$/,
  );
  const state = await Deno.readFile(folder.file("runs/parts/state.safetensors"));

  if (Deno.build.os === "linux") {
    // Every write to /dev/full fails for want of space; the state's temporary file is made to lie there.
    await Deno.symlink("/dev/full", folder.file("runs/parts/state.safetensors.partial"));
    const full = await folder.sidenet(["train", "--resume", "runs/parts"]);
    assert.match(
      lastLine(full),
      /^sidenet: Cannot write "runs\/parts\/state\.safetensors": the disk is full; a previous file of this name is unchanged$/,
    );
    assert.notEqual(full.code, 0);
    assert.deepEqual(await Deno.readFile(folder.file("runs/parts/state.safetensors")), state);
  }

  const resumed = await folder.sidenet(["train", "--resume", "runs/parts"]);
  assert.equal(resumed.code, 0, resumed.stderr);
  for (const file of ["last.safetensors", "state.safetensors"]) {
    const expected = await tensorsOf(folder.file("runs/whole", file));
    assert.ok(expected.size > 10);
    assert.deepEqual(await tensorsOf(folder.file("runs/parts", file)), expected, file);
  }
  const figures = async (run: string) => {
    const { steps, evals } = await readMetrics(folder.file("runs", run));
    return { losses: steps.map(({ step, loss, lr }) => [step, loss, lr]), evals };
  };
  assert.deepEqual(await figures("parts"), await figures("whole"));
});
