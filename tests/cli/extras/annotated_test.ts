/** What of a prediction stands in the picture, and which names a video may have. */

import assert from "node:assert/strict";
import { captionsOf, requireVideoFile } from "../../../cli/extras/annotated.ts";

const labels = ["left", "right", "up", "down"];
const shares = (...values: number[]) => Float64Array.from(values);

Deno.test("captionsOf() shows a clip's best classes, or what changes over its time", () => {
  const probabilities = shares(0.1, 0.6, 0.25, 0.05);
  assert.deepEqual(captionsOf({ probabilities, windows: null }, { labels, top: 2 }), [
    { from: 0, to: Infinity, lines: ["right  60 %", "up  25 %"] },
  ]);
  const window = (from: number, to: number, own: Float64Array | null) => ({
    from,
    to,
    range: { first: 1, count: 1 },
    probabilities: own,
  });
  const windows = [
    window(0, 2, shares(0.8, 0.2, 0, 0)),
    window(1, 3, shares(0.6, 0.4, 0, 0)),
    window(2, 4, null),
    window(3, 5, shares(0, 0.1, 0.9, 0)),
  ];
  assert.deepEqual(captionsOf({ probabilities, windows }, { labels, top: 5 }), [
    { from: 0, to: 2.5, lines: ["left  70 %"] },
    { from: 3.5, to: Infinity, lines: ["up  90 %"] },
  ]);
});

Deno.test("--annotate takes the name of a new .mp4 file", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await requireVideoFile(undefined);
    await requireVideoFile(`${folder}/new/seen.mp4`);
    await assert.rejects(
      requireVideoFile(`${folder}/seen.avi`),
      /--annotate must be the name of an \.mp4 file/,
    );
    await Deno.writeTextFile(`${folder}/clip.mp4`, "somebody's");
    await assert.rejects(
      requireVideoFile(`${folder}/clip.mp4`),
      /must be the name of a new file, current value is one that is there/,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
