/** What the values of DiST's files are in the recipe's own layout, and what must hold of them (spec dist §5, §6, §8). */

import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Requirement } from "../../../models/system.ts";
import type { TowerSizes } from "../../../models/tower.ts";
import { TOWER_PRESETS } from "../../../models/towers.ts";
import { CLIP_MEAN, CLIP_STD, type Values } from "./_dist_keys.ts";

/** A key of the recipe's own layout, the keys that it follows from, and how; it is left out where its value is undefined. */
type Mapped = readonly [key: string, from: readonly string[], value: (values: Values) => unknown];

const DIST = "VIDEO.BACKBONE.DIST";
const JITTER = ["BRIGHTNESS", "CONTRAST", "SATURATION", "HUE"];

/** The recipe, key by key. */
export const MAPPING: readonly Mapped[] = [
  ["name", ["OUTPUT_DIR"], ({ OUTPUT_DIR: path }) => path ? basename(path) : undefined],
  [
    "run_root",
    ["OUTPUT_DIR"],
    ({ OUTPUT_DIR: path }) => path ? dirname(path.replace(/\/+$/, "")) : undefined,
  ],
  ["seed", ["RANDOM_SEED"], (values) => values.RANDOM_SEED],
  [
    "pretrain",
    ["TRAIN.CHECKPOINT_FILE_PATH", "TEST.CHECKPOINT_FILE_PATH"],
    ({ TRAIN, TEST }) => !TRAIN.ENABLE && TEST.CHECKPOINT_FILE_PATH || TRAIN.CHECKPOINT_FILE_PATH || null,
  ],

  ["data.dataset", ["TRAIN.DATASET"], ({ TRAIN }) => TRAIN.DATASET],
  ["data.modality", [], () => "video"],
  ["data.root", ["DATA.DATA_ROOT_DIR"], ({ DATA }) => DATA.DATA_ROOT_DIR || null],
  ["data.train_list", ["DATA.ANNO_DIR", "TRAIN.DATASET"], (values) => listOf(values, "train")],
  ["data.val_list", ["DATA.ANNO_DIR", "TRAIN.DATASET"], (values) => listOf(values, "val")],
  ["data.min_frames", [], () => 0], // nothing is left out
  [
    "data.label_list",
    ["DATA.ANNO_DIR"],
    ({ DATA: { ANNO_DIR: folder } }) => folder ? join(folder, "labels.json") : null,
  ],
  [
    "data.prompt_prefix",
    ["DATA.DATASET_LABEL_TEXT.PROMPT_PREFIX"],
    ({ DATA }) => DATA.DATASET_LABEL_TEXT.PROMPT_PREFIX ?? "",
  ],
  ["data.num_classes", ["VIDEO.HEAD.NUM_CLASSES"], ({ VIDEO }) => VIDEO.HEAD.NUM_CLASSES],
  ["data.num_segments", ["DATA.NUM_INPUT_FRAMES"], ({ DATA }) => DATA.NUM_INPUT_FRAMES],
  ["data.frame_ratio", ["DATA.SPARSE_SAMPLE_ALPHA"], ({ DATA }) => DATA.SPARSE_SAMPLE_ALPHA],
  ["data.family", [], () => "dist"],
  ["data.frame_rule", ["DATA.SAMPLING_MODE"], (values) => isInterval(values) ? "interval" : "segment"],
  ["data.frame_interval", ["DATA.SAMPLING_RATE"], inIntervals(({ DATA }) => DATA.SAMPLING_RATE)],
  ["data.target_fps", ["DATA.TARGET_FPS"], inIntervals(({ DATA }) => DATA.TARGET_FPS)],
  ["data.minus_interval", ["DATA.MINUS_INTERVAL"], inIntervals(({ DATA }) => DATA.MINUS_INTERVAL)],
  ["data.batch_size", ["TRAIN.BATCH_SIZE"], ({ TRAIN }) => TRAIN.BATCH_SIZE],
  ["data.drop_last", [], () => true],
  ["data.input_size", ["DATA.TRAIN_CROP_SIZE"], ({ DATA }) => DATA.TRAIN_CROP_SIZE],
  [
    "data.test_side",
    ["DATA.TEST_SCALE"],
    ({ DATA }) => DATA.TEST_SCALE === DATA.TRAIN_CROP_SIZE ? undefined : DATA.TEST_SCALE,
  ],
  ["data.crop_scale", ["DATA.TRAIN_JITTER_SCALES"], ({ DATA }) => DATA.TRAIN_JITTER_SCALES],
  ["data.crop_ratio", ["AUGMENTATION.RATIO"], ({ AUGMENTATION }) => AUGMENTATION.RATIO],
  [
    "data.flip",
    ["TRAIN.DATASET", "AUGMENTATION.SSV2_FLIP"],
    ({ TRAIN, AUGMENTATION }) => TRAIN.DATASET !== "ssv2" ? "plain" : AUGMENTATION.SSV2_FLIP ? "sth" : "none",
  ],
  [
    "data.grey",
    ["AUGMENTATION.COLOR_AUG", "AUGMENTATION.GRAYSCALE"],
    ({ AUGMENTATION }) => AUGMENTATION.COLOR_AUG ? AUGMENTATION.GRAYSCALE : 0,
  ],
  [
    "data.colour_jitter",
    [
      "AUGMENTATION.COLOR_AUG",
      "AUGMENTATION.COLOR_JITTER_P",
      ...JITTER.map((key) => `AUGMENTATION.${key}`),
    ],
    (values) => {
      const { COLOR_JITTER_P: probability, BRIGHTNESS, CONTRAST, SATURATION, HUE } = values.AUGMENTATION;
      return hasJitter(values)
        ? { probability, brightness: BRIGHTNESS, contrast: CONTRAST, saturation: SATURATION, hue: HUE }
        : null;
    },
  ],
  ["data.workers", ["DATA_LOADER.NUM_WORKERS"], (values) => values.DATA_LOADER.NUM_WORKERS],

  ["network.arch", ["VIDEO.BACKBONE.META_ARCH_NAME"], archOf],
  [
    "network.weights",
    ["VIDEO.BACKBONE.LOCAL_PRETRAIN_WEIGHT_PATH", "VIDEO.BACKBONE.PRETRAIN_WEIGHT_PATH"],
    ({ VIDEO: { BACKBONE: { LOCAL_PRETRAIN_WEIGHT_PATH: local, PRETRAIN_WEIGHT_PATH: path } } }) =>
      local && existsSync(local) ? local : path || null,
  ],
  ["network.side_dim", [`${DIST}.INTEGRATION_DIM`], (values) => distOf(values).INTEGRATION_DIM],
  ["network.temporal_dim", [`${DIST}.TEMPORAL_DIM`], (values) => distOf(values).TEMPORAL_DIM],
  ["network.pooling_layers", [`${DIST}.ADA_POOLING_LAYERS`], (values) => distOf(values).ADA_POOLING_LAYERS],
  ["network.selected_layers", [`${DIST}.SELECTED_LAYERS`], selectedLayers],
  ["network.stem_frames", [`${DIST}.T_PATCH_SIZE`], (values) => distOf(values).T_PATCH_SIZE],
  [
    "network.temporal_kernel",
    [`${DIST}.TEMPORAL_KERNEL_SIZE`],
    (values) => distOf(values).TEMPORAL_KERNEL_SIZE,
  ],
  [
    "network.temporal_mlp_ratio",
    [`${DIST}.TEMPORAL_CONV_MLP_RATIO`],
    (values) => distOf(values).TEMPORAL_CONV_MLP_RATIO,
  ],
  [
    "network.integration_mlp_ratio",
    [`${DIST}.INTEGRATION_MLP_RATIO`],
    (values) => distOf(values).INTEGRATION_MLP_RATIO,
  ],
  [
    "network.integration_temporal_mlp_ratio",
    [`${DIST}.INTEGRATION_TEMPORAL_MLP_RATIO`],
    (values) => distOf(values).INTEGRATION_TEMPORAL_MLP_RATIO,
  ],

  ["solver.optimizer", [], () => "adamw"],
  ["solver.type", [], () => "running_cosine"],
  ["solver.epochs", ["OPTIMIZER.MAX_EPOCH"], ({ OPTIMIZER }) => OPTIMIZER.MAX_EPOCH],
  ["solver.folds", ["TRAIN.NUM_FOLDS"], ({ TRAIN }) => TRAIN.NUM_FOLDS],
  ["solver.lr", ["OPTIMIZER.BASE_LR"], ({ OPTIMIZER }) => OPTIMIZER.BASE_LR],
  ["solver.lr_warmup_step", ["OPTIMIZER.WARMUP_EPOCHS"], ({ OPTIMIZER }) => OPTIMIZER.WARMUP_EPOCHS],
  ["solver.lr_warmup_start", ["OPTIMIZER.WARMUP_START_LR"], ({ OPTIMIZER }) => OPTIMIZER.WARMUP_START_LR],
  ["solver.betas", ["OPTIMIZER.BETAS"], ({ OPTIMIZER }) => OPTIMIZER.BETAS],
  [
    "solver.weight_decay",
    ["OPTIMIZER.NEW_NET_WEIGHT_DECAY"],
    ({ OPTIMIZER }) => OPTIMIZER.NEW_NET_WEIGHT_DECAY,
  ],
  ["solver.clip_ratio", ["OPTIMIZER.NEW_NET_LRMULT"], ({ OPTIMIZER }) => OPTIMIZER.NEW_NET_LRMULT],
  ["solver.smoothing", ["AUGMENTATION.LABEL_SMOOTHING"], ({ AUGMENTATION }) => AUGMENTATION.LABEL_SMOOTHING],
  ["solver.mixup", ["AUGMENTATION.MIXUP.ENABLE", "AUGMENTATION.CUTMIX.ENABLE"], hasMix],
  ["solver.evaluate", ["TRAIN.ENABLE"], ({ TRAIN }) => !TRAIN.ENABLE],

  ["logging.print_freq", ["LOG_PERIOD"], (values) => values.LOG_PERIOD],
  ["logging.eval_freq", ["TRAIN.EVAL_PERIOD"], ({ TRAIN }) => TRAIN.EVAL_PERIOD],
];

