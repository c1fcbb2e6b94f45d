/**
 * Files in the form of the published ones (keys, spellings, values of their tables) parse unchanged to what they mean there.
 */
import assert from "node:assert/strict";
import { parseConfig, transformRecipe } from "../../../train/recipe/config.ts";
import { KEYS_WITHOUT_EFFECT } from "../../../train/recipe/dialects/side4video.ts";
import { picturesOfView } from "../../../train/feed/sampling.ts";
import { publishedRecipe } from "../../../data/transforms/recipe.ts";

/** What differs between the published files. */
interface Row {
  set: "somethingv1" | "somethingv2" | "k400";
  arch: "ViT-B/32" | "ViT-B/16" | "ViT-L/14" | "EVA02-CLIP-bigE-14";
  sideDim: number;
  batchSize: number;
  numSample: number;
  randAug: boolean;
  syncBn: boolean | null;
  epochs: number;
  /** As it is spelled in the file. */
  lr: string;
  warmup: number;
  skipEpoch: number[];
  modality?: string;
  workers?: number;
  template?: string;
  numDiff?: number;
}

const range = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, i) => first + i);

const EARLY = [1, 3, 4, 5, 7, 9];
const B32 = { arch: "ViT-B/32", sideDim: 320, lr: "1.e-3" } as const;
const B16 = { arch: "ViT-B/16", sideDim: 320, lr: "1.e-3" } as const;
const L14 = { arch: "ViT-L/14", sideDim: 512, lr: "1.e-4" } as const;
const E14 = { arch: "EVA02-CLIP-bigE-14", sideDim: 576, lr: "1.e-4" } as const;

const STH = { numSample: 2, randAug: true, batchSize: 16, warmup: 4 } as const;
const SSV1 = { ...STH, set: "somethingv1", syncBn: false } as const;
const SSV2 = { ...STH, set: "somethingv2", syncBn: null } as const;
const K400 = {
  set: "k400",
  numSample: 1,
  randAug: false,
  batchSize: 32,
  syncBn: false,
  warmup: 4,
  epochs: 30,
} as const;

const SIDE4VIDEO: readonly Row[] = [
  { ...SSV1, ...B32, epochs: 40, skipEpoch: EARLY },
  { ...SSV1, ...B16, epochs: 40, skipEpoch: EARLY },
  { ...SSV1, ...L14, epochs: 30, skipEpoch: [] },
  {
    ...SSV1,
    ...E14,
    epochs: 30,
    batchSize: 8,
    warmup: 6,
    skipEpoch: [0, ...range(2, 5), ...range(7, 9), 11, 12, 14, 15],
  },
  { ...SSV2, ...B32, epochs: 30, skipEpoch: EARLY },
  { ...SSV2, ...B16, epochs: 30, skipEpoch: EARLY },
  { ...SSV2, ...L14, epochs: 30, skipEpoch: [] },
  { ...SSV2, ...E14, epochs: 25, batchSize: 8, warmup: 6, syncBn: false, skipEpoch: range(0, 22) },
  { ...K400, ...B32, skipEpoch: [1, 2, 4, 5, 7, 9] },
  { ...K400, ...B16, skipEpoch: [1, 2, 4, 5, 7, 8, 9, 11, 13] },
  { ...K400, ...L14, skipEpoch: [1, 2, 4, 5, 7, 8, 9, 11, 12, 14, 16, 18, 20] },
  { ...K400, ...E14, epochs: 20, batchSize: 1, randAug: true, skipEpoch: range(0, 17) },
];

const TDS = { numDiff: 5, batchSize: 16, numSample: 2 } as const;
const TDS_SSV2 = { ...SSV2, ...TDS, workers: 2, template: "img_{:05d}.jpg", epochs: 30 } as const;
const TDS_K400 = { ...K400, ...TDS, modality: "video" } as const;

const TDS_CLIP: readonly Row[] = [
  { ...SSV1, ...TDS, ...B16, epochs: 40, skipEpoch: range(1, 19) },
  { ...SSV1, ...TDS, ...L14, epochs: 30, skipEpoch: [] },
  { ...TDS_SSV2, ...B16, skipEpoch: range(1, 9) },
  { ...TDS_SSV2, ...L14, skipEpoch: range(1, 20) },
  { ...TDS_K400, ...B16, skipEpoch: range(1, 20) },
  { ...TDS_K400, ...L14, skipEpoch: range(1, 20) },
];

const TEMPLATES = { somethingv1: "{:05d}.jpg", somethingv2: "{:06d}.jpg", k400: "img_{:05d}.jpg" };
const LISTS = {
  somethingv1: ["lists/sthv1/train_rgb.txt", "lists/sthv1/val_rgb.txt", "lists/sth_labels.csv"],
  somethingv2: ["lists/sthv2/train_rgb.txt", "lists/sthv2/val_rgb.txt", "lists/sth_labels.csv"],
  k400: [
    "lists/k400/kinetics_rgb_train_se320.txt",
    "lists/k400/kinetics_rgb_val_se320.txt",
    "lists/kinetics_400_labels.csv",
  ],
};

