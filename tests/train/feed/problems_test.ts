import assert from "node:assert/strict";
import { describeProblems, ProblemLog } from "../../../train/feed/problems.ts";

Deno.test("a clip that another one stands in for is told once, whichever it is; all are counted", () => {
  const told: string[] = [], log = new ProblemLog((text) => told.push(text));
  for (const other of ["b", 'c; "d']) {
    log.add({ path: "a", problem: `clip: it does not exist; "${other}" of its class is used instead` });
  }
  log.add({ path: "a", problem: "frame 2: it does not exist; frame 1 is used instead" });
  log.add({ path: "a", problem: "frame 3: it does not exist; frame 1 is used instead" });
  assert.deepEqual(told, [
    'a: clip: it does not exist; "b" of its class is used instead',
    "a: frame 2: it does not exist; frame 1 is used instead",
    "a: frame 3: it does not exist; frame 1 is used instead",
  ]);
  assert.equal(log.count, 4);
  assert.equal(log.list.length, 3);
});

Deno.test("after a thousand problems one line says that the others are only counted", () => {
  const told: string[] = [], log = new ProblemLog((text) => told.push(text));
  for (let epoch = 0; epoch < 2; epoch++) {
    for (let i = 0; i < 1005; i++) log.add({ path: `clip ${i}`, problem: "clip: it does not exist; black" });
  }
  assert.equal(told.length, 1001);
  assert.equal(told[1000], "more than 1,000 frames or clips cannot be used: the others are only counted");
  assert.equal(log.list.length, 1000);
  assert.equal(log.count, 2010);
});

Deno.test("problems from before an interruption are kept and not told again", () => {
  const problem = { path: "a", problem: "clip: it does not exist; black" };
  const told: string[] = [], log = new ProblemLog((text) => told.push(text));
  log.restore({ count: 7, list: [problem] });
  log.add(problem);
  assert.deepEqual(told, []);
  assert.deepEqual(log.list, [problem]);
  assert.equal(log.count, 8);
});

Deno.test("describeProblems() agrees with its number", () => {
  assert.equal(describeProblems(1), "1 frame or clip could not be used as it is");
  assert.equal(describeProblems(1234), "1,234 frames or clips could not be used as they are");
});
