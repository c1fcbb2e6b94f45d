/** Signals as terminals, `deno task` and people send them. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { gpuTest } from "../_util/gpu.ts";
import { hasTerminal, inTerminal, sleep, Started } from "./_started.ts";
import { TinyFolder } from "./_tiny.ts";

const CHILD = fileURLToPath(new URL("./_interrupted.ts", import.meta.url));
const MAIN = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));
const DENOW = fileURLToPath(new URL("../../denow", import.meta.url));

const hasSignals = Deno.build.os !== "windows";

Deno.test({
  name: "signals within half a second are one, a later one of any kind ends the process at once",
  ignore: !hasSignals,
  async fn() {
    for (
      const [first, second] of [["SIGINT", "SIGINT"], ["SIGTERM", "SIGINT"], ["SIGHUP", "SIGTERM"]] as const
    ) {
      await using process = new Started(Deno.execPath(), ["run", "-A", CHILD]);
      await process.says("ready");
      for (const signal of [first, "SIGINT", "SIGTERM", "SIGINT"] as const) process.child.kill(signal);
      await process.says("aborted");
      process.child.kill("SIGINT");
      await sleep(600);
      assert.equal(process.said.match(/once more to stop at once/g)?.length, 1);
      process.child.kill(second);
      const { code } = await process.ended;
      assert.equal(code, 130, `${first}, then ${second}`);
      await process[Symbol.asyncDispose](); // all that it said has been read
      assert.match(process.said, /\nsidenet: stopped at once; what was saved before is kept\n$/);
    }
  },
});

Deno.test({
  name: "a process that nohup started outlives its terminal, by word of denow where deno task stands between",
  ignore: Deno.build.os !== "linux", // elsewhere there is only denow's word
  async fn() {
    const command = `"${Deno.execPath()}" run -A "${CHILD}"`;
    for (const script of [`trap '' HUP; exec ${command}`, `export SIDENET_HANGUP=ignore; exec ${command}`]) {
      await using process = new Started("sh", ["-c", script]);
      await process.says("ready");
      process.child.kill("SIGHUP");
      await sleep(200);
      assert.doesNotMatch(process.said, /aborted/);
      process.child.kill("SIGINT");
      await process.says("aborted");
    }
  },
});

const earlyName = "a run that is stopped before its first step ends, and leaves no folder";
if (hasSignals) {
  gpuTest(earlyName, async () => {
    await using folder = await TinyFolder.create();
    const args = ["run", "-A", "--no-check", MAIN, "train", "tiny.yaml", "solver.epochs=5000"];
    await using process = new Started(Deno.execPath(), args, { cwd: folder.path });
    const there = (name: string) => Deno.stat(folder.file(`runs/tiny${name}`)).then(() => true, () => false);
    // The recipe is the first file of a run: whoever kills it leaves a run that compare and --resume know.
    while (!await there("")) await sleep(1);
    while (!await there("/config.yaml")) await sleep(1);
    assert.equal(await there("/metrics.jsonl"), false);
    process.child.kill("SIGINT");
    assert.equal((await process.ended).code, 130);
    await process[Symbol.asyncDispose]();
    assert.doesNotMatch(process.said, /epoch 1\//);
    assert.equal(await there(""), false);
  });
} else {
  Deno.test({ name: `${earlyName} (no signals)`, ignore: true, fn: () => {} });
}

const keptName = "a run that is stopped at once says which state is kept";
if (hasSignals) {
  gpuTest(keptName, async () => {
    await using folder = await TinyFolder.create();
    // The only step is the end of the run, so a first signal cannot stop it; a state is written at the end of every epoch.
    const keys = ["solver.epochs=5000", "solver.grad_accumulation_steps=20000", "logging.eval_freq=5000"];
    const args = ["run", "-A", "--no-check", MAIN, "train", "tiny.yaml", ...keys];
    await using process = new Started(Deno.execPath(), args, { cwd: folder.path });
    await process.says("GPU memory: ");
    const state = folder.file("runs/tiny/state.safetensors");
    while (!await Deno.stat(state).then(() => true, () => false)) await sleep(20);
    await sleep(100); // it is told a moment after it lies there
    process.child.kill("SIGINT");
    await process.says("once more to stop at once");
    await sleep(600);
    process.child.kill("SIGINT");
    assert.equal((await process.ended).code, 130);
    await process[Symbol.asyncDispose]();
    assert.match(
      process.said,
      /\nsidenet: stopped at once; the state of step 0 is kept: go on with --resume runs\/tiny\n$/,
    );
  });
} else {
  Deno.test({ name: `${keptName} (no signals)`, ignore: true, fn: () => {} });
}

if (hasTerminal) {
  gpuTest(
    "Ctrl-C in a terminal under ./denow task train or ./denow train saves the run, which goes on from there",
    async () => {
      await using folder = await TinyFolder.create();
      const typed = (command: string, at: string) =>
        inTerminal(command, folder.path, async (process, type) => {
          await process.says(at);
          await type("\x03");
        });
      const denow = `"${DENOW}"`;
      const stopped = await typed(`${denow} task train tiny.yaml solver.epochs=500`, "epoch 2/");
      assert.equal(stopped.code, 130, stopped.said);
      assert.match(
        stopped.said,
        /Stopped at step \d+; everything is saved: go on with --resume runs\/tiny\s*$/,
      );
      const again = await typed(`${denow} train --resume runs/tiny`, "epoch ");
      assert.equal(again.code, 130, again.said);
      assert.match(again.said, /Stopped at step \d+; everything is saved/);
      const before = Number(/Stopped at step (\d+)/.exec(stopped.said)![1]);
      assert.ok(Number(/Stopped at step (\d+)/.exec(again.said)![1]) > before);
    },
  );
} else {
  Deno.test({ name: "Ctrl-C in a terminal (no script of util-linux)", ignore: true, fn: () => {} });
}
