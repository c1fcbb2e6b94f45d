/** Shell completion, as bash itself gives it; the other shells read what is written for them where they are there. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { VERBS } from "../../../cli/_verbs.ts";
import { runVerb } from "../../_util/run_verb.ts";

const completions = await VERBS.find(({ name }) => name === "completions")!.load();

async function scriptFor(shell: string): Promise<string> {
  return (await runVerb(completions, [shell])).stdout;
}

/** Runs a shell. @returns What it prints; null where there is no such shell. */
async function runShell(shell: string, args: string[], cwd: string): Promise<string | null> {
  try {
    const { code, stdout, stderr } = await new Deno.Command(shell, { args, cwd }).output();
    assert.deepEqual([code, new TextDecoder().decode(stderr)], [0, ""], shell);
    return new TextDecoder().decode(stdout);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

Deno.test("bash completes verbs, flags, their values, keys and files", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const file = join(folder, "sidenet.bash");
    await Deno.writeTextFile(file, await scriptFor("bash"));
    await Deno.mkdir(join(folder, "runs and more"));
    await Deno.writeTextFile(join(folder, "clip.mp4"), "");
    /** What bash offers for a line that ends with the last word. */
    const offered = async (...words: string[]) => {
      const ask =
        'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); compopt() { :; }; _sidenet; ' +
        'printf "%s\\n" "${COMPREPLY[@]}"';
      const text = await runShell("bash", ["--norc", "-c", ask, "bash", file, ...words], folder);
      return text!.split("\n").filter(Boolean);
    };
    const verbs = [...VERBS.map(({ name }) => name), "--help", "--version"];
    for (const start of [["sidenet"], ["./denow"], ["./denow", "task"], ["./denow", "task", "sidenet"]]) {
      assert.deepEqual(await offered(...start, ""), verbs, start.join(" "));
    }
    assert.deepEqual(await offered("sidenet", "comp"), ["compare", "completions"]);
    assert.deepEqual(await offered("./denow", "task", "sidenet", "eval", "--test-c"), [
      "--test-crops",
      "--test-clips",
    ]);
    assert.deepEqual(await offered("sidenet", "eval", "runs", "--test-crops", ""), ["1", "3", "5", "10"]);
    assert.deepEqual(await offered("sidenet", "eval", "--test-clips", ""), []);
    assert.deepEqual(await offered("sidenet", "eval", "--list", "cl"), ["clip.mp4"]);
    assert.deepEqual(await offered("sidenet", "predict", "ru"), ["runs and more", "run_root="]);
    assert.deepEqual(await offered("sidenet", "train", "solver.early"), [
      "solver.early_stop=",
      "solver.early_stop_delta=",
    ]);
    assert.deepEqual(await offered("sidenet", "train", "network.weights", "=", "cl"), ["clip.mp4"]);
    assert.deepEqual(await offered("sidenet", "train", "solver.type", "="), [
      ...["auto", "cosine", "multistep", "running_cosine"],
      ...["warmup_cosine", "warmup_constant", "warmup_linear"],
    ]);
    assert.deepEqual(await offered("sidenet", "train", "solver.type", "=", "cos"), ["cosine"]);
    assert.deepEqual(await offered("sidenet", "train", "network.init", "=", "t"), ["true"]);
    assert.deepEqual(await offered("sidenet", "keys", "so"), ["solver"]);
    assert.deepEqual(await offered("sidenet", "train", ""), ["clip.mp4", "runs and more", "sidenet.bash"]);
    assert.deepEqual(await offered("sidenet", "completions", ""), ["bash", "zsh", "fish"]);
    assert.deepEqual(await offered("sidenet", "nothing", ""), []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("zsh and fish can read what is written for them", async () => {
  const folder = await Deno.makeTempDir();
  try {
    for (const shell of ["zsh", "fish"]) {
      const file = join(folder, shell), script = await scriptFor(shell);
      await Deno.writeTextFile(file, script);
      for (const { name } of VERBS) assert.match(script, new RegExp(`\\b${name}\\b`));
      assert.match(script, /solver\.early_stop=/);
      assert.match(script, /running_cosine/);
      await runShell(shell, ["-n", file], folder);
    }
    const ask = `source ${
      join(folder, "fish")
    }; complete -C 'sidenet '; complete -C './denow task sidenet eval --test-crops '; complete -C 'sidenet train solver.type=cos'`;
    const told = await runShell("fish", ["--no-config", "-c", ask], folder);
    if (told === null) return;
    const words = told.trim().split("\n").map((line) => line.split("\t")[0]).filter((word) =>
      !/[/]|^(zsh|fish)$/.test(word)
    );
    assert.deepEqual(
      words.sort(),
      [...VERBS.map(({ name }) => name), "1", "3", "5", "10", "solver.type=cosine"].sort(),
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a shell that is not known is one line", async () => {
  await assert.rejects(
    runVerb(completions, ["tcsh"]),
    /Cannot print completions: the shell must be one of bash, zsh, fish, current value is "tcsh"/,
  );
});
