/** The counting of tests: the totals that a check of a commit relies on. */
import assert from "node:assert/strict";
import { exitCodeOf, failuresOf, parseTotals, planRun } from "../../tools/test.ts";

Deno.test("parseTotals() reads the summary of deno test, with steps, colours and skipped tests", () => {
  assert.deepEqual(parseTotals("ok | 12 passed (2 steps) | 0 failed (5ms)\n"), {
    passed: 12,
    failed: 0,
    skipped: 0,
  });
  assert.deepEqual(
    parseTotals(
      "a ... ok\n\n\x1b[31mFAILED\x1b[0m | 2 passed (1 step) | 6 failed (1 step) | 1 ignored \x1b[38;5;245m(1s)\x1b[0m\n",
    ),
    { passed: 2, failed: 6, skipped: 1 },
  );
});

Deno.test("parseTotals() takes the last summary, for a test may print one itself", () => {
  const output =
    "ok | 99 passed | 0 failed (5ms)\nFAILED | 1 passed | 1 failed (9ms)\n\nerror: Test failed\n";
  assert.deepEqual(parseTotals(output), { passed: 1, failed: 1, skipped: 0 });
});

Deno.test("parseTotals() finds nothing where the tests did not start", () => {
  assert.equal(parseTotals("error: Type checking failed.\n"), null);
});

/** A process that ended by itself. */
const ended = (code: number) => ({ code, signal: null });

Deno.test("exitCodeOf() keeps the code of a failed run and fails a run in which nothing was shown", () => {
  assert.equal(exitCodeOf(ended(0), { passed: 3, failed: 0, skipped: 1 }), 0);
  assert.equal(exitCodeOf(ended(101), { passed: 3, failed: 1, skipped: 0 }), 101);
  assert.equal(exitCodeOf(ended(0), { passed: 0, failed: 0, skipped: 4 }), 1);
  assert.equal(exitCodeOf(ended(0), { passed: 3, failed: 1, skipped: 0 }), 1);
  assert.equal(exitCodeOf(ended(0), null), 1);
  const all = { passed: 3, failed: 0, skipped: 0 };
  assert.equal(exitCodeOf({ code: 134, signal: "SIGABRT" }, all), 0, "a driver that dies after the summary");
  assert.equal(exitCodeOf({ code: 134, signal: "SIGABRT" }, null), 1, "and before it");
  assert.equal(exitCodeOf({ code: 134, signal: "SIGABRT" }, { ...all, failed: 1 }), 1);
  assert.equal(exitCodeOf({ code: 130, signal: "SIGINT" }, all), 130);
});

Deno.test("planRun() runs the suite a few files at a time without what takes minutes, or what is named", () => {
  const files = [...Array.from({ length: 8 }, (_, i) => `tests/gpu/${i}_test.ts`), "tests/full/long_test.ts"];
  const usual = planRun([], files);
  assert.equal(usual.jobs, 2);
  assert.deepEqual(usual.batches.flat().filter((arg) => arg.endsWith("_test.ts")), files.slice(0, 8));
  assert.ok(usual.batches.length > 1, "several processes");
  const full = planRun(["--full", "--jobs=3", "--trace-leaks"], files);
  assert.equal(full.jobs, 3);
  assert.deepEqual(full.batches.at(-1), [
    "test",
    "-A",
    "--no-check",
    "--trace-leaks",
    "tests/full/long_test.ts",
  ]);
  assert.deepEqual(planRun(["tests/gpu"], files), { batches: [["test", "-A", "tests/gpu"]], jobs: 1 });
  assert.throws(() => planRun(["--jobs=none"], files), /--jobs/);
});

Deno.test("failuresOf() finds the names of failed tests", () => {
  const output = "x\n FAILURES \n\na test => ./tests/a_test.ts:1:6\n\nFAILED | 1 passed | 1 failed (9ms)\n";
  assert.match(failuresOf(output), /a test => \.\/tests\/a_test\.ts:1:6/);
  assert.equal(failuresOf("ok | 1 passed | 0 failed (9ms)\n"), "");
});
