/**
 * The recipes of configs/ against the published tables: there is one for every published result and every shipped file,
 * with the published keys, the published figures and the published test protocol; and each can be planned.
 */
import assert from "node:assert/strict";
import { createModel } from "../../../models/mod.ts";
import { loadConfig, transformRecipe } from "../../../train/recipe/config.ts";
import { planSession } from "../../../train/runtime/session_plan.ts";
import { modelSpec } from "../../../train/recipe/model.ts";
import { sessionOptions } from "../../../train/tasks/session_options.ts";
import { PLAIN_GPU } from "../../../gpu/tuning/family.ts";

/** Top-1 and top-5 in percent with 3 crops and 2 (Something-Something) or 4 (Kinetics) clips; null: not stated. */
type Result = readonly number[] | null;

/** By file: what is published of it. */
const RESULTS: Record<string, Result> = {
  "side4video/ssv1_vitb32_f8": null,
  "side4video/ssv1_vitb16_f8": [59.4, 84.8],
  "side4video/ssv1_vitb16_f16": [60.7, 86.0],
  "side4video/ssv1_vitl14_f8": [61.0, 86.7],
  "side4video/ssv1_vitl14_f16": [62.4, 88.1],
  "side4video/ssv1_vite14_f8": [65.3, 88.5],
  "side4video/ssv1_vite14_f16": [67.3, 88.8],
  "side4video/ssv2_vitb32_f8": null,
  "side4video/ssv2_vitb16_f8": [70.6, 92.5],
  "side4video/ssv2_vitb16_f16": [71.5, 92.8],
  "side4video/ssv2_vitl14_f8": [71.9, 93.5],
  "side4video/ssv2_vitl14_f16": [73.2, 93.9],
  "side4video/ssv2_vite14_f8": [74.3, 94.0],
  "side4video/ssv2_vite14_f16": [75.2, 94.0],
  "side4video/k400_vitb32_f8": null,
  "side4video/k400_vitb16_f8": [83.6],
  "side4video/k400_vitl14_f8": null,
  "side4video/k400_vite14_f8": null,
  "side4video/k400_vite14_f16": [88.6],
  "tds_clip/ssv1_vitb16_f8": [60.1],
  "tds_clip/ssv1_vitl14_f8": null,
  "tds_clip/ssv2_vitb16_f8": [71.8],
  "tds_clip/ssv2_vitl14_f8": [73.4],
  "tds_clip/k400_vitb16_f8": [83.9],
  "tds_clip/k400_vitl14_f8": null,
};

const range = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, i) => first + i);

/** Epochs without evaluation, counted from 0. */
const SKIPPED: Record<string, number[]> = {
  "side4video/ssv1_vitb32": [1, 3, 4, 5, 7, 9],
  "side4video/ssv1_vitb16": [1, 3, 4, 5, 7, 9],
  "side4video/ssv1_vitl14": [],
  "side4video/ssv1_vite14": [0, ...range(2, 5), ...range(7, 9), 11, 12, 14, 15],
  "side4video/ssv2_vitb32": [1, 3, 4, 5, 7, 9],
  "side4video/ssv2_vitb16": [1, 3, 4, 5, 7, 9],
  "side4video/ssv2_vitl14": [],
  "side4video/ssv2_vite14": range(0, 22),
  "side4video/k400_vitb32": [1, 2, 4, 5, 7, 9],
  "side4video/k400_vitb16": [1, 2, 4, 5, 7, 8, 9, 11, 13],
  "side4video/k400_vitl14": [1, 2, 4, 5, 7, 8, 9, 11, 12, 14, 16, 18, 20],
  "side4video/k400_vite14": range(0, 17),
  "tds_clip/ssv1_vitb16": range(1, 19),
  "tds_clip/ssv1_vitl14": [],
  "tds_clip/ssv2_vitb16": range(1, 9),
  "tds_clip/ssv2_vitl14": range(1, 20),
  "tds_clip/k400_vitb16": range(1, 20),
  "tds_clip/k400_vitl14": range(1, 20),
};

const BACKBONES = {
  vitb32: { arch: "ViT-B/32", sideDim: 320, lr: 1e-3 },
  vitb16: { arch: "ViT-B/16", sideDim: 320, lr: 1e-3 },
  vitl14: { arch: "ViT-L/14", sideDim: 512, lr: 1e-4 },
  vite14: { arch: "EVA02-CLIP-bigE-14", sideDim: 576, lr: 1e-4 },
} as const;

const TEMPLATES: Record<string, string> = {
  ssv1: "{:05d}.jpg",
  ssv2: "{:06d}.jpg",
  k400: "img_{:05d}.jpg",
};

