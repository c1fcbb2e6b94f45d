/** The recipes of retrieval against the published scripts: one for every data set and backbone, with the published values. */
import assert from "node:assert/strict";
import { createModel } from "../../../models/mod.ts";
import { loadConfig, transformRecipe } from "../../../train/recipe/config.ts";
import { modelSpec } from "../../../train/recipe/model.ts";
import { planSession } from "../../../train/runtime/session_plan.ts";
import { sessionOptions } from "../../../train/tasks/session_options.ts";
import { PLAIN_GPU } from "../../../gpu/tuning/family.ts";

const FOLDER = "configs/side4video_retrieval";
const ARCHS = {
  vitb32: "ViT-B/32",
  vitb16: "ViT-B/16",
  vitl14: "ViT-L/14",
  vite14: "EVA02-CLIP-bigE-14",
} as const;
/** Strategies of evaluation, by data set. */
const EVALUATED: Record<string, number> = { msrvtt: 1, msvd: 1, vatex: 4 };
const FILES = Object.keys(EVALUATED).flatMap((set) =>
  Object.keys(ARCHS).map((backbone) => `${set}_${backbone}`)
);

Deno.test("there is a recipe of retrieval for every data set and backbone, and no other", async () => {
  const found = (await Array.fromAsync(Deno.readDir(FOLDER))).map(({ name }) => name.replace(/\.yaml$/, ""));
  assert.deepEqual(found.sort(), FILES.toSorted());
});

/** Values of the published scripts and of the code behind them. */
function published(file: string) {
  const [set, backbone] = file.split("_");
  return {
    system: "side4video_retrieval",
    seed: 42,
    frozen: backbone === "vite14" ? "stream" : "resident",
    data: {
      captions: "all",
      image_tmpl: "img_{:05d}.jpg",
      max_words: 32,
      num_segments: 12,
      sampling: 3,
      eval_sampling: EVALUATED[set],
      slice_framepos: 2,
      batch_size: 128,
      micro_batch_size: 16,
      drop_last: true,
      input_size: 224,
      workers: 4,
      train_list: `lists/${set}/train.jsonl`,
      // MSR-VTT has no validation clips in its retrieval split.
      val_list: `lists/${set}/${set === "msrvtt" ? "test" : "val"}.jsonl`,
    },
    network: {
      arch: ARCHS[backbone as keyof typeof ARCHS],
      side_dim: 320,
      interaction: "wti",
      text_tower: "train",
      dual_softmax: null,
    },
    solver: {
      optimizer: "bert_adam",
      type: "warmup_cosine",
      epochs: 5,
      lr: 1e-4,
      coef_lr: 1e-3,
      warmup_proportion: 0.1,
      betas: [0.9, 0.98],
      weight_decay: 0.2,
      clip_grad_norm: 1,
      grad_accumulation_steps: 1,
    },
    logging: { print_freq: 50 },
  };
}

for (const file of FILES) {
  Deno.test(`${FOLDER}/${file}.yaml has the published keys, no other pictures, and the commands to test it`, async () => {
    const path = `${FOLDER}/${file}.yaml`, { config, keysWithoutEffect, warnings } = await loadConfig(path);
    assert.deepEqual([keysWithoutEffect, warnings], [[], []]);
    for (const [section, values] of Object.entries(published(file))) {
      const own = config[section as "data"];
      if (typeof values !== "object") assert.equal(own, values, section);
      else {for (const [key, value] of Object.entries(values)) {
          assert.deepEqual(own[key as "dataset"], value, `${section}.${key}`);
        }}
    }
    const { resize, crop, flipProbability, greyProbability, randAugment } = transformRecipe(config);
    assert.deepEqual([resize, crop, flipProbability, greyProbability, randAugment], [
      { kind: "shortSide", side: 224 },
      "centre",
      0,
      0,
      null,
    ]);
    const [set] = file.split("_"), text = await Deno.readTextFile(path);
    assert.match(
      text,
      new RegExp(
        `^# To make the lists: sidenet prepare .* --root datasets/${set}/frames --out lists/${set}$`,
        "m",
      ),
    );
    assert.match(text, new RegExp(`^# To train: sidenet train ${FOLDER}/${file}\\.yaml$`, "m"));
    const list = set === "msrvtt" ? "" : ` data\\.val_list=lists/${set}/test\\.jsonl`;
    assert.match(text, new RegExp(`^# To test it as published: sidenet eval runs/${file}${list}$`, "m"));
  });
}

Deno.test("the recipe of MSR-VTT on ViT-B/16 takes at most 8 GiB of a GPU with the published batch", async () => {
  const { config } = await loadConfig(`${FOLDER}/msrvtt_vitb16.yaml`);
  const options = sessionOptions(config, { lastBatch: 0, largestFrame: { width: 456, height: 256 } });
  const limits = { maxBindingBytes: 2 ** 31 - 2 ** 20, maxBufferBytes: 2 ** 31 - 2 ** 20 };
  const { memory } = planSession(createModel(modelSpec(config)), { ...options, limits }, {
    ...PLAIN_GPU,
    features: new Set(["shader-f16", "subgroups"]),
  });
  assert.ok(memory.total > 2 ** 30 && memory.total <= 8 * 2 ** 30, `${memory.total} bytes`);
});