/** The lists of the published data sets in `DATA.ANNO_DIR`. */
const LISTS = {
  ssv2: {
    train: "something-something-v2-train-with-label.json",
    val: "something-something-v2-validation-with-label.json",
  },
  kinetics400: { train: "kinetics400_train_list.txt", val: "kinetics400_val_list.txt" },
} as const;

function listOf({ DATA, TRAIN }: Values, split: "train" | "val"): string | null {
  return DATA.ANNO_DIR ? join(DATA.ANNO_DIR, LISTS[TRAIN.DATASET][split]) : null;
}

const distOf = ({ VIDEO }: Values) => VIDEO.BACKBONE.DIST;

function hasMix({ AUGMENTATION: { MIXUP, CUTMIX } }: Values): boolean {
  return MIXUP.ENABLE && CUTMIX.ENABLE;
}

/** Whether frames are chosen at distances in time. */
export function isInterval({ DATA }: Values): boolean {
  return DATA.SAMPLING_MODE === "interval_based";
}

/** A value that only the sampling by distances knows. */
function inIntervals(value: (values: Values) => unknown): (values: Values) => unknown {
  return (values) => isInterval(values) ? value(values) : undefined;
}

/** Whether colours are jittered. */
export function hasJitter({ AUGMENTATION }: Values): boolean {
  return AUGMENTATION.COLOR_AUG && AUGMENTATION.COLOR_JITTER_P > 0;
}

