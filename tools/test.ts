/**
 * Runs the test suite and ends with one line of totals, `N passed, N failed, N skipped`.
 *
 *     deno run -A tools/test.ts [--full] [FILE or FOLDER …] [flags of deno test …]
 *
 * Without a file: all of tests/ but tests/full/, which holds what takes minutes; `--full` adds that. A run in which no test
 * was executed is a failure. With `CI=true` GPU tests are required unless `SIDENET_GPU` says otherwise.
 */

const SUITE = "tests";
const FULL_SUITE = "tests/full";

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

/** Arguments for `deno` from ours. */
export function testArguments(args: readonly string[]): string[] {
  const rest = args.filter((arg) => arg !== "--full");
  const hasPaths = rest.some((arg) => !arg.startsWith("-"));
  const ignore = args.includes("--full") || hasPaths ? [] : [`--ignore=${FULL_SUITE}`];
  return ["test", "-A", ...ignore, ...rest, ...(hasPaths ? [] : [SUITE])];
}

/** Runs `deno test`, passing its output on. Returns the exit code. */
async function runTests(args: readonly string[]): Promise<number> {
  // However this was called: verbs in tests go by their own name.
  const env: Record<string, string> = { SIDENET_PROGRAM: "" };
  if (Deno.env.get("CI") && !Deno.env.get("SIDENET_GPU")) env.SIDENET_GPU = "require";
  if (Deno.stdout.isTerminal() && !Deno.env.get("NO_COLOR")) env.FORCE_COLOR = "1";
  const child = new Deno.Command(Deno.execPath(), {
    args: testArguments(args),
    env,
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const decoder = new TextDecoder();
  let output = "";
  for await (const chunk of child.stdout) {
    output += decoder.decode(chunk, { stream: true });
    for (let written = 0; written < chunk.length;) {
      written += await Deno.stdout.write(chunk.subarray(written));
    }
  }
  const { code, signal } = await child.status;
  const totals = parseTotals(output);
  if (totals === null) {
    console.error("Cannot count tests: deno test ended without a summary, see its messages above");
  }
  const { passed, failed, skipped } = totals ?? { passed: 0, failed: 1, skipped: 0 };
  if (passed + failed === 0) console.error("Cannot pass: no test was executed");
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  if (signal !== null) console.error(`deno test was ended by ${signal} after its last output`);
  return exitCodeOf({ code, signal }, totals);
}

if (import.meta.main) Deno.exit(await runTests(Deno.args));