/** The file of a row, with Python's spellings of true, false, null and numbers. */
function fileOf(row: Row): string {
  const python = (value: boolean) => value ? "True" : "False";
  const [trainList, valList, labelList] = LISTS[row.set];
  return `resume: null
pretrain: null
seed: 1024
data:
  dataset: ${row.set}
  modality: ${row.modality ?? "RGB"}
  num_segments: 8
  seg_length: 1
${row.numDiff === undefined ? "" : `  num_diff: ${row.numDiff}\n`}  batch_size: ${row.batchSize}
  workers: ${row.workers ?? 4}
  num_classes: ${row.set === "k400" ? 400 : 174}
  image_tmpl: '${row.template ?? TEMPLATES[row.set]}'
  train_root: '/frames/train'
  val_root: '/frames/val'
  train_list: '${trainList}'
  val_list: '${valList}'
  label_list: '${labelList}'
  input_size: 224
  random_shift: True
  num_sample: ${row.numSample}
  rand_aug: ${python(row.randAug)}
  rand_erase: False
network:
  arch: ${row.arch}
  init: True
  tm: False
  drop_out: 0.0
  emb_dropout: 0.0
  type: ${row.set === "k400" ? "clip_k400" : "clip_sth"}
  sim_header: None
  joint_st: False
  drop_fc: 0
  n_emb: ${row.sideDim}
  side_dim: ${row.sideDim}
  fix_clip: False
  my_fix_clip: True
${row.syncBn === null ? "" : `  sync_bn: ${python(row.syncBn)}\n`}solver:
  type: cosine
  epochs: ${row.epochs}
  start_epoch: 0
  epoch_offset: 0
  optim: adamw
  lr: ${row.lr}
  lr_warmup_step: ${row.warmup}
  weight_decay: 0.15
  betas: [0.9, 0.999]
  loss_type: CE
  evaluate: False
  clip_ratio: 1
  grad_accumulation_steps: 1
  smoothing: 0.1
  layer_decay: 1.0
logging:
  print_freq: 10
  eval_freq: 1
  skip_epoch: [${row.skipEpoch.join(",")}]
`;
}

function checkRow(row: Row): void {
  const { config, keysWithoutEffect, warnings } = parseConfig(fileOf(row), {
    source: "configs/a_train_rgb.yaml",
  });
  const { data, network, solver } = config;
  assert.equal(config.system, row.numDiff === undefined ? "side4video" : "tds-clip");
  assert.equal(config.name, "a_train_rgb");
  assert.deepEqual([config.resume, config.pretrain, config.seed], [null, null, 1024]);
  assert.equal(data.family, row.set === "k400" ? "kinetics" : "sth");
  assert.deepEqual(
    [
      data.num_classes,
      data.num_segments,
      picturesOfView(config),
      data.batch_size,
      data.num_sample,
      data.workers,
    ],
    [
      row.set === "k400" ? 400 : 174,
      8,
      8 * (row.numDiff ?? 1),
      row.batchSize,
      row.numSample,
      row.workers ?? 4,
    ],
  );
  assert.equal(data.modality, row.modality ?? "RGB");
  assert.equal(data.image_tmpl, row.template ?? TEMPLATES[row.set]);
  assert.deepEqual([data.train_list, data.val_list, data.label_list], LISTS[row.set]);
  assert.deepEqual([data.random_shift, data.rand_aug, data.rand_erase, data.dense], [
    true,
    row.randAug,
    false,
    false,
  ]);
  const { randAugment, ...transforms } = transformRecipe(config);
  const { randAugment: published, ...expected } = publishedRecipe(data.family);
  assert.deepEqual(transforms, expected);
  assert.equal(randAugment !== null, row.randAug);
  if (row.set !== "k400") assert.deepEqual(randAugment, published);
  assert.deepEqual(
    [network.arch, network.side_dim, network.n_emb, network.sync_bn, network.sim_header, network.init],
    [row.arch, row.sideDim, row.sideDim, row.syncBn ?? false, null, true],
  );
  assert.deepEqual(
    [solver.type, solver.epochs, solver.lr, solver.lr_warmup_step, solver.weight_decay, solver.betas],
    ["cosine", row.epochs, row.lr === "1.e-3" ? 0.001 : 0.0001, row.warmup, 0.15, [0.9, 0.999]],
  );
  assert.deepEqual([solver.clip_ratio, solver.smoothing, solver.mixup, solver.evaluate], [
    1,
    0.1,
    false,
    false,
  ]);
  assert.deepEqual(config.logging.skip_epoch, row.skipEpoch);
  assert.deepEqual(keysWithoutEffect, KEYS_WITHOUT_EFFECT);
  for (const key of KEYS_WITHOUT_EFFECT) {
    assert.equal(warnings.join("\n").split(key).length - 1, 1, `${key} is named once`);
  }
}

for (const row of SIDE4VIDEO) {
  Deno.test(`the published Side4Video file for ${row.set}, ${row.arch} is read as it is`, () =>
    checkRow(row));
}

for (const row of TDS_CLIP) {
  Deno.test(`the published TDS-CLIP file for ${row.set}, ${row.arch} is read as it is`, () => checkRow(row));
}

Deno.test("a key that the published files do not have is refused by its name", () => {
  const text = fileOf(SIDE4VIDEO[5]).replace("  side_dim:", "  side_dims:");
  assert.throws(() => parseConfig(text, { source: "a.yaml" }), /network\.side_dims/);
});
