/** TDS-CLIP as a recipe: which network a file asks for, its windows, parity, and what is warned of. */

import assert from "node:assert/strict";
import { createPrng } from "../../../lib/random.ts";
import { ConfigError } from "../../../lib/errors.ts";
import { formatConfig, loadConfig, parseConfig } from "../../../train/recipe/config.ts";
import { replayCase } from "../../../train/parity/replay.ts";
import { modelSpec } from "../../../train/recipe/model.ts";
import { picturesOfView, readRule } from "../../../train/feed/sampling.ts";
import { engineTest } from "../../_util/engine.ts";

const CASE = new URL("../../fixtures/tds-clip/odd.json", import.meta.url).pathname;

/** A published file, as far as it says something about the network (K400 and SSv1 differ in figures alone). */
const PUBLISHED = `
data: { dataset: somethingv1, modality: RGB, num_segments: 8, seg_length: 1, num_diff: 5, batch_size: 16, workers: 4,
  num_classes: 174, image_tmpl: "{:05d}.jpg", input_size: 224, random_shift: True, num_sample: 2, rand_aug: False,
  rand_erase: False }
network: { arch: ViT-B/16, init: True, tm: False, drop_out: 0, emb_dropout: 0, drop_fc: 0, type: clip_sth,
  sim_header: "None", joint_st: False, n_emb: 320, side_dim: 320, fix_clip: False, my_fix_clip: True, sync_bn: False }
solver: { type: cosine, epochs: 40, start_epoch: 0, epoch_offset: 0, optim: adamw, lr: 1.e-3, lr_warmup_step: 4,
  weight_decay: 0.15, loss_type: CE, evaluate: False, clip_ratio: 1, grad_accumulation_steps: 1, layer_decay: 1.0,
  betas: [0.9, 0.999], smoothing: 0.1 }
logging: { print_freq: 10, eval_freq: 1, skip_epoch: [1, 2, 3] }
`;

Deno.test("a published file is known as TDS-CLIP by its window of pictures", () => {
  const { config } = parseConfig(PUBLISHED);
  assert.equal(config.system, "tds-clip");
  const spec = modelSpec(config);
  assert.equal(spec.system, "tds-clip");
  assert.partialDeepStrictEqual(spec.sizes, { smeScale: 0.5 });
  assert.equal(picturesOfView(config), 40);
  assert.deepEqual(parseConfig(formatConfig(config)).config, config);
  assert.equal(parseConfig("data: { num_classes: 3 }").config.system, "side4video");
});

Deno.test("one word changes the network", () => {
  const of = (...overrides: string[]) => parseConfig("data: { num_classes: 3 }", { overrides }).config;
  const tds = of("system=tds-clip"), side = of("system=side4video");
  assert.deepEqual([picturesOfView(tds), picturesOfView(side)], [40, 8]);
  assert.deepEqual([modelSpec(tds).system, modelSpec(side).system], ["tds-clip", "side4video"]);
  const scaled = modelSpec(of("system=tds-clip", "network.sme_scale=1"));
  assert.equal(scaled.system, "tds-clip");
  assert.partialDeepStrictEqual(scaled.sizes, { smeScale: 1 });
});

Deno.test("a window that the network is not made for, and a tower that it does not stand beside, are refused", () => {
  const refused = (overrides: string[], message: RegExp) =>
    assert.throws(() => parseConfig("data: { num_classes: 3 }", { overrides }), (error: Error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, message);
      return true;
    });
  for (const value of [3, 4, 7]) {
    refused([`data.num_diff=${value}`], new RegExp(`data.num_diff must be 5 .*current value is ${value}`));
  }
  refused(["system=side4video", "data.num_diff=5"], /data.num_diff must be null when system is side4video/);
  refused(["system=tds-clip", "network.side_dim=72"], /network.side_dim must be a multiple of 16/);
  refused(["system=tds-clip", "network.arch=EVA02-CLIP-L-14"], /network.arch must be a CLIP tower/);
});

Deno.test("the frames of a view are read with their neighbours, in the recipe's way at the start", () => {
  const of = (edge: string) =>
    parseConfig("data: { num_classes: 3, num_segments: 2 }", {
      overrides: ["system=tds-clip", `data.window_edge=${edge}`],
    }).config;
  const rule = (frames: number) => [1, frames];
  assert.deepEqual(readRule(of("clamp"), rule)(50, null), [1, 1, 1, 2, 3, 48, 49, 50, 50, 50]);
  assert.deepEqual(readRule(of("wrap"), rule)(50, null), [49, 50, 1, 2, 3, 48, 49, 50, 50, 50]);
  const side = parseConfig("data: { num_classes: 3 }").config;
  assert.deepEqual(
    readRule(side, (_, prng: { integer(n: number): number }) => [[3], [prng.integer(1)]])(9, createPrng(1)),
    [3, 0],
  );
});

Deno.test("a batch of one clip is warned of", async () => {
  const { warnings } = await loadConfig("configs/demo_tds.yaml", ["data.batch_size=1"]);
  assert.match(warnings.join("\n"), /a batch of one clip makes the last batch norm/);
});

Deno.test("both demos train on the same data set", async () => {
  const [side, tds] = [await loadConfig("configs/demo.yaml"), await loadConfig("configs/demo_tds.yaml")];
  assert.equal(tds.config.system, "tds-clip");
  assert.deepEqual(tds.config.data.synth, side.config.data.synth);
  assert.equal(tds.config.data.root, side.config.data.root);
});

engineTest(
  "a TDS-CLIP case of odd sizes holds in every group, recomputing and keeping alike",
  async (gpu) => {
    const recomputed = await replayCase(gpu, CASE, { recompute: true });
    for (const result of recomputed) assert.ok(result.ok, JSON.stringify(result));
    const groups = recomputed.map(({ group }) => group);
    for (
      const group of [
        "eval.logits",
        "train.logits",
        "train.loss",
        "grad",
        "after_forward",
        "step.losses",
        "step3",
      ]
    ) {
      assert.ok(groups.includes(group), group);
    }
    assert.deepEqual(await replayCase(gpu, CASE, { recompute: false }), recomputed);
  },
);
