/**
 * Runs the test suite and ends with one line of totals, `N passed, N failed, N skipped`.
 *
 *     deno run -A tools/test.ts [--full] [--jobs=N] [FILE or FOLDER …] [flags of deno test …]
 *
 * Without a file: all of tests/ but tests/full/, which holds what takes minutes; `--full` adds that. Types are checked once,
 * then several processes run a few files at a time, because a test uses little more than one core: two, or as many as `--jobs` says; `--jobs=1`
 * and files that are named run in one process. A run in which no test was executed is a failure. With `CI=true` GPU tests are
 * required unless `SIDENET_GPU` says otherwise.
 */

const SUITE = "tests";
const FULL_SUITE = "tests/full";
/** Processes at a time; each holds a few hundred MB and the buffers of its tests. */
const JOBS = 2;
/** Files of one process. */
const FILES_A_BATCH = 6;

/** What a test run came to. */
export interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

/**
 * Reads the totals from the last summary line of `deno test`, such as `FAILED | 5 passed (2 steps) | 1 failed | 4 ignored`.
 *
 * @returns null when there is no summary: the tests did not start.
 */
export function parseTotals(output: string): Totals | null {
  // deno-lint-ignore no-control-regex -- colours
  const plain = output.replace(/\x1b\[[\d;]*m/g, "");
  const summary = plain.match(/^(?:ok|FAILED) \| \d+ passed .*$/gm)?.at(-1);
  if (summary === undefined) return null;
  const count = (word: string) => Number(summary.match(new RegExp(`\\| (\\d+) ${word}\\b`))?.[1] ?? 0);
  return { passed: count("passed"), failed: count("failed"), skipped: count("ignored") };
}

/**
 * The exit code of the run: that of `deno test`, and 1 where it says success although nothing was shown to work.
 *
 * Mesa's software driver may crash while the process takes it down (seen with Mesa 22.3: "double free or corruption" after
 * the summary of a run in which every test had passed). Such an end, by a signal and after a complete summary without a
 * failure, is told and does not fail the run.
 */
export function exitCodeOf(end: { code: number; signal: string | null }, totals: Totals | null): number {
  const diedAfterwards = end.signal !== null && end.signal !== "SIGINT" && end.signal !== "SIGTERM";
  if (end.code !== 0 && !diedAfterwards) return end.code;
  return totals !== null && totals.passed > 0 && totals.failed === 0 ? 0 : 1;
}

/** What to run: arguments for `deno test`, one list a process, and how many processes run at a time. */
export interface Plan {
  batches: string[][];
  jobs: number;
}

/** Plans a run from our arguments. @param files All test files, with paths below the root. */
export function planRun(args: readonly string[], files: readonly string[]): Plan {
  const rest = args.filter((arg) => arg !== "--full" && !arg.startsWith("--jobs="));
  const flags = rest.filter((arg) => arg.startsWith("-"));
  const jobs = Number(args.find((arg) => arg.startsWith("--jobs="))?.slice("--jobs=".length) ?? JOBS);
  if (!Number.isInteger(jobs) || jobs < 1) {
    throw new Error(`Cannot use "--jobs=${jobs}": it must be at least 1`);
  }
  if (rest.length > flags.length) return { batches: [["test", "-A", ...rest]], jobs: 1 };
  const isFull = (path: string) => path.startsWith(`${FULL_SUITE}/`);
  const usual = files.filter((path) => !isFull(path)).sort(), chosen: string[][] = [];
  for (let at = 0; at < usual.length; at += FILES_A_BATCH) chosen.push(usual.slice(at, at + FILES_A_BATCH));
  if (args.includes("--full")) chosen.push(...files.filter(isFull).sort().map((path) => [path]));
  return { batches: chosen.map((paths) => ["test", "-A", "--no-check", ...flags, ...paths]), jobs };
}

/** All test files below a folder. */
async function testFiles(folder: string): Promise<string[]> {
  const paths: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = `${folder}/${name}`;
    if (isDirectory) paths.push(...await testFiles(path));
    else if (name.endsWith("_test.ts")) paths.push(path);
  }
  return paths;
}

