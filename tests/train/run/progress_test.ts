import type { StepRecord } from "../../../train/files/run_folder.ts";
import { CLASSIFICATION } from "../../../train/tasks/classification.ts";
import { isBest } from "../../../train/tasks/task.ts";
import assert from "node:assert/strict";
import { formatBytes, formatDuration, formatShare, formatValue, progressBar } from "../../../lib/text.ts";
import {
  formatBest,
  formatEvaluation,
  formatProgressLine,
  formatTerminalLine,
  type Progress,
} from "../../../train/run/progress.ts";

const PROGRESS: Progress & { record: StepRecord } = {
  record: {
    kind: "step",
    epoch: 1,
    step: 300,
    loss: 0.81234,
    lr: 3e-4,
    clips_per_second: 52.34,
    data_wait: 0.034,
    gpu_bytes: 93.2 * 2 ** 20,
  },
  totalSteps: 1000,
  epochs: 4,
  secondsPerStep: 0.3,
  evaluationSeconds: 0,
};

Deno.test("durations, bytes, shares and values are short and never claim more than they know", () => {
  assert.deepEqual([0.4, 59.4, 59.6, 185, 3600, 7620, 90_000, Infinity].map(formatDuration), [
    "0s",
    "59s",
    "1m 00s",
    "3m 05s",
    "1h 00m",
    "2h 07m",
    "1d 01h",
    "?",
  ]);
  assert.deepEqual([812, 1000, 1024, 999.4 * 1024, 1023 * 1024, 4.25 * 2 ** 30].map(formatBytes), [
    "812 B",
    "0.98 KiB",
    "1.00 KiB",
    "999 KiB",
    "1.00 MiB",
    "4.25 GiB",
  ]);
  assert.equal(formatShare(0.9733), "97.3 %");
  assert.deepEqual([1.23456, 0, 0.00012345, NaN].map(formatValue), ["1.2346", "0.0000", "1.23e-4", "NaN"]);
});

Deno.test("a log line holds every figure", () => {
  assert.equal(
    formatProgressLine(PROGRESS),
    "epoch 2/4 step 300/1000 · loss 0.8123 · ETA 3m 30s · 52.3 clips/s · data wait 3 % · GPU 93.2 MiB · lr 3.00e-4",
  );
});

Deno.test("the time left has the evaluations in it, and is not told before anything was measured", () => {
  const later = { ...PROGRESS, evaluationSeconds: 90 };
  assert.match(formatProgressLine(later), / ETA 5m 00s /);
  // Steps that have gone by since the last line of metrics count.
  assert.match(
    formatTerminalLine({ ...later, step: 800 }, 160),
    / 80 % 800\/1000 · loss 0\.8123 · ETA 2m 30s /,
  );
  assert.doesNotMatch(formatProgressLine({ ...later, secondsPerStep: null }), /ETA/);
  const first = { ...PROGRESS, record: null, step: 1, secondsPerStep: null };
  assert.equal(formatTerminalLine(first, 80).trim(), "▕          ▏  0 % 1/1000");
});

Deno.test("a terminal line is always narrower than the terminal and drops the least telling figures first", () => {
  for (let columns = 1; columns <= 160; columns++) {
    const line = formatTerminalLine(PROGRESS, columns);
    assert.ok([...line].length < columns, `${columns} columns: ${line}`);
  }
  assert.match(formatTerminalLine(PROGRESS, 160), /^▕██████ {14}▏ 30 % 300\/1000 .* lr 3\.00e-4$/);
  assert.match(formatTerminalLine(PROGRESS, 50), /^ 30 % 300\/1000 · loss 0\.8123 · ETA 3m 30s$/);
});

Deno.test("a bar fills by eighths of a cell and clamps", () => {
  assert.deepEqual([-1, 0, 0.3125, 1, 2].map((share) => progressBar(share, 4)), [
    "    ",
    "    ",
    "█▎  ",
    "████",
    "████",
  ]);
});

Deno.test("an evaluation line says whether it is the best", () => {
  const record = { kind: "eval", epoch: 0, step: 250, top1: 0.9554, top5: 1, loss: 0.2 } as const;
  const { metrics: columns } = CLASSIFICATION;
  assert.equal(
    formatEvaluation(record, { epochs: 2, best: true, columns }),
    "evaluation after epoch 1/2: top-1 95.5 % · top-5 100.0 % · loss 0.2000 · best so far",
  );
  assert.doesNotMatch(formatEvaluation(record, { epochs: 2, best: false, columns }), /best/);
});

Deno.test("the best evaluation is told beside the last, with its epoch and every metric", () => {
  const { metrics: columns } = CLASSIFICATION, best = { epoch: 2, step: 24, top1: 0.6, top5: 1, loss: 0.9 };
  assert.equal(
    formatBest({ best, steps: 40 }, { columns }),
    "best after epoch 3: top-1 60.0 % · top-5 100.0 % · loss 0.9000",
  );
  assert.equal(formatBest({ best, steps: 24 }, { columns }), "the last evaluation is the best");
  assert.equal(formatBest({ best: null, steps: 24 }, { columns }), "");
});

Deno.test("better is more in the metric and, where that is equal, less in the loss; what is equal in both is not better", () => {
  const before = { epoch: 0, top1: 0.5, top5: 1, loss: 1 };
  for (
    const [top1, loss, better] of [
      [0.6, 2, true],
      [0.4, 0.1, false],
      [0.5, 0.9, true],
      [0.5, 1.1, false],
      [0.5, 1, false],
    ] as const
  ) {
    assert.equal(isBest(CLASSIFICATION, { top1, top5: 1, loss }, before), better, `${top1} ${loss}`);
  }
  assert.ok(isBest(CLASSIFICATION, before, null));
  const { thenBy: _, ...alone } = CLASSIFICATION;
  assert.ok(!isBest(alone, { top1: 0.5, top5: 1, loss: 0.1 }, before));
});