/** The backbone under its name here: ViT-B/16 for ViT-B-16. */
export function archOf({ VIDEO }: Values): string {
  return (VIDEO.BACKBONE.META_ARCH_NAME ?? "ViT-B-16").replace(/-(\d+)$/, "/$1");
}

function presetOf(values: Values): TowerSizes | undefined {
  const arch = archOf(values);
  return Object.hasOwn(TOWER_PRESETS, arch) ? TOWER_PRESETS[arch] : undefined;
}

/** null where they are all. */
function selectedLayers(values: Values): number[] | null {
  const { SELECTED_LAYERS: chosen } = distOf(values), preset = presetOf(values);
  if (chosen === null) return null;
  return chosen.length === preset?.layers && chosen.every((layer, i) => layer === i) ? null : chosen;
}

/** What must hold of a recipe, the most telling first. */
export function requirementsOf(values: Values): Requirement[] {
  const { TRAIN, TEST, DATA, VIDEO, OPTIMIZER, AUGMENTATION, MODEL } = values;
  const { BACKBONE, HEAD } = VIDEO, { MIXUP, CUTMIX } = AUGMENTATION, label = DATA.DATASET_LABEL_TEXT;
  const be = (key: string, value: unknown, only: unknown, why = ""): Requirement => [
    value === only,
    key,
    `be ${typeof only === "string" ? JSON.stringify(only) : only}${why}`,
    value,
  ];
  const off = (key: string, value: unknown): Requirement => [
    value === undefined || value === null || value === false,
    key,
    "be false: it is not built",
    value,
  ];
  const mixes = MIXUP.ENABLE || CUTMIX.ENABLE, colours = AUGMENTATION.COLOR_AUG;
  const published = ": mixing is built with the published values alone";
  return [
    be("TASK_TYPE", values.TASK_TYPE, "classification"),
    [
      presetOf(values) !== undefined,
      "VIDEO.BACKBONE.META_ARCH_NAME",
      `be the name of a backbone, such as ViT-B-16 or ViT-L-14`,
      BACKBONE.META_ARCH_NAME,
    ],
    be("VIDEO.HEAD.NAME", HEAD.NAME, "ClipVideoTextIdentity", ": other heads are not built"),
    be("VIDEO.HEAD.ACTIVATION", HEAD.ACTIVATION, "softmax"),
    be(
      "VIDEO.BACKBONE.ATTEN_BLOCK",
      BACKBONE.ATTEN_BLOCK,
      "ResidualAttentionBlockMid",
      ": the network reads the outputs of the blocks",
    ),
    be("VIDEO.BACKBONE.RECORD_VIS_MID_FEAT", BACKBONE.RECORD_VIS_MID_FEAT, true),
    be("VIDEO.BACKBONE.FREEZE_TEXT", BACKBONE.FREEZE_TEXT, true, ": the backbone is always frozen"),
    be("VIDEO.BACKBONE.FREEZE_VISUAL", BACKBONE.FREEZE_VISUAL, true, ": the backbone is always frozen"),
    ...patchRequirements(values),
    [
      TRAIN.ENABLE || TEST.ENABLE,
      "TRAIN.ENABLE",
      "be true where TEST.ENABLE is not: nothing would be done",
      false,
    ],
    be("TEST.DATASET", TEST.DATASET, TRAIN.DATASET, ", the data set of TRAIN.DATASET"),
    be("DATA.DATASET_LABEL_TEXT.ENABLE", label.ENABLE, true, ": classes are told by their names"),
    be("DATA.DATASET_LABEL_TEXT.TEXT_TYPE", label.TEXT_TYPE, "labels_only"),
    be("DATA.ENSEMBLE_METHOD", DATA.ENSEMBLE_METHOD, "sum"),
    be(
      "DATA.TEST_CROP_SIZE",
      DATA.TEST_CROP_SIZE,
      DATA.TRAIN_CROP_SIZE,
      ", as DATA.TRAIN_CROP_SIZE: no other is built",
    ),
    [equal(DATA.MEAN, CLIP_MEAN), "DATA.MEAN", `be that of CLIP, ${JSON.stringify(CLIP_MEAN)}`, DATA.MEAN],
    [equal(DATA.STD, CLIP_STD), "DATA.STD", `be that of CLIP, ${JSON.stringify(CLIP_STD)}`, DATA.STD],
    be("OPTIMIZER.OPTIM_METHOD", OPTIMIZER.OPTIM_METHOD, "adamw", ": no other is built for this network"),
    be("OPTIMIZER.LR_POLICY", OPTIMIZER.LR_POLICY, "cosine", ": no other is built for this network"),
    [
      !TRAIN.CHECKPOINT_FILE_PATH || TRAIN.FINE_TUNE,
      "TRAIN.FINE_TUNE",
      "be true with TRAIN.CHECKPOINT_FILE_PATH: go on with a run by --resume RUN",
      TRAIN.FINE_TUNE,
    ],
    be(
      "TRAIN.HALF_PRECISION",
      TRAIN.HALF_PRECISION,
      false,
      ": use precision=f16, which halves the frozen part",
    ),
    be(
      "AUGMENTATION.CUTMIX.ENABLE",
      CUTMIX.ENABLE,
      MIXUP.ENABLE,
      ", as AUGMENTATION.MIXUP.ENABLE: one alone is not built",
    ),
    ...mixes
      ? [
        be("AUGMENTATION.MIXUP.ALPHA", MIXUP.ALPHA, 0.8, published),
        be("AUGMENTATION.MIXUP.PROB", MIXUP.PROB, 1, published),
        be("AUGMENTATION.MIXUP.MODE", MIXUP.MODE, "batch", published),
        be("AUGMENTATION.MIXUP.SWITCH_PROB", MIXUP.SWITCH_PROB, 0.5, published),
        be("AUGMENTATION.CUTMIX.ALPHA", CUTMIX.ALPHA, 1, published),
        off("AUGMENTATION.CUTMIX.MINMAX", CUTMIX.MINMAX),
      ]
      : [],
    ...colours
      ? [be("AUGMENTATION.CONSISTENT", AUGMENTATION.CONSISTENT, true, ": a clip is changed as a whole")]
      : [],
    ...hasJitter(values)
      ? [
        be("AUGMENTATION.SHUFFLE", AUGMENTATION.SHUFFLE, true, ": the order is random"),
        be("AUGMENTATION.GRAY_FIRST", AUGMENTATION.GRAY_FIRST, true, ": grey comes before the jitter"),
      ]
      : [],
    off("PRETRAIN.ENABLE", values.PRETRAIN.ENABLE),
    off("LOCALIZATION.ENABLE", values.LOCALIZATION.ENABLE),
    off("SUBMISSION.ENABLE", values.SUBMISSION.ENABLE),
    off("TRAIN.ONLY_LINEAR", TRAIN.ONLY_LINEAR),
    off("TRAIN.CHECKPOINT_INFLATE", TRAIN.CHECKPOINT_INFLATE),
    off("TRAIN.CHECKPOINT_PRE_PROCESS.ENABLE", TRAIN.CHECKPOINT_PRE_PROCESS.ENABLE),
    off("TRAIN.NUM_SAMPLES", TRAIN.NUM_SAMPLES),
    off("TRAIN.FIXED_WEIGHTS", TRAIN.FIXED_WEIGHTS),
    off("TRAIN.CONVERT_LADDER_NET_WEIGHTS", TRAIN.CONVERT_LADDER_NET_WEIGHTS),
    off("TEST.ZEROSHOT", TEST.ZEROSHOT),
    off("DATA.MULTI_LABEL", DATA.MULTI_LABEL),
    off("DATA.HICO_PLUS_PLUS.ENABLE", DATA.HICO_PLUS_PLUS.ENABLE),
    off("MODEL.EMA.ENABLE", MODEL.EMA.ENABLE),
    off("VIDEO.BACKBONE.PRED_FUSION", BACKBONE.PRED_FUSION),
    off("VIDEO.BACKBONE.TUBE_STEM", BACKBONE.TUBE_STEM),
    off("OSS.ENABLE", values.OSS.ENABLE),
    off("USE_MULTISEG_VAL_DIST", values.USE_MULTISEG_VAL_DIST),
    off("AUGMENTATION.RANDOM_ERASING.ENABLE", AUGMENTATION.RANDOM_ERASING.ENABLE),
    off("AUGMENTATION.AUTOAUGMENT.ENABLE", AUGMENTATION.AUTOAUGMENT.ENABLE),
  ];
}

const equal = (a: readonly number[], b: readonly number[]) =>
  a.length === b.length && a.every((x, i) => x === b[i]);

/** Whether the patch is the published 16 with a backbone of another one, which cannot be meant. */
export function hasPublishedPatch(values: Values): boolean {
  const preset = presetOf(values);
  return preset !== undefined && distOf(values).S_PATCH_SIZE === 16 && preset.patchSize !== 16;
}

/** The patches of both branches lie in one grid, and the blocks that are read are there. */
function patchRequirements(values: Values): Requirement[] {
  const preset = presetOf(values),
    { S_PATCH_SIZE: patch, SELECTED_LAYERS: layers } = distOf(values);
  if (preset === undefined) return [];
  return [
    [
      patch === preset.patchSize || hasPublishedPatch(values),
      `${DIST}.S_PATCH_SIZE`,
      `be the backbone's (${preset.patchSize})`,
      patch,
    ],
    [
      layers === null || layers.every((layer) => layer < preset.layers),
      `${DIST}.SELECTED_LAYERS`,
      `be blocks of the backbone, which has ${preset.layers}, from 0`,
      layers,
    ],
  ];
}
