/** Clips whose frames the recipe's crop cannot take: each is a broken clip of its own. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { trainingFeed } from "../../../train/feed/training_feed.ts";
import { viewFeed } from "../../../train/evaluation/evaluate.ts";
import { parseConfig } from "../../../train/recipe/config.ts";
import { inTempFolder, writeFrames } from "../../_util/frame_folders.ts";

Deno.test("a clip of frames of another size than the crop takes is a broken clip, replaced in training, black in evaluation", () =>
  inTempFolder(async (root) => {
    const sizes = [[32, 32], [40, 36], [30, 40]];
    for (const [i, [width, height]] of sizes.entries()) {
      await writeFrames(join(root, `c${i}`), { frames: 4, shade: i, width, height });
    }
    const { config } = parseConfig(
      `
data: { num_classes: 2, num_segments: 2, resize: none, crop: none, workers: 1, image_tmpl: "{:05d}.jpg" }
network:
  arch: custom
  backbone: { image_size: 32, patch_size: 8, width: 32, layers: 1, heads: 1 }
  side_dim: 64`,
      { source: "x.yaml", overrides: [`data.root=${root}`] },
    );
    const clips = sizes.map((_, i) => ({ path: `c${i}`, label: 0, frames: 4, line: i + 1 }));
    const order = clips.map((_, clip) => ({ clip, epoch: 0, repeat: 1 }));
    await using training = trainingFeed(config, clips);
    await using evaluation = viewFeed(config, { clips, root, views: null });
    const taken = [], seen = [];
    for await (const batch of training.epoch(order, 3)) taken.push(...batch.clips);
    for await (const batch of evaluation.epoch(order, 3)) seen.push(...batch.clips);
    assert.deepEqual(taken.map(({ path }) => path), ["c0", "c0", "c0"]);
    assert.match(
      JSON.stringify(taken[1].problems),
      /its frames of 40x36 must be 32x32 for data\.crop=none: change data\.resize or data\.crop/,
    );
    assert.deepEqual(seen.map(({ bad }) => bad), [false, false, true]); // the centre of 40x36 can be seen
    assert.match(
      JSON.stringify(seen[2].problems),
      /its frames of 30x40 must hold the crop of 32x32: change data\.resize/,
    );
  }));
