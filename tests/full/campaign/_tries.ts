/** A verb run on something hostile, and what must hold of it: one line, the right exit code, bounded time and memory, nothing outside. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { TINY_RECIPE } from "../../cli/_tiny.ts";
import type { Damage } from "./attack.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
/** What the tasks of deno.json run verbs with. */
const FLAGS = ["-q", "-P=verbs", "--no-remote", "--no-prompt", "--config", join(ROOT, "deno.json")];
/** Beyond these something does not end, or takes what others need. The time allows for a busy machine. */
const MOST_MS = 60_000, MOST_BYTES = 1.5 * 2 ** 30;
const LOOK_EVERY_MS = 20;

/** How a verb ended. */
export interface Ended {
  code: number;
  stdout: string;
  stderr: string;
  ms: number;
  /** Most resident memory of the process; 0 where the system does not tell. */
  peakBytes: number;
  timedOut: boolean;
}

/** Runs `sidenet ARGS` in a folder. */
export async function sidenet(folder: string, args: readonly string[], mostMs = MOST_MS): Promise<Ended> {
  const started = performance.now();
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", ...FLAGS, join(ROOT, "cli", "main.ts"), ...args],
    cwd: folder,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let peakBytes = 0, timedOut = false;
  const look = setInterval(() => {
    try {
      const status = Deno.readTextFileSync(`/proc/${child.pid}/status`);
      peakBytes = Math.max(peakBytes, 1024 * Number(/VmHWM:\s*(\d+)/.exec(status)?.[1] ?? 0));
    } catch { /* it has ended, or this is no Linux */ }
    if (performance.now() - started < mostMs || timedOut) return;
    timedOut = true;
    child.kill("SIGKILL");
  }, LOOK_EVERY_MS);
  const { code, stdout, stderr } = await child.output();
  clearInterval(look);
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  const ms = performance.now() - started;
  return { code, stdout: text(stdout), stderr: text(stderr), ms, peakBytes, timedOut };
}

/** What a terminal would act on; lines end with "\n". */
// deno-lint-ignore no-control-regex
const CONTROL = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/;

/** What was wrong with the way a verb ended; null where it held. @param tellsProblems they are its result, not an error */
export function judge(ended: Ended, codes: readonly number[], tellsProblems = false): Damage | null {
  const { code, stdout, stderr, ms, peakBytes, timedOut } = ended;
  const errors = stderr.split("\n").filter((line) => line.startsWith("sidenet: "));
  const last = stderr.trimEnd().split("\n").at(-1) ?? "";
  const unclear = (detail: string): Damage => ({
    kind: "unclear",
    detail: `${detail}: ${last.slice(0, 300)}`,
  });
  if (timedOut) return unclear(`not ended after ${(ms / 1000).toFixed(0)} s`);
  if (peakBytes > MOST_BYTES) return unclear(`it took ${(peakBytes / 2 ** 30).toFixed(1)} GiB`);
  if (!codes.includes(code)) return unclear(`exit code ${code}, not ${codes.join(" or ")}`);
  if (CONTROL.test(stdout) || CONTROL.test(stderr)) return unclear("control characters reach the terminal");
  if (code !== 0 && !tellsProblems && (errors.length !== 1 || errors[0] !== last)) {
    return unclear(`${errors.length} error lines`);
  }
  return null;
}

let base: Promise<string> | undefined;

/** A folder with a tiny trained run, its data, its features and its recipe; made once, to be copied. */
function baseFolder(): Promise<string> {
  return base ??= (async () => {
    const folder = await Deno.makeTempDir({ prefix: "sidenet-campaign-base-" });
    globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
    await Deno.writeTextFile(join(folder, "tiny.yaml"), TINY_RECIPE);
    const still = ["data.random_shift=false", "data.crop=centre"];
    for (
      const args of [["train", "tiny.yaml", "solver.epochs=2"], [
        "extract",
        "tiny.yaml",
        "--out",
        "features",
        ...still,
      ]]
    ) {
      const { code, stderr } = await sidenet(folder, args);
      if (code !== 0) throw new Error(`Cannot begin the campaign: ${stderr}`);
    }
    return folder;
  })();
}

/**
 * Tries a verb in a copy of the base folder after something hostile was done to it; what lies beside must stay as it is.
 *
 * @param harm does it, and names the arguments of the verb and its right exit codes
 */
export async function tryOn(
  folder: string,
  harm: (work: string) => Promise<{ args: string[]; codes: number[]; mostMs?: number }>,
): Promise<Damage | null> {
  const work = join(folder, "work");
  await copyFolder(await baseFolder(), work);
  await Deno.writeTextFile(join(folder, "beside.txt"), "mine");
  const { args, codes, mostMs } = await harm(work);
  const damage = judge(await sidenet(work, args, mostMs), codes, args[0] === "check");
  if (damage !== null) return { ...damage, detail: `${args.join(" ").slice(0, 120)}: ${damage.detail}` };
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
  const isSame = names.join() === "beside.txt,work" &&
    await Deno.readTextFile(join(folder, "beside.txt")) === "mine";
  return isSame
    ? null
    : { kind: "wrong file", detail: `${args.join(" ")} changed what lies beside: ${names}` };
}

async function copyFolder(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) await copyFolder(join(from, name), join(to, name));
    else await Deno.copyFile(join(from, name), join(to, name));
  }
}
