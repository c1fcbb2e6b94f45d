/** Tiny runs under attack: how one ends undisturbed, and whether another came to the same end. */
import { fileURLToPath } from "node:url";
import { createPrng } from "../../../lib/random.ts";
import { openCheckpoint } from "../../../train/files/checkpoint.ts";
import { readMetrics, RUN_FILES } from "../../../train/files/run_folder.ts";
import { lastLine, type Outcome, TinyFolder } from "../../cli/_tiny.ts";
import type { Damage } from "./attack.ts";

/** The project's starter. */
export const DENOW = fileURLToPath(new URL("../../../denow", import.meta.url));
/** A state every few steps, and an evaluation in every epoch. */
const KEYS = ["solver.epochs=6", "logging.checkpoint_every=3"];
/** Signals are sent within this time of a start: while modules are loaded, data made, the GPU opened, and training goes on. */
export const RUN_MS = 3500;

export const trainArguments = (name: string) => ["train", "tiny.yaml", `name=${name}`, ...KEYS];
export const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
/** Draws for a try, uniform in 0 … 1. */
export const drawsOf = (attack: string, number: number) =>
  createPrng(1, [...attack].reduce((sum, c) => 31 * sum + c.charCodeAt(0) | 0, 0) >>> 0, number);

export const lost = (detail: string): Damage => ({ kind: "lost", detail });
export const wrong = (detail: string): Damage => ({ kind: "wrong file", detail });
export const unclear = (outcome: Outcome): Damage => ({
  kind: "unclear",
  detail: `exit ${outcome.code}: ${lastLine(outcome)}`,
});

/** Bits of a run's weights and state, and its metrics without times, as one text. */
async function endOf(run: string): Promise<string> {
  const parts: string[] = [];
  for (const file of [RUN_FILES.last, RUN_FILES.state]) {
    await using source = await openCheckpoint(`${run}/${file}`);
    for (const name of [...source.names()].sort()) {
      const values = await source.readF32(name);
      const digest = await crypto.subtle.digest("SHA-256", values as Float32Array<ArrayBuffer>);
      parts.push(`${file} ${name} ${new Uint8Array(digest).toHex()}`);
    }
  }
  const { steps, evals } = await readMetrics(run);
  parts.push(
    ...steps.map(({ step, loss, lr }) => `${step} ${loss} ${lr}`),
    ...evals.map((one) => JSON.stringify(one)),
  );
  return parts.join("\n");
}

let undisturbed: Promise<string> | null = null;

/** How the run ends that nobody disturbs. */
async function undisturbedEnd(): Promise<string> {
  return await (undisturbed ??= (async () => {
    await using folder = await TinyFolder.create();
    const outcome = await folder.sidenet(trainArguments("whole"));
    if (outcome.code !== 0) throw new Error(`the undisturbed run failed: ${outcome.stderr}`);
    return await endOf(folder.file("runs", "whole"));
  })());
}

/** Whether a run came to the undisturbed end. */
export async function damageOf(run: string): Promise<Damage | null> {
  let end: string;
  try {
    end = await endOf(run);
  } catch (error) {
    return lost(`${run}: ${(error as Error).message}`);
  }
  const expected = (await undisturbedEnd()).split("\n");
  const differs = end.split("\n").find((line, i) => line !== expected[i]);
  return differs === undefined ? null : wrong(`another end: ${differs.slice(0, 100)}`);
}

/** Goes on with a run, or begins it where nothing was begun, to its end. */
export async function finishRun(folder: TinyFolder, name: string): Promise<Damage | null> {
  const run = folder.file("runs", name), outcome = await folder.sidenet(await goOnArguments(folder, name));
  if (outcome.code !== 0) return lost(`exit ${outcome.code}: ${lastLine(outcome)}`);
  const left = (await Array.fromAsync(Deno.readDir(run), (entry) => entry.name))
    .filter((file) => file === "lock" || file.endsWith(".partial"));
  return left.length > 0 ? wrong(`left behind: ${left.join(" ")}`) : await damageOf(run);
}

/** What goes on with a run: resuming it, or beginning it where it was killed before it began. */
export async function goOnArguments(folder: TinyFolder, name: string): Promise<string[]> {
  const run = folder.file("runs", name);
  const isThere = await Deno.stat(`${run}/${RUN_FILES.config}`).then(() => true, () => false);
  if (isThere) return ["train", "--resume", `runs/${name}`];
  await Deno.remove(run, { recursive: true }).catch(() => {});
  return trainArguments(name);
}

/** Starts a command and does something to it after a time. Returns how it ended. */
export async function disturbed(
  folder: TinyFolder,
  args: readonly string[],
  disturb: (child: Deno.ChildProcess) => Promise<void>,
): Promise<Outcome> {
  let disturbing: Promise<void> | null = null;
  const outcome = await folder.sidenet(args, {
    onStart: (child) => void (disturbing = disturb(child).catch(() => {})), // it may have ended before
  });
  await disturbing;
  return outcome;
}
