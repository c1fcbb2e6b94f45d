/** Attacks on processes: killed, interrupted, started twice, on full and read-only disks, with their folders moved. */
import { rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { hasTerminal, inTerminal } from "../../cli/_started.ts";
import { lastLine, type Outcome, TinyFolder } from "../../cli/_tiny.ts";
import type { Attack, Damage } from "./attack.ts";
import {
  damageOf,
  DENOW,
  disturbed,
  drawsOf,
  finishRun,
  goOnArguments,
  lost,
  RUN_MS,
  sleep,
  trainArguments,
  unclear,
  wrong,
} from "./_tiny_runs.ts";

const FIXED = ["data.random_shift=false", "data.crop=centre"];
const EXTRACT = ["extract", "tiny.yaml", "--out", "features", ...FIXED];

/** What is wrong with the way a command ended that was interrupted, or was done before. */
function interruptionDamage(outcome: Outcome): Damage | null {
  if (outcome.code === 0 || outcome.code === 130) return null;
  return unclear(outcome);
}

async function killedChain(path: string, number: number): Promise<Damage | null> {
  const folder = await TinyFolder.in(path), draws = drawsOf("kill", number);
  for (let kill = 0; kill < 3; kill++) {
    await disturbed(folder, await goOnArguments(folder, "a"), async (child) => {
      await sleep(draws.uniform() * RUN_MS);
      child.kill("SIGKILL");
    });
  }
  return await finishRun(folder, "a");
}

async function interruptedRun(path: string, number: number): Promise<Damage | null> {
  const folder = await TinyFolder.in(path), draws = drawsOf("signal", number);
  const signal = (["SIGINT", "SIGTERM", "SIGHUP"] as const)[number % 3];
  const outcome = await disturbed(folder, trainArguments("a"), async (child) => {
    await sleep(draws.uniform() * RUN_MS);
    for (let repeat = 0; repeat < 3; repeat++) child.kill(signal);
  });
  // A signal before the first line of ours ends the process as the system does it.
  const isEarly = outcome.stderr === "" && outcome.code > 128;
  return (isEarly ? null : interruptionDamage(outcome)) ?? await finishRun(folder, "a");
}

async function typedInterruption(path: string, number: number): Promise<Damage | null> {
  const folder = await TinyFolder.in(path), draws = drawsOf("type", number);
  const command = `"${DENOW}" task ${trainArguments("a").join(" ")}`;
  const { code, said } = await inTerminal(command, path, async (process, type) => {
    await process.says("making the data set");
    await sleep(draws.uniform() * RUN_MS);
    await type("\x03").catch(() => {}); // it may be done already
  });
  return interruptionDamage({ code, stdout: "", stderr: said }) ?? await finishRun(folder, "a");
}

async function stoppedAtOnce(path: string, number: number): Promise<Damage | null> {
  const folder = await TinyFolder.in(path), draws = drawsOf("twice", number);
  const outcome = await disturbed(folder, trainArguments("a"), async (child) => {
    await sleep(draws.uniform() * RUN_MS);
    child.kill("SIGINT");
    await sleep(510);
    child.kill("SIGTERM");
  });
  const isEarly = outcome.stderr === "" && outcome.code > 128;
  return (isEarly ? null : interruptionDamage(outcome)) ?? await finishRun(folder, "a");
}

/** Interrupts a verb that is done by the same command again. */
function repeatable(args: readonly string[], isWhole: (folder: TinyFolder) => Promise<Damage | null>) {
  return async (path: string, number: number) => {
    const folder = await TinyFolder.in(path), draws = drawsOf(args[0], number);
    const outcome = await disturbed(folder, args, async (child) => {
      await sleep(draws.uniform() * RUN_MS / 2);
      child.kill(number % 2 === 0 ? "SIGINT" : "SIGKILL");
    });
    if (number % 2 === 0 && outcome.stderr !== "") {
      const damage = interruptionDamage(outcome);
      if (damage) return damage;
    }
    const again = await folder.sidenet(args);
    return again.code === 0 ? await isWhole(folder) : lost(`exit ${again.code}: ${lastLine(again)}`);
  };
}

/** Every clip of a list is there with all its frames. */
function wholeSet(name: string, clips: number, frames: number) {
  return async (folder: TinyFolder): Promise<Damage | null> => {
    let missing = clips;
    for (const split of ["train", "val"]) {
      const lines = (await Deno.readTextFile(folder.file(name, `${split}.txt`))).trim().split("\n");
      for (const line of lines) {
        const found = await Array.fromAsync(Deno.readDir(folder.file(name, line.split(" ")[0]))).catch(
          () => [],
        );
        if (found.length !== frames) return wrong(`${line}: ${found.length} of ${frames} frames`);
      }
      missing -= lines.length;
    }
    const others = (await Array.fromAsync(Deno.readDir(folder.file(name)))).length - 6;
    return missing === 0 && others === 0 ? null : wrong(`${missing} clips missing, ${others} files too many`);
  };
}
const wholeSynth = wholeSet("set", 60, 8);
const SYNTH = ["synth", "set", "--train-clips", "40", "--val-clips", "20", "--size", "64x48"];

async function wholeFeatures(folder: TinyFolder): Promise<Damage | null> {
  const outcome = await folder.sidenet([
    "train",
    "tiny.yaml",
    "data.features=features",
    "solver.epochs=1",
    ...FIXED,
  ]);
  return outcome.code === 0 ? null : wrong(lastLine(outcome));
}

/** Two at the same time: one at least is done, and the other is too or says who was first. */
async function both(folder: TinyFolder, commands: readonly (readonly string[])[]): Promise<Damage | null> {
  const outcomes = await Promise.all(commands.map((args) => folder.sidenet(args)));
  for (const outcome of outcomes) {
    const isRefused = outcome.code === 4 &&
      /: process \d+ .*is writing to it .*; wait until/.test(lastLine(outcome));
    if (outcome.code !== 0 && !isRefused) return unclear(outcome);
  }
  return outcomes.some(({ code }) => code === 0) ? null : lost("both were refused");
}

async function twoRuns(path: string): Promise<Damage | null> {
  const folder = await TinyFolder.in(path);
  const damage = await both(folder, [trainArguments("a"), trainArguments("b")]) ??
    await damageOf(folder.file("runs", "a")) ?? await damageOf(folder.file("runs", "b"));
  const isWhole = async () =>
    (await Array.fromAsync(Deno.readDir(folder.file("data", "train")))).length === 16;
  return damage ?? (await isWhole() ? null : wrong("the data set is not whole"));
}

async function twoResumes(path: string, number: number): Promise<Damage | null> {
  const folder = await TinyFolder.in(path), draws = drawsOf("resume", number);
  let sent = false;
  const stopped = await folder.sidenet(trainArguments("a"), {
    onStderr(text, child) {
      if (sent || !text.includes(` step ${1 + draws.integer(12)}/`)) return;
      sent = true;
      child.kill("SIGINT");
    },
  });
  if (stopped.code !== 130 && stopped.code !== 0) return unclear(stopped);
  const resume = ["train", "--resume", "runs/a"];
  return await both(folder, [resume, resume]) ?? await damageOf(folder.file("runs", "a"));
}

async function writeClips(folder: TinyFolder): Promise<void> {
  await folder.sidenet(["synth", "set", "--train-clips", "12", "--val-clips", "4"]);
  for (const [k, name] of ["a", "b"].entries()) {
    for (const clip of [1, 2, 3]) {
      await Deno.mkdir(folder.file("clips", name), { recursive: true });
      await rename(
        folder.file("set", "train", `0000${3 * k + clip}`),
        folder.file("clips", name, `c${clip}`),
      );
    }
  }
}

async function twoPrepares(path: string): Promise<Damage | null> {
  const folder = await TinyFolder.in(path);
  await writeClips(folder);
  const args = ["prepare", "clips", "--out", "lists", "--val-share", "0.3"];
  const damage = await both(folder, [args, args]);
  if (damage) return damage;
  const report = await folder.json<{ clips: Record<string, number> }>("lists", "report.json");
  const listed = (await Deno.readTextFile(folder.file("lists", "train.txt"))).trim().split("\n").length;
  return report.clips.train === listed
    ? null
    : wrong(`${listed} clips listed, ${report.clips.train} reported`);
}

async function mount(path: string, options: string): Promise<boolean> {
  const args = ["-t", "tmpfs", "-o", options, "tmpfs", path];
  const end = await new Deno.Command("mount", { args, stderr: "null" }).output().catch(() => null);
  return end?.success === true;
}
const unmount = (path: string) => new Deno.Command("umount", { args: ["-l", path], stderr: "null" }).output();

async function fullDisk(path: string, number: number): Promise<Damage | null> {
  const folder = await TinyFolder.in(path), draws = drawsOf("full", number);
  await folder.sidenet(["train", "tiny.yaml", "name=first", "solver.epochs=1"]); // makes the data set
  const runs = folder.file("runs", "small");
  await Deno.mkdir(runs);
  const keys = ["run_root=runs/small"];
  const size = 2 ** (16 + draws.uniform() * 6), isMounted = await mount(runs, `size=${Math.floor(size)}`);
  try {
    const shell = isMounted ? undefined : `trap '' XFSZ; ulimit -f ${Math.floor(size / 512)}`;
    const outcome = await folder.sidenet([...trainArguments("a"), ...keys], { shell });
    if (outcome.code === 0) return await damageOf(join(runs, "a"));
    const isTold = /^sidenet: Cannot write ".*": (the disk is full|the file would be larger).*again$/;
    if (outcome.code !== 4 || !isTold.test(lastLine(outcome))) return unclear(outcome);
    if (isMounted) await mount(runs, "remount,size=64m");
    const hasBegun = await Deno.stat(join(runs, "a", "config.yaml")).then(() => true, () => false);
    if (!hasBegun) await Deno.remove(join(runs, "a"), { recursive: true }).catch(() => {});
    const again = await folder.sidenet(
      hasBegun ? ["train", "--resume", "runs/small/a"] : [...trainArguments("a"), ...keys],
    );
    return again.code === 0
      ? await damageOf(join(runs, "a"))
      : lost(`exit ${again.code}: ${lastLine(again)}`);
  } finally {
    if (isMounted) await unmount(runs);
  }
}

/** Verbs that write, into the folder `disk`. */
const WRITERS = [
  ["train", "tiny.yaml", "run_root=disk"],
  ["train", "--resume", "disk/a"],
  ["synth", "disk/set"],
  ["extract", "tiny.yaml", "--out", "disk/features", ...FIXED],
  ["prepare", "clips", "--out", "disk/lists"],
  ["eval", "disk/a"],
  ["convert", "disk/a/last.safetensors", "disk/x.pth"],
];

async function readOnly(path: string, number: number): Promise<Damage | null> {
  const folder = await TinyFolder.in(path), disk = folder.file("disk");
  await Deno.mkdir(disk);
  const isMounted = await mount(disk, "size=64m");
  if (!isMounted) return null; // only root may; a container may forbid it to root
  try {
    await writeClips(folder);
    await folder.sidenet(["train", "tiny.yaml", "name=a", "run_root=disk", "solver.epochs=1"]);
    await mount(disk, "remount,ro");
    const outcome = await folder.sidenet(WRITERS[number % WRITERS.length]);
    const isTold = outcome.code === 4 &&
      /^sidenet: Cannot write .*the file system is read-only/.test(lastLine(outcome));
    return isTold ? null : unclear(outcome);
  } finally {
    await unmount(disk);
  }
}

async function movedRun(path: string, number: number): Promise<Damage | null> {
  const folder = await TinyFolder.in(path);
  await writeClips(folder);
  const keys = ["name=a", "solver.max_steps=2", "data.val_share=0.3"];
  const source = number % 2 === 0 ? ["clips"] : []; // lists of the run's own, or a recipe's relative paths
  const trained = await folder.sidenet(["train", "tiny.yaml", ...source, ...keys]);
  if (trained.code !== 0) return lost(lastLine(trained));
  const moved = folder.file("far", "away");
  await Deno.mkdir(dirname(moved));
  await rename(folder.file("runs", "a"), moved);
  const commands = [["eval", moved], ["train", "--resume", moved, "solver.max_steps=3"], [
    "eval",
    `${moved}/last.safetensors`,
  ]];
  for (const args of commands) {
    const outcome = await folder.sidenet(args, { cwd: "/" });
    if (outcome.code !== 0) return lost(`${args[0]}: exit ${outcome.code}: ${lastLine(outcome)}`);
  }
  return null;
}

async function threeEnds(path: string): Promise<Damage | null> {
  const folder = await TinyFolder.in(path);
  const outcomes = await Promise.all(["a", "b", "c"].map((name) => folder.sidenet(trainArguments(name))));
  const bad = outcomes.find(({ code }) => code !== 0);
  return bad ? lost(`exit ${bad.code}: ${lastLine(bad)}`) : null;
}

const part = (
  name: string,
  attacks: readonly [what: string, tries: number, attempt: Attack["attempt"]][],
): Attack[] => attacks.map(([what, tries, attempt]) => ({ part: name, what, tries, attempt }));

export const PROCESS_ATTACKS: readonly Attack[] = [
  ...part("interrupts", [
    ["a run killed three times at random moments, then resumed", 20, killedChain],
    ["Ctrl-C, a request to end or a closed terminal, each three times at once", 24, interruptedRun],
    ...hasTerminal ? [["Ctrl-C in a terminal under deno task", 16, typedInterruption] as const] : [],
    ["a second Ctrl-C that means at once", 12, stoppedAtOnce],
    ["synth interrupted or killed, then repeated", 8, repeatable(SYNTH, wholeSynth)],
    ["extract interrupted or killed, then repeated", 8, repeatable(EXTRACT, wholeFeatures)],
  ] as [string, number, Attack["attempt"]][]),
  ...part("double starts", [
    ["two runs that make the same data set", 8, twoRuns],
    ["a run resumed twice", 8, twoResumes],
    ["the same set written twice", 6, async (path) => {
      const folder = await TinyFolder.in(path);
      return await both(folder, [SYNTH, SYNTH]) ?? await wholeSynth(folder);
    }],
    ["the same features extracted twice", 6, async (path) => {
      const folder = await TinyFolder.in(path);
      return await both(folder, [EXTRACT, EXTRACT]) ?? await wholeFeatures(folder);
    }],
    ["the same lists prepared twice", 6, twoPrepares],
  ]),
  ...part("disks", [
    ["a disk that fills up, then has room again", 12, fullDisk],
    ["a read-only disk", WRITERS.length, readOnly],
    ["a run moved, used from another folder", 6, movedRun],
  ]),
  ...part("ends", [["three runs at once", 20, threeEnds]]),
];
