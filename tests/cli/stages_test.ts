import assert from "node:assert/strict";
import { formatStage, tellStages } from "../../cli/text/stages.ts";
import { TrainingLine } from "../../cli/text/training_line.ts";

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const TIMES = { quietMs: 40, repeatMs: 500, tickMs: 10 };

function recorder(isTerminal: boolean) {
  const notes: string[] = [], statuses: string[] = [];
  return {
    io: {
      isTerminal,
      columns: 80,
      note: (text: string) => void notes.push(text),
      status: (text: string) => void statuses.push(text),
    },
    notes,
    statuses,
  };
}

Deno.test("a stage says how far it is, and is never as wide as the terminal", () => {
  const stage = { what: "compiling", done: 12, of: 43, unit: "pipelines" };
  assert.equal(formatStage(stage, 5, 80), "▕██▊       ▏ compiling 12 of 43 pipelines · 5s");
  assert.equal(formatStage(stage, 1, 59), "compiling 12 of 43 pipelines");
  assert.equal(formatStage({ what: "planning" }, 0, 80), "planning");
  for (let columns = 1; columns < 80; columns++) {
    assert.ok([...formatStage(stage, 100, columns)].length < columns);
  }
});

Deno.test("on a terminal every stage is one moving line, which goes at the end", async () => {
  const { io, notes, statuses } = recorder(true);
  {
    using stages = tellStages(io, TIMES);
    stages.tell({ what: "planning" });
    stages.tell({ what: "compiling", done: 0, of: 2 });
    await pause(35);
    stages.tell({ what: "compiling", done: 2, of: 2 });
  }
  assert.deepEqual(notes, []);
  assert.equal(statuses[0], "planning");
  assert.match(statuses[1], /compiling 0 of 2$/);
  assert.match(statuses.at(-2)!, /compiling 2 of 2$/);
  assert.equal(statuses.at(-1), "");
  const { length } = statuses;
  assert.ok(length > 4, "it moves by itself");
  await pause(30);
  assert.equal(statuses.length, length);
});

Deno.test("a log has a line for what takes long, and seldom another", async () => {
  const { io, notes, statuses } = recorder(false);
  using stages = tellStages(io, TIMES);
  stages.tell({ what: "planning" });
  await pause(10);
  stages.tell({ what: "compiling", done: 1, of: 2 });
  await pause(100);
  assert.equal(notes.length, 1);
  assert.match(notes[0], /^compiling 1 of 2/);
  const since = performance.now();
  while (notes.length < 2 && performance.now() - since < 10_000) await pause(10);
  assert.equal(notes.length, 2);
  assert.deepEqual(statuses, []);
});

Deno.test("between two looks at the GPU the bar moves at the pace known, never beyond what the GPU was handed", async () => {
  const { io, statuses } = recorder(true);
  using line = new TrainingLine(io);
  const totals = { steps: 100, epochs: 1, secondsPerStep: 0.1, evaluationSeconds: 0 };
  line.moved({ ...totals, step: 1, isDone: true });
  line.moved({ ...totals, step: 4, isDone: false });
  assert.match(statuses.at(-1)!, / 1 % 1\/100 · ETA 10s$/);
  await pause(900);
  assert.match(statuses.at(-1)!, / 4 % 4\/100 · ETA 10s$/);
  const steps = statuses.map((text) => Number(/(\d+)\/100/.exec(text)![1]));
  assert.ok(new Set(steps).size > 2 && steps.every((step, i) => i === 0 || step >= steps[i - 1]));
});
