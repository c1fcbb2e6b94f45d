/** The recipe key of colour jitter: its defaults, refusals, remarks, and what memory and stored features know of it. */
import assert from "node:assert/strict";
import { PUBLISHED_COLOUR_JITTER } from "../../../data/transforms/colour_jitter.ts";
import { createModel } from "../../../models/mod.ts";
import { formatConfig, parseConfig, transformRecipe } from "../../../train/recipe/config.ts";
import { differenceFrom, makeManifest, obstacleOf, randomKeys } from "../../../train/features/features.ts";
import { evaluationOptions, sessionOptions } from "../../../train/tasks/session_options.ts";
import { modelSpec } from "../../../train/recipe/model.ts";

const FIXED = ["data.random_shift=false", "data.crop=centre", "data.flip=none", "data.grey=0"];
const IDLE = "data.colour_jitter={brightness: 0, contrast: 0, saturation: 0, hue: 0}";

function load(...overrides: string[]) {
  return parseConfig("data: { num_classes: 4 }", { source: "x.yaml", overrides });
}

const configOf = (...overrides: string[]) => load(...FIXED, ...overrides).config;

Deno.test("data.colour_jitter is off unless given; its parts default to DiST's ranges, and it is saved whole", () => {
  const jitterOf = (...overrides: string[]) => transformRecipe(load(...overrides).config).colourJitter;
  assert.equal(jitterOf(), null);
  assert.equal(jitterOf("data.colour_jitter=None"), null);
  assert.deepEqual(jitterOf("data.colour_jitter={}"), PUBLISHED_COLOUR_JITTER);
  assert.deepEqual(jitterOf("data.colour_jitter.hue=0", "data.colour_jitter.probability=0.8"), {
    ...PUBLISHED_COLOUR_JITTER,
    hue: 0,
    probability: 0.8,
  });
  const { config } = load("data.colour_jitter={contrast: 2}");
  assert.deepEqual(parseConfig(formatConfig(config), { source: "y.yaml" }).config, config);
});

for (
  const [override, reason] of [
    [
      "data.colour_jitter.probability=1.5",
      /data\.colour_jitter\.probability must be .*current value is 1\.5$/,
    ],
    ["data.colour_jitter={contrast: -1}", /data\.colour_jitter\.contrast must be .*current value is -1$/],
    ["data.colour_jitter.hue=0.6", /data\.colour_jitter\.hue must be .*current value is 0\.6$/],
    ["data.colour_jitter.huge=0.6", /data\.colour_jitter\.huge/],
    ["data.colour_jitter={bright: 1}", /data\.colour_jitter\.bright/],
    ["data.colour_jitter=true", /data\.colour_jitter must be .*current value is true$/],
  ] as const
) {
  Deno.test(`${override} is one line and exit code 2`, () => {
    assert.throws(() => load(override), (error: Error & { exitCode?: number }) => {
      assert.equal(error.exitCode, 2);
      assert.ok(error.message.startsWith(`Cannot use argument "${override}": `), error.message);
      assert.match(error.message, reason);
      return !error.message.includes("\n");
    });
  });
}

Deno.test("a jitter that changes nothing is remarked on", () => {
  const remarks = (...overrides: string[]) =>
    load(...overrides).warnings.filter((one) => one.includes("jitter"));
  assert.deepEqual(remarks("data.colour_jitter={}"), []);
  for (const override of ["data.colour_jitter={probability: 0}", IDLE]) {
    assert.deepEqual(remarks(override), [
      "data.colour_jitter has no effect: its probability, or each of its ranges, is 0",
    ]);
  }
});

Deno.test("a training session has room for the operations of RandAugment and of colour jitter", () => {
  const roomOf = (...overrides: string[]) =>
    sessionOptions(configOf(...overrides), { lastBatch: 0, largestFrame: { width: 40, height: 30 } })
      .augmentation?.pixelOps;
  assert.equal(roomOf(), 0);
  assert.equal(roomOf("data.colour_jitter={}"), 4);
  assert.equal(roomOf("data.colour_jitter={hue: 0}"), 3);
  assert.equal(roomOf("data.colour_jitter={}", "data.rand_aug=true"), 8);
  assert.equal(roomOf("data.colour_jitter={}", "data.features=feats"), undefined);
  const largestFrame = { width: 40, height: 30 };
  const evaluation = evaluationOptions(configOf("data.colour_jitter={}"), { clips: 1, largestFrame });
  assert.equal(evaluation.augmentation, undefined);
});

Deno.test("stored features know colour jitter: its views are random, and others differ", async () => {
  const jittered = configOf("data.colour_jitter={hue: 0}"), model = createModel(modelSpec(jittered));
  assert.equal(obstacleOf(jittered, model), null);
  const [{ key, fixed }, ...others] = randomKeys(jittered);
  assert.deepEqual(others, []);
  assert.deepEqual(randomKeys(configOf(key)), [{ key, fixed }], "the key as it is named gives it back");
  assert.deepEqual(configOf(key), jittered);
  assert.deepEqual(randomKeys(configOf(key, fixed)), []);
  assert.deepEqual(randomKeys(configOf(IDLE)), []);

  const clips = { train: [{ path: "a", label: 0, frames: 8, line: 1 }], val: [] };
  const plain = await makeManifest(configOf(), model, { clips, epochs: 1 });
  assert.equal(await differenceFrom(plain, configOf(IDLE), clips), null);
  assert.equal((await differenceFrom(plain, jittered, clips))?.key, "data.colour_jitter");
  const stored = await makeManifest(jittered, model, { clips, epochs: 2 });
  assert.equal(await differenceFrom(stored, jittered, clips), null);
  assert.equal(
    (await differenceFrom(stored, configOf("data.colour_jitter={}"), clips))?.key,
    "data.colour_jitter",
  );
});
