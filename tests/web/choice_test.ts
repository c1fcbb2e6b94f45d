/** What can be chosen in the page, and what stands on its time axis. */
import assert from "node:assert/strict";
import { evenTimes } from "../../train/evaluation/timeline.ts";
import { boundText, leastOf } from "../../web/choice.ts";
import { tickTimes } from "../../web/ticks.ts";

Deno.test("a window or a stride below a frame is told at its field, in the page's words", () => {
  const times = evenTimes(48, 6); // 8 a second
  const bound = leastOf({ window: 0.05, stride: 0.025 }, times);
  assert.deepEqual(bound, { field: "window", seconds: 0.25 });
  assert.match(boundText(bound!), /^Window: at least 0\.25 s, two frames/);
  assert.deepEqual(leastOf({ window: 1, stride: 0.1 }, times), { field: "stride", seconds: 0.125 });
  assert.equal(leastOf({ window: 0.05, stride: 0.125 }, times), null);
  assert.equal(leastOf({ window: 0.25, stride: 0.125 }, times), null);
  assert.equal(leastOf({ window: 9, stride: 0.01 }, times), null, "one window");
  assert.equal(leastOf(null, times), null);
  // What is asked for is never rounded to less than is needed.
  assert.equal(
    boundText({ field: "stride", seconds: 1 / 30 }),
    "Stride: at least 0.034 s, a frame of the video",
  );
});

Deno.test("labels of the time axis do not touch on narrow screens", () => {
  for (const seconds of [0.4, 6, 65, 600, 30_000]) {
    for (const width of [240, 320, 1100]) {
      const letters = 7, times = tickTimes(seconds, { width, letters });
      const least = Math.min(...times.slice(1).map((at, i) => (at - times[i]) / seconds * width));
      assert.ok(times.length === 1 || least > letters * 7, `${seconds} s on ${width}: ${times}`);
      assert.ok(times[0] === 0 && times.at(-1)! <= seconds + 1e-6 && times.length <= 7);
    }
  }
  assert.deepEqual(tickTimes(6, { width: 1100, letters: 7 }), [0, 1, 2, 3, 4, 5, 6]);
  assert.deepEqual(tickTimes(6, { width: 320, letters: 7 }), [0, 2, 4, 6]);
});
