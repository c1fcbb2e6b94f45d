/** DiST's frames as the feeds choose them: the rules of its recipes, the rates of videos, test views in time and space. */
import assert from "node:assert/strict";
import { join } from "node:path";
import sharp from "sharp";
import {
  spreadTestIndices,
  spreadTrainIndices,
  spreadValidationIndices,
} from "../../../data/sampling/spread_indices.ts";
import { createPrng } from "../../../lib/random.ts";
import { isFloatTransform } from "../../../pixels/float_transform.ts";
import { viewFeed, viewSampler } from "../../../train/evaluation/evaluate.ts";
import { viewBatch } from "../../../train/evaluation/trained_model.ts";
import { frameRefusal } from "../../../train/feed/frame_room.ts";
import { evaluationSampler, needsRate, trainSampler } from "../../../train/feed/sampling.ts";
import { trainingFeed } from "../../../train/feed/training_feed.ts";
import { type Config, parseConfig } from "../../../train/recipe/config.ts";
import { greyOf, hasFfmpeg, writeVideo } from "../../_util/video_files.ts";

const RECIPE = `
system: side4video
data: { num_classes: 4, num_segments: 4, family: dist, modality: video, workers: 1, batch_size: 2 }
network: { arch: custom, backbone: { image_size: 16, patch_size: 8, width: 32, layers: 2, heads: 2 }, side_dim: 64 }
`;
const INTERVAL = ["data.frame_rule=interval", "data.frame_interval=3"];
const load = (...overrides: string[]): Config => parseConfig(RECIPE, { source: "x.yaml", overrides }).config;

Deno.test("by segments: training draws one of each, validation takes the middle, tests their offsets", () => {
  const config = load(), rule = "segment", segments = 4;
  const train = trainSampler(config),
    evaluate = (clips: number | null) => evaluationSampler(config, clips)(37);
  const expected = spreadTrainIndices(37, { rule, segments }, createPrng(3, 1));
  assert.deepEqual(train(37, createPrng(3, 1)), expected);
  const middle = spreadValidationIndices(37, { rule, segments });
  assert.deepEqual(trainSampler(load("data.random_shift=false"))(37, createPrng(3, 1)), middle);
  assert.deepEqual(evaluate(null), [middle]);
  assert.deepEqual(evaluate(1), [middle]);
  assert.deepEqual(evaluate(3), spreadTestIndices(37, { rule, segments, clips: 3 }));
  assert.ok(!needsRate(config, "train"), "segments go by no rate");
});

Deno.test("by interval: the span follows the rate of the clip, and frames of a folder count as the target's", () => {
  const config = load(...INTERVAL, "data.minus_interval=true"), evaluate = evaluationSampler(config, 2);
  assert.ok(needsRate(config, "train") && needsRate(config, "val"));
  const of = (fps: number) =>
    spreadTestIndices(90, {
      rule: "interval",
      segments: 4,
      samplingRate: 3,
      targetFps: 30,
      fps,
      minusInterval: true,
      clips: 2,
    });
  assert.deepEqual(evaluate(90, null, 60), of(60));
  assert.deepEqual(evaluate(90, null, null), of(30));
  assert.notDeepEqual(of(60), of(30));
  // What predict --fps says is of clips that do not tell.
  const told = viewSampler(config, { crops: 1, clips: 2 }, { frameRate: 60 });
  assert.deepEqual([told(90, null, null), told(90, null, 24)], [of(60), of(24)]);
});