/** The values that the published tables give for a file of ours. */
function published(file: string) {
  const [folder, name] = file.split("/"), [set, backbone, frames] = name.split("_");
  const tds = folder === "tds_clip", kinetics = set === "k400", eva = backbone === "vite14";
  const { arch, sideDim, lr } = BACKBONES[backbone as keyof typeof BACKBONES];
  return {
    system: tds ? "tds-clip" : "side4video",
    seed: 1024,
    data: {
      dataset: { ssv1: "somethingv1", ssv2: "somethingv2", k400: "k400" }[set],
      num_classes: kinetics ? 400 : 174,
      modality: tds && kinetics ? "video" : "RGB",
      image_tmpl: tds && set === "ssv2" ? "img_{:05d}.jpg" : TEMPLATES[set],
      num_segments: Number(frames.slice(1)),
      num_diff: tds ? 5 : null,
      window_edge: tds && kinetics ? "wrap" : "clamp",
      batch_size: eva ? (kinetics ? 1 : 8) : kinetics && !tds ? 32 : 16,
      num_sample: kinetics && !tds ? 1 : 2,
      input_size: 224,
      random_shift: true,
      dense: false,
      rand_aug: !kinetics || eva,
      rand_erase: false,
      workers: tds && set === "ssv2" ? 2 : 4,
    },
    network: { arch, side_dim: sideDim, sync_bn: false, sme_scale: 0.5 },
    solver: {
      type: "cosine",
      epochs: eva && kinetics ? 20 : eva && set === "ssv2" ? 25 : set === "ssv1" && lr === 1e-3 ? 40 : 30,
      lr,
      lr_warmup_step: eva && !kinetics ? 6 : 4,
      lr_refresh: "published",
      betas: [0.9, 0.999],
      weight_decay: 0.15,
      clip_ratio: 1,
      clip_grad_norm: null,
      grad_accumulation_steps: 1,
      smoothing: 0.1,
      mixup: false,
    },
    logging: { print_freq: 10, eval_freq: 1, skip_epoch: SKIPPED[`${folder}/${set}_${backbone}`] },
  };
}

Deno.test("there is a recipe for every published result and every shipped file, and no other", async () => {
  const found: string[] = [];
  for (const folder of ["side4video", "tds_clip"]) {
    for await (const { name } of Deno.readDir(`configs/${folder}`)) {
      found.push(`${folder}/${name.replace(/\.yaml$/, "")}`);
    }
  }
  assert.deepEqual(found.sort(), Object.keys(RESULTS).sort());
});

/** A GPU of today; the plan of a recipe must not depend on this machine. */
const LIMITS = { maxBindingBytes: 2 ** 31 - 2 ** 20, maxBufferBytes: 2 ** 31 - 2 ** 20 };
const ENVIRONMENT = {
  ...PLAIN_GPU,
  features: new Set(["shader-f16", "subgroups"]),
};

for (const [file, result] of Object.entries(RESULTS)) {
  Deno.test(`configs/${file}.yaml has the published keys, states the published figures and can be planned`, async () => {
    const path = `configs/${file}.yaml`, { config, keysWithoutEffect, warnings } = await loadConfig(path);
    assert.deepEqual(keysWithoutEffect, []);
    assert.deepEqual(warnings.filter((text) => !text.startsWith("solver.lr_refresh is published")), []);
    const kinetics = file.includes("k400"), expected = published(file);
    for (const [section, values] of Object.entries(expected)) {
      const own = config[section as "data"];
      if (typeof values !== "object") assert.equal(own, values, section);
      else {
        for (const [key, value] of Object.entries(values)) {
          assert.deepEqual(own[key as "dataset"], value, `${section}.${key}`);
        }
      }
    }
    const { resize, crop, flipProbability, mirrorPairs, greyProbability, randAugment } = transformRecipe(
      config,
    );
    assert.deepEqual(
      [resize, crop, flipProbability, mirrorPairs.length, greyProbability],
      kinetics
        ? [{ kind: "shortSide", side: 256 }, "randomResized", 0.5, 0, 0.2]
        : [{ kind: "exact", width: 320, height: 256 }, "randomResized", 0.5, 3, 0],
    );
    assert.equal(randAugment !== null, expected.data.rand_aug);

    const text = await Deno.readTextFile(path), clips = kinetics ? 4 : 2;
    const figures = result?.map((value) => value.toFixed(1)).join(" / ");
    const stated = /^# Published top-1( \/ top-5)?, 3 crops x (\d) clips: ([\d. /]+) %\.$/m.exec(text);
    assert.deepEqual([stated?.[2], stated?.[3]], result ? [String(clips), figures] : [undefined, undefined]);
    assert.match(
      text,
      new RegExp(
        `^# To test it as published: sidenet eval runs/${config.name} --test-crops 3 --test-clips ${clips}$`,
        "m",
      ),
    );

    const options = sessionOptions(config, { lastBatch: 0, largestFrame: { width: 456, height: 256 } });
    const model = createModel(modelSpec(config));
    const { memory, programs } = planSession(model, { ...options, limits: LIMITS }, ENVIRONMENT);
    assert.deepEqual([...programs.train.keys()], [config.data.batch_size * config.data.num_sample]);
    assert.ok(memory.total > 2 ** 30 && memory.total < 80 * 2 ** 30, `${memory.total} bytes`);
  });
}
