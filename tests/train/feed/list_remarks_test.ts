/** Runs that would teach or measure nothing are refused, or say so. */
import assert from "node:assert/strict";
import { remarksOnLists } from "../../../train/feed/list_remarks.ts";
import { parseConfig } from "../../../train/recipe/config.ts";

const RECIPE =
  "data: {num_classes: 4, batch_size: 4, root: r, train_list: t, val_list: v}\nsolver: {epochs: 2}";
const config = (...overrides: string[]) => parseConfig(RECIPE, { overrides }).config;
const clips = (prefix: string, labels: number[]) =>
  labels.map((label, i) => ({ path: `${prefix}${i}`, label, frames: null, line: i + 1 }));
const train = clips("a", [0, 1, 2, 3, 0, 1]), val = clips("b", [0, 1, 2, 3]);
const of = (lists: Partial<Parameters<typeof remarksOnLists>[1]>, ...overrides: string[]) =>
  remarksOnLists(config(...overrides), { train, loopClips: (lists.train ?? train).length, val, ...lists });

Deno.test("lists with every class on both sides and no common clip need no remark", () => {
  assert.deepEqual(of({}), []);
  // The same names below another root are other clips.
  assert.deepEqual(of({ val: train }, "data.val_root=elsewhere"), []);
});

Deno.test("classes without a training clip, and one class for all clips, are told", () => {
  assert.deepEqual(of({ train: clips("a", [0, 2, 2]) }), ["no training clip in 2 of 4 classes: 1, 3"]);
  assert.deepEqual(of({}, "data.num_classes=16"), [
    "no training clip in 12 of 16 classes: 4, 5, 6, 7, 8, 9, 10, 11, 12, 13 and 2 more",
    "no validation clip in 12 of 16 classes: 4, 5, 6, 7, 8, 9, 10, 11, 12, 13 and 2 more",
  ]);
  assert.deepEqual(of({ val: clips("b", [0, 1, 2]) }), ["no validation clip in 1 of 4 classes: 3"]);
  assert.deepEqual(of({ train: clips("a", [2, 2, 2]) }), [
    "every training clip is of class 2: the network only learns to say that",
  ]);
});

Deno.test("validation clips that are trained on are told", () => {
  const same = "what is measured on them does not tell how others are recognised";
  assert.deepEqual(of({ val: train }), [`all validation clips are training clips: ${same}`]);
  assert.deepEqual(of({ val: [...val, train[3]] }), [`1 of 5 validation clips are training clips: ${same}`]);
});

Deno.test("a run without one step is refused with the number that it may accumulate", () => {
  assert.deepEqual(of({}, "solver.grad_accumulation_steps=4"), []);
  assert.throws(() => of({}, "solver.grad_accumulation_steps=5"), {
    name: "ConfigError",
    message: "Cannot train: solver.grad_accumulation_steps must be at most 4, the batches of the whole run " +
      "(6 clips in batches of 4, 2 epochs), current value is 5: no step would ever be made",
  });
  assert.deepEqual(of({}, "solver.grad_accumulation_steps=5", "solver.evaluate=true"), []);
});

Deno.test("batches that are left over at the end are told", () => {
  assert.deepEqual(of({}, "solver.grad_accumulation_steps=3"), [
    "the last 1 of the run's 4 batches make no update: solver.grad_accumulation_steps (3) does not divide them",
  ]);
  assert.deepEqual(of({}, "solver.grad_accumulation_steps=3", "solver.max_steps=1"), []);
});

Deno.test("a list of which nothing is left is refused", () => {
  assert.throws(() => of({ train: [] }), {
    name: "ConfigError",
    message: /one or more clips of "t" must be used/,
  });
  assert.throws(() => of({ val: [] }), {
    name: "ConfigError",
    message: /one or more clips of "v" must be used/,
  });
});

Deno.test("values under which nothing is learned are remarked on", () => {
  const warnings = (...overrides: string[]) => parseConfig(RECIPE, { overrides }).warnings.join("\n");
  const quiet = "solver.lr_warmup_step=0";
  assert.equal(warnings(quiet), "");
  assert.match(warnings("solver.lr=0"), /no weight is trained/);
  assert.match(warnings("solver.clip_ratio=0"), /the side network is not trained/);
  assert.match(warnings("solver.smoothing=1"), /every class is as right/);
  assert.match(warnings("data.num_classes=1"), /nothing to tell apart/);
  assert.match(warnings("solver.lr_warmup_step=3"), /the rate never reaches solver\.lr/);
  assert.match(warnings("data.workers=1000"), /data\.workers is lowered from 1000 to \d+/);
});

Deno.test("captions without others to be compared with are refused, and a batch that holds all of them is told", () => {
  const captioned = (batch: number, count: number) => {
    const config = parseConfig(
      `system: clip\ndata: {batch_size: ${batch}, root: r, train_list: t, val_list: v}\nnetwork: {}`,
    ).config;
    return remarksOnLists(config, { train: train.slice(0, count), loopClips: count, val });
  };
  assert.deepEqual(captioned(2, 2), []);
  assert.throws(() => captioned(1, 6), {
    name: "ConfigError",
    message: /^Cannot train: data\.batch_size must be at least 2 .*, current value is 1$/,
  });
  assert.throws(() => captioned(2, 1), {
    name: "ConfigError",
    message: /^Cannot train on "t": it must give at least 2 clips with captions, .*, current count is 1$/,
  });
  assert.deepEqual(captioned(40, 6), [
    "data.batch_size is 40 and an epoch has 6 clips: every batch has these 6, and none is repeated",
  ]);
});