Deno.test("folders of frames are read at the rate that is given", async () => {
  const root = await Deno.makeTempDir({ prefix: "sidenet-float-feed-" });
  try {
    await Deno.mkdir(join(root, "a"));
    for (let n = 1; n <= FRAMES; n++) {
      const background = { r: 5 * n + 15, g: 5 * n + 15, b: 5 * n + 15 }; // as greyOf's
      await sharp({ create: { width: 32, height: 24, channels: 3, background } }).png()
        .toFile(join(root, "a", `${String(n).padStart(5, "0")}.jpg`));
    }
    const config = load(...INTERVAL, "data.modality=RGB"), views = { crops: 1, clips: 1 } as const;
    const clips = [{ path: "a", label: 0, frames: null, line: 1 }];
    for (const [frameRate, fps] of [[undefined, 30], [60, 60]] as const) {
      await using feed = viewFeed(config, { clips, root, views, frameRate });
      for await (const { clips: [clip] } of feed.epoch([{ clip: 0, epoch: 0, repeat: 1 }], 1)) {
        const rule = { rule: "interval", segments: 4, samplingRate: 3, targetFps: 30, clips: 1 } as const;
        assert.deepEqual(
          clip.views.map(({ frames }) => numbersOf(frames)),
          spreadTestIndices(FRAMES, { ...rule, fps }),
          `${fps} frames a second`,
        );
      }
    }
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

/** Frames of the video, 24 a second. */
const FRAMES = 40, RATE = 24;

/** Numbers of the frames of a view, from 1, by their levels. */
function numbersOf(frames: Uint8Array): number[] {
  const bytes = 32 * 24 * 3;
  return Array.from(
    { length: frames.length / bytes },
    (_, t) => Math.round((frames[t * bytes + bytes / 2] - 20) / 5) + 1,
  );
}

/** A folder with a video. */
async function withVideo(test: (root: string) => Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir({ prefix: "sidenet-float-feed-" });
  try {
    await writeVideo(join(root, "a.mp4"), { frames: FRAMES, width: 32, height: 24, pixel: greyOf });
    await test(root);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

const CLIP = { path: "a.mp4", label: 2, frames: null, line: 1 };

Deno.test({
  name: "a feed of videos asks them for their rate, and draws the same for the same place",
  ignore: !hasFfmpeg,
  fn: () =>
    withVideo(async (root) => {
      const config = load(...INTERVAL, `data.root=${root}`, "data.grey=0.5", "data.colour_jitter={}");
      const clipOf = async (epoch: number) => {
        await using feed = trainingFeed(config, [CLIP]);
        for await (const { clips } of feed.epoch([{ clip: 0, epoch, repeat: 2 }], 1)) return clips;
        return [];
      };
      const [first, copy] = await clipOf(0), [again] = await clipOf(0), [other] = await clipOf(1);
      assert.deepEqual(first.problems, []);
      assert.ok(isFloatTransform(first.views[0].transform));
      assert.deepEqual(again.views, first.views);
      assert.notDeepEqual(copy.views[0].transform, first.views[0].transform);
      assert.notDeepEqual(other.views[0].transform, first.views[0].transform);
      await using feed = viewFeed(config, { clips: [CLIP], views: { crops: 3, clips: 2 }, frameRate: 5 });
      for await (const { clips: [clip] } of feed.epoch([{ clip: 0, epoch: 0, repeat: 1 }], 1)) {
        assert.equal(clip.views.length, 6);
        const at = clip.views.map(({ transform }) => isFloatTransform(transform) && transform.outputAt.x);
        assert.deepEqual(at, [0, 0, 2, 2, 5, 5]);
        const expected = spreadTestIndices(FRAMES, {
          rule: "interval",
          segments: 4,
          samplingRate: 3,
          targetFps: 30,
          fps: RATE,
          clips: 2,
        });
        assert.deepEqual(
          clip.views.map(({ frames }) => numbersOf(frames)),
          [...expected, ...expected, ...expected],
        );
      }
    }),
});

Deno.test("frames of any size can be used, up to what the adapter has room for: none is enlarged in a buffer", () => {
  for (const split of ["train", "val"] as const) {
    const refuse = frameRefusal(load("data.test_side=64"), split, { width: 100, height: 80 });
    for (const [width, height] of [[1, 1], [5, 80], [100, 3], [100, 80]]) {
      assert.equal(refuse({ width, height }), null, `${width}x${height}`);
    }
    assert.match(
      refuse({ width: 101, height: 20 })!,
      /^its frames of 101x20 are larger than the adapter can take .*\(100x80\)/,
    );
  }
});

Deno.test("crops that the rules do not know are refused before anything is opened", () => {
  assert.throws(
    () => viewBatch(load(), { crops: 5, clips: 1 }, 4),
    /^ConfigError: Cannot see clips in 5 crops: test crops of data\.family=dist must be 1 or 3, current value is 5$/,
  );
  assert.throws(() => viewFeed(load(), { clips: [CLIP], views: { crops: 10, clips: 2 } }), /in 10 crops: /);
  assert.equal(viewBatch(load(), { crops: 3, clips: 1 }, 4), 2);
  assert.equal(viewBatch(load("data.family=kinetics"), { crops: 10, clips: 1 }, 4), 2);
});
