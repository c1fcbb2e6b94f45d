/** The counting of tests: the totals that a check of a commit relies on. */
import assert from "node:assert/strict";
import { exitCodeOf, parseTotals, testArguments } from "../../tools/test.ts";

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

Deno.test("testArguments() runs the suite without what takes minutes, or what is named", () => {
  assert.deepEqual(testArguments([]), ["test", "-A", "--ignore=tests/full", "tests"]);
  assert.deepEqual(testArguments(["--full"]), ["test", "-A", "tests"]);
  assert.deepEqual(testArguments(["--no-check"]), [
    "test",
    "-A",
    "--ignore=tests/full",
    "--no-check",
    "tests",
  ]);
  assert.deepEqual(testArguments(["tests/gpu"]), ["test", "-A", "tests/gpu"]);
});
