import assert from "node:assert/strict";
import type { ClipTransform } from "../../../pixels/clip_transform.ts";
import { join } from "node:path";
import { encodeJpeg } from "../../../data/frames/jpeg.ts";
import type { FrameClip } from "../../../gpu/frames.ts";
import { parseConfig } from "../../../train/recipe/config.ts";
import { CLASSIFICATION } from "../../../train/tasks/classification.ts";
import { chosenViews, evaluateClips, scoreClips } from "../../../train/evaluation/evaluate.ts";

const task = CLASSIFICATION;

/** Something-Something rules, 8 frames, 16x16 crops of frames resized to 24 x 32. */
const { config } = parseConfig(`
data: { dataset: something, num_classes: 3, num_segments: 8, resize: [24, 32], workers: 1 }
network: { arch: custom, backbone: { image_size: 16, patch_size: 8, width: 32, layers: 1, heads: 1 }, side_dim: 64 }
`);

/** Writes clips of plain grey frames; frame i has the level 6 i. */
async function withClips(counts: readonly number[], body: (root: string) => Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir();
  try {
    for (const [clip, frames] of counts.entries()) {
      await Deno.mkdir(join(root, String(clip)));
      for (let i = 1; i <= frames; i++) {
        const rgb = new Uint8Array(20 * 15 * 3).fill(6 * i);
        const name = `${String(i).padStart(5, "0")}.jpg`;
        await Deno.writeFile(
          join(root, String(clip), name),
          await encodeJpeg({ width: 20, height: 15, rgb }, { quality: 100 }),
        );
      }
    }
    await body(root);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

/** The frame numbers of a view, back from their grey levels. */
function frameNumbers({ frames, width, height }: FrameClip): number[] {
  return Array.from({ length: 8 }, (_, i) => frames[i * width * height * 3] / 6);
}

const record = (path: string, label: number) => ({ path, label, frames: null, line: 1 });
const softmax = (logits: number[]) => {
  const sum = logits.reduce((total, x) => total + Math.exp(x), 0);
  return logits.map((x) => Math.exp(x) / sum);
};

/** A network whose logits are a known function of the call number, and which notes what it was shown. */
function fakeNetwork(evaluationClips: number) {
  const seen: FrameClip[] = [], logits: number[][] = [], batches: number[] = [];
  return {
    seen,
    logits,
    batches,
    evaluationClips,
    ask: () => Promise.reject(new Error("a classifier is asked nothing")),
    evaluate(clips: readonly FrameClip[]): Promise<Record<string, Float32Array>> {
      batches.push(clips.length);
      const rows = clips.map((clip) => {
        const n = seen.push(clip);
        const row = [n % 3, (n * n) % 5, 0.5 * (n % 2)];
        logits.push(row);
        return row;
      });
      return Promise.resolve({ logits: Float32Array.from(rows.flat()) });
    },
  };
}

Deno.test("views go through the network crop-major, then clip, then frame, at the published places", () =>
  withClips([37, 37], async (root) => {
    // Spec values for 37 frames: two test clips of 8 frames.
    const first = [2, 6, 11, 16, 20, 24, 29, 34], second = [4, 8, 13, 18, 22, 26, 31, 36];
    const network = fakeNetwork(4);
    const clips = [record("0", 1), record("1", 2)];
    const views = { crops: 3, clips: 2 } as const;
    const evaluation = await evaluateClips(network, config, { task, clips, root, views });
    assert.deepEqual(network.batches, [4, 2, 4, 2]);
    const expected = [[0, 4], [16, 4], [8, 4]].flatMap(([x, y]) =>
      [first, second].map((frames) => ({ frames, crop: { x, y, width: 16, height: 16 } }))
    );
    const shown = network.seen.map((view) => {
      const { resize, crop } = view.transform as ClipTransform;
      assert.deepEqual(resize, { width: 32, height: 24, filter: "bicubic" });
      return { frames: frameNumbers(view), crop };
    });
    assert.deepEqual(shown, [...expected, ...expected]);

    let loss = 0, right = 0;
    clips.forEach(({ label }, i) => {
      const own = network.logits.slice(6 * i, 6 * i + 6).map(softmax);
      const mean = [0, 1, 2].map((k) => own.reduce((sum, p) => sum + p[k], 0) / 6);
      const got = [...evaluation.predictions[i].probabilities];
      mean.forEach((p, k) => assert.ok(Math.abs(p - got[k]) < 1e-6, `clip ${i}: ${got} against ${mean}`));
      loss -= Math.log(mean[label]) / 2;
      if (mean.indexOf(Math.max(...mean)) === label) right++;
    });
    assert.ok(Math.abs(evaluation.metrics.loss - loss) < 1e-6);
    assert.equal(evaluation.metrics.top1, right / 2);
    assert.equal(evaluation.details.clips, 2);
    assert.equal(evaluation.details.top1, right / 2);
  }));

Deno.test("without flags a clip is seen once, at the centre; a batch holds several clips, and each counts once", () =>
  withClips([37, 5, 37], async (root) => {
    const network = fakeNetwork(2);
    const clips = [record("0", 1), record("1", 0), record("2", 2)];
    const evaluation = await evaluateClips(network, config, { task, clips, root, views: null });
    assert.deepEqual(network.batches, [2, 1]);
    assert.deepEqual(network.seen.map(frameNumbers), [
      [3, 7, 12, 17, 21, 25, 30, 35],
      [1, 1, 2, 3, 3, 3, 4, 5],
      [3, 7, 12, 17, 21, 25, 30, 35],
    ]);
    assert.deepEqual(
      network.seen.map(({ transform }) => transform.crop),
      Array(3).fill({ x: 8, y: 4, width: 16, height: 16 }),
    );
    assert.deepEqual(evaluation.predictions.map(({ path, label }) => [path, label]), [["0", 1], ["1", 0], [
      "2",
      2,
    ]]);
    evaluation.predictions.forEach(({ probabilities }, i) =>
      softmax(network.logits[i]).forEach((p, k) => assert.ok(Math.abs(p - probabilities[k]) < 1e-6))
    );
  }));

Deno.test("a clip of which nothing can be read is shown black at a size that fits every recipe, and is told", () =>
  withClips([], async (root) => {
    const network = fakeNetwork(8);
    const own = parseConfig(`
data: { dataset: x, num_classes: 3, num_segments: 2, resize: none, crop: none, workers: 1 }
network: { arch: custom, backbone: { image_size: 64, patch_size: 8, width: 32, layers: 1, heads: 1 }, side_dim: 64 }
`).config;
    const options = { clips: [record("absent", 0)], root, views: { crops: 3, clips: 2 } as const };
    const [scored] = await Array.fromAsync(scoreClips(network, own, options));
    assert.equal(scored.bad, true);
    assert.match(scored.problems[0].problem, /^clip: .*black/);
    assert.equal(network.seen.length, 6);
    assert.ok(network.seen.every(({ frames }) => frames.every((byte) => byte === 0)));
  }));

Deno.test("one of the two flags leaves the other at 1; none of them is the rule of validation", () => {
  assert.equal(chosenViews({}), null);
  assert.deepEqual(chosenViews({ crops: 5 }), { crops: 5, clips: 1 });
  assert.deepEqual(chosenViews({ clips: 4 }), { crops: 1, clips: 4 });
});