/** How a process ended, and all that it printed. */
interface Ended {
  code: number;
  signal: string | null;
  output: string;
}

/** Runs one `deno test`; what it prints is passed on at once, or when it ends. */
async function runBatch(args: readonly string[], { env, isAlone }: {
  env: Record<string, string>;
  isAlone: boolean;
}): Promise<Ended> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [...args],
    env,
    stdout: "piped",
    stderr: isAlone ? "inherit" : "piped",
  }).spawn();
  const errors = isAlone ? null : new Response(child.stderr).bytes();
  const decoder = new TextDecoder(), kept: Uint8Array[] = [];
  let output = "";
  for await (const chunk of child.stdout) {
    output += decoder.decode(chunk, { stream: true });
    if (isAlone) await write(Deno.stdout, chunk);
    else kept.push(chunk);
  }
  const { code, signal } = await child.status;
  for (const chunk of kept) await write(Deno.stdout, chunk);
  if (errors !== null) await write(Deno.stderr, await errors);
  return { code, signal, output };
}

async function write(to: typeof Deno.stdout, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length;) written += await to.write(bytes.subarray(written));
}

/** Runs the tests. Returns the exit code. */
async function runTests(args: readonly string[]): Promise<number> {
  // However this was called: verbs in tests go by their own name. And kernels must not depend on what was measured, and when.
  const env: Record<string, string> = { SIDENET_PROGRAM: "", SIDENET_TUNE: "off" };
  if (Deno.env.get("CI") && !Deno.env.get("SIDENET_GPU")) env.SIDENET_GPU = "require";
  if (Deno.stdout.isTerminal() && !Deno.env.get("NO_COLOR")) env.FORCE_COLOR = "1";
  const { batches, jobs } = planRun(args, await testFiles(SUITE));
  if (batches.length > 1 && !args.includes("--no-check")) {
    const { code } = await new Deno.Command(Deno.execPath(), { args: ["check", SUITE], env }).spawn().status;
    if (code !== 0) return code;
  }
  const sum: Totals = { passed: 0, failed: 0, skipped: 0 }, failures: string[] = [];
  let exitCode = 0, next = 0, stopped = false;
  const isAlone = batches.length === 1;
  const work = async () => {
    while (next < batches.length && !stopped) {
      const batch = batches[next++];
      const { output, ...end } = await runBatch(batch, { env, isAlone });
      const totals = parseTotals(output);
      if (totals === null) {
        console.error(
          `Cannot count tests: deno ${batch.join(" ")} ended without a summary, see its messages above`,
        );
      }
      const { passed, failed, skipped } = totals ?? { passed: 0, failed: 1, skipped: 0 };
      sum.passed += passed;
      sum.failed += failed;
      sum.skipped += skipped;
      if (end.signal !== null) console.error(`deno test was ended by ${end.signal} after its last output`);
      const code = exitCodeOf(end, totals);
      if (code !== 0 && failed > 0) failures.push(failuresOf(output));
      // A batch whose tests were all skipped has shown nothing, but others have.
      if (code !== 0 && !(end.code === 0 && failed === 0 && totals !== null)) exitCode ||= code;
      stopped ||= end.signal === "SIGINT" || end.signal === "SIGTERM";
    }
  };
  await Promise.all(Array.from({ length: Math.min(jobs, batches.length) }, work));
  if (failures.length > 0 && !isAlone) console.log(failures.join("\n"));
  const isShown = sum.passed > 0 && sum.failed === 0;
  if (sum.passed + sum.failed === 0) console.error("Cannot pass: no test was executed");
  console.log(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`);
  return exitCode || (isShown ? 0 : 1);
}

/** The names of failed tests from the output of `deno test`, which are lost among those of other processes. */
export function failuresOf(output: string): string {
  const at = output.lastIndexOf(" FAILURES ");
  return at < 0
    ? ""
    : output.slice(at).split("\n").slice(1, -1).filter((line) => line.trim() !== "").join("\n");
}

if (import.meta.main) Deno.exit(await runTests(Deno.args));
