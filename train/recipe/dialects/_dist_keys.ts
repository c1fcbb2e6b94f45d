/**
 * The keys of DiST's YAML files (spec dist §8): those that are read here, with their types and the values that hold where no file
 * gives one, which are the final ones of the published recipes; and those that the published code does not heed either.
 */

import { z } from "zod";
import { isTree, type Tree } from "../tree.ts";

const count = (standard: number) => z.number().int().positive().default(standard);
const rate = (standard: number) => z.number().nonnegative().default(standard);
const flag = (standard: boolean) => z.boolean().default(standard);
const text = (standard: string | null) => z.string().nullable().default(standard);
const pair = (standard: [number, number]) => z.tuple([z.number(), z.number()]).default(standard);
const numbers = (standard: number[]) => z.array(z.number()).default(standard);
const dataset = () => z.enum(["ssv2", "kinetics400"]).default("ssv2");
const gate = () => ({ ENABLE: flag(false) });

/** Of CLIP; no other is built. */
export const CLIP_MEAN: readonly number[] = [0.48145466, 0.4578275, 0.40821073];
export const CLIP_STD: readonly number[] = [0.26862954, 0.26130258, 0.27577711];

/** Every key that is read, by section. */
const SHAPE = {
  TASK_TYPE: z.string().default("classification"),
  PRETRAIN: gate(),
  LOCALIZATION: gate(),
  SUBMISSION: gate(),
  TRAIN: {
    ENABLE: flag(true),
    DATASET: dataset(),
    BATCH_SIZE: count(32),
    EVAL_PERIOD: count(4),
    NUM_FOLDS: count(4),
    CHECKPOINT_FILE_PATH: text(""),
    CHECKPOINT_INFLATE: flag(false),
    CHECKPOINT_PRE_PROCESS: gate(),
    FINE_TUNE: flag(true),
    ONLY_LINEAR: flag(false),
    HALF_PRECISION: flag(false),
    NUM_SAMPLES: z.unknown().optional(),
    FIXED_WEIGHTS: z.unknown().optional(),
    CONVERT_LADDER_NET_WEIGHTS: z.unknown().optional(),
  },
  TEST: {
    ENABLE: flag(true),
    DATASET: dataset(),
    CHECKPOINT_FILE_PATH: text(""),
    ZEROSHOT: z.unknown().optional(),
  },
  DATA: {
    DATA_ROOT_DIR: text(null),
    ANNO_DIR: text(null),
    NUM_INPUT_FRAMES: count(16),
    SAMPLING_MODE: z.enum(["segment_based", "interval_based"]).default("segment_based"),
    SAMPLING_RATE: count(8),
    SPARSE_SAMPLE_ALPHA: count(2),
    TRAIN_JITTER_SCALES: pair([0.4, 1]),
    TRAIN_CROP_SIZE: count(224),
    TEST_SCALE: count(224),
    TEST_CROP_SIZE: count(224),
    MEAN: numbers([...CLIP_MEAN]),
    STD: numbers([...CLIP_STD]),
    MULTI_LABEL: flag(false),
    ENSEMBLE_METHOD: z.string().default("sum"),
    TARGET_FPS: count(30),
    MINUS_INTERVAL: flag(false),
    HICO_PLUS_PLUS: gate(),
    DATASET_LABEL_TEXT: {
      ENABLE: flag(true),
      PROMPT_PREFIX: text(""),
      TEXT_TYPE: z.string().default("labels_only"),
    },
  },
  MODEL: { EMA: gate() },
  VIDEO: {
    BACKBONE: {
      META_ARCH: text("ClipVisionTextTransformer"),
      META_ARCH_NAME: text("ViT-B-16"),
      PRETRAIN_WEIGHT_PATH: text(null),
      LOCAL_PRETRAIN_WEIGHT_PATH: text(null),
      FREEZE_TEXT: flag(true),
      FREEZE_VISUAL: flag(true),
      ATTEN_BLOCK: z.string().default("ResidualAttentionBlockMid"),
      RECORD_VIS_MID_FEAT: flag(true),
      PRED_FUSION: z.unknown().optional(),
      TUBE_STEM: z.unknown().optional(),
      DIST: {
        S_PATCH_SIZE: count(16),
        T_PATCH_SIZE: count(5),
        TEMPORAL_KERNEL_SIZE: count(3),
        TEMPORAL_CONV_MLP_RATIO: rate(1),
        INTEGRATION_MLP_RATIO: rate(1),
        INTEGRATION_TEMPORAL_MLP_RATIO: rate(0.25),
        ADA_POOLING_LAYERS: count(2),
        INTEGRATION_DIM: count(384),
        TEMPORAL_DIM: count(96),
        SELECTED_LAYERS: z.array(z.number().int().nonnegative()).min(1).nullable().default(null),
      },
    },
    HEAD: {
      NAME: z.string().default("ClipVideoTextIdentity"),
      ACTIVATION: z.string().default("softmax"),
      NUM_CLASSES: count(174),
    },
  },
  OPTIMIZER: {
    OPTIM_METHOD: z.string().default("adamw"),
    BASE_LR: rate(3.2e-5),
    LR_POLICY: z.string().default("cosine"),
    MAX_EPOCH: count(36),
    WARMUP_EPOCHS: rate(6),
    WARMUP_START_LR: rate(8e-8),
    NEW_NET_LRMULT: rate(10),
    NEW_NET_WEIGHT_DECAY: rate(1e-4),
    BETAS: pair([0.9, 0.999]),
  },
  DATA_LOADER: { NUM_WORKERS: count(8) },
  PAI: flag(true),
  RANDOM_SEED: z.number().int().nonnegative().default(0),
  OUTPUT_DIR: text(null),
  LOG_PERIOD: count(10),
  OSS: gate(),
  USE_MULTISEG_VAL_DIST: flag(false),
  AUGMENTATION: {
    COLOR_AUG: flag(true),
    COLOR_JITTER_P: rate(0),
    BRIGHTNESS: rate(0.4),
    CONTRAST: rate(0.4),
    SATURATION: rate(0.2),
    HUE: rate(0.1),
    GRAYSCALE: rate(0.2),
    CONSISTENT: flag(true),
    SHUFFLE: flag(true),
    GRAY_FIRST: flag(true),
    RATIO: pair([0.75, 1.333]),
    SSV2_FLIP: flag(true),
    MIXUP: {
      ENABLE: flag(true),
      ALPHA: rate(0.8),
      PROB: rate(1),
      MODE: z.string().default("batch"),
      SWITCH_PROB: rate(0.5),
    },
    CUTMIX: { ENABLE: flag(true), ALPHA: rate(1), MINMAX: z.unknown().optional() },
    LABEL_SMOOTHING: rate(0.1),
    RANDOM_ERASING: gate(),
    AUTOAUGMENT: gate(),
  },
};

/**
 * Keys, and whole sections, of the published files that the published code does not read, or reads to no effect with a recipe of
 * this network.
 */
const WITHOUT_EFFECT: readonly string[] = [
  "TRAIN.CHECKPOINT_TYPE",
  "TRAIN.LOSS_FUNC",
  "TRAIN.LR_REDUCE",
  "TRAIN.MIXED_PRECISION",
  "TRAIN.TRAIN_VAL_COMBINE",
  "TEST.AUTOMATIC_MULTI_SCALE_TEST_SPATIAL",
  "TEST.CHECKPOINT_TYPE",
  "TEST.SPATIAL_CROPS",
  "SUBMISSION.SAVE_RESULTS_PATH",
  "VISUALIZATION",
  "DATA.FPS",
  "DATA.NUM_INPUT_CHANNELS",
  "DATA.TRAIN_MULTI_SCALE_CROP",
  "MODEL.EMA.DECAY",
  "VIDEO.BACKBONE.BRANCH",
  "VIDEO.BACKBONE.DEPTH",
  "VIDEO.BACKBONE.DIST.ENABLE",
  "VIDEO.BACKBONE.DIST.SPATIAL_CLS_TOKEN_INIT_AS_ZERO",
  "VIDEO.BACKBONE.DIST.TEMPORAL_USE_LAYER_NORM",
  "VIDEO.BACKBONE.DOWNSAMPLING",
  "VIDEO.BACKBONE.DOWNSAMPLING_TEMPORAL",
  "VIDEO.BACKBONE.EXPANSION_RATIO",
  "VIDEO.BACKBONE.INITIALIZATION",
  "VIDEO.BACKBONE.KERNEL_SIZE",
  "VIDEO.BACKBONE.NONLOCAL",
  "VIDEO.BACKBONE.NUM_FILTERS",
  "VIDEO.BACKBONE.NUM_INPUT_CHANNELS",
  "VIDEO.BACKBONE.NUM_OUT_FEATURES",
  "VIDEO.BACKBONE.NUM_STREAMS",
  "VIDEO.BACKBONE.PROMPT_PREFIX",
  "VIDEO.BACKBONE.RECORD_TEXT_MID_FEAT",
  "VIDEO.BACKBONE.STEM",
  "VIDEO.HEAD.DROPOUT_RATE",
  "VIDEO.HEAD.PRE_LOGITS",
  "OPTIMIZER.ADJUST_LR",
  "OPTIMIZER.DAMPENING",
  "OPTIMIZER.HEAD_LRMULT",
  "OPTIMIZER.LAYER_LRDECAY",
  "OPTIMIZER.MIN_LR",
  "OPTIMIZER.MOMENTUM",
  "OPTIMIZER.NESTEROV",
  "OPTIMIZER.PROMPT_NET_LRMULT",
  "OPTIMIZER.PROMPT_NET_WEIGHT_DECAY",
  "OPTIMIZER.WEIGHT_DECAY",
  "BN",
  "DATA_LOADER.ENABLE_MULTI_THREAD_DECODE",
  "MULTI_CARD",
  "OUTPUT_CFG_FILE",
  "AUGMENTATION.AUTOAUGMENT.BEFORE_CROP",
  "AUGMENTATION.AUTOAUGMENT.TYPE",
  "AUGMENTATION.BATCH_AUG",
  "AUGMENTATION.IS_SPLIT",
  "AUGMENTATION.RANDOM_ERASING.AREA_RANGE",
  "AUGMENTATION.RANDOM_ERASING.COUNT",
  "AUGMENTATION.RANDOM_ERASING.MIN_ASPECT",
  "AUGMENTATION.RANDOM_ERASING.MODE",
  "AUGMENTATION.RANDOM_ERASING.NUM_SPLITS",
  "AUGMENTATION.RANDOM_ERASING.PROB",
];

/** Keys that the published code reads and that say nothing here: devices, logs, the test, which `eval` asks for. */
const UNREAD: readonly string[] = [
  "TRAIN.LOG_FILE",
  "TRAIN.AUTO_RESUME",
  "TRAIN.CHECKPOINT_PERIOD",
  "TEST.BATCH_SIZE",
  "TEST.NUM_SPATIAL_CROPS",
  "TEST.NUM_ENSEMBLE_VIEWS",
  "TEST.LOG_FILE",
  "TEST.AUTOMATIC_MULTI_SCALE_TEST",
  "TEST.OVERRIDE_MULTI_SCALE_TEST.ENABLE",
  "TEST.OVERRIDE_MULTI_SCALE_TEST.NUM_SPATIAL_CROPS",
  "TEST.OVERRIDE_MULTI_SCALE_TEST.NUM_ENSEMBLE_VIEWS",
  "MODEL.NAME",
  "DATA_LOADER.PIN_MEMORY",
  "DATA_LOADER.COLLATE_FN",
  "NUM_GPUS",
  "SHARD_ID",
  "NUM_SHARDS",
  "DIST_BACKEND",
  "LOG_MODEL_INFO",
  "LOG_CONFIG_INFO",
  "AUGMENTATION.USE_GPU",
];

type Shape = { readonly [key: string]: z.ZodType | Shape };
type ValuesOf<S> = {
  [K in keyof S]: S[K] extends z.ZodType ? z.output<S[K]> : ValuesOf<S[K]>;
};

/** The values of a recipe, every key that is read among them. */
export type Values = ValuesOf<typeof SHAPE>;

const isSection = (one: z.ZodType | Shape): one is Shape => !(one instanceof z.ZodType);

function schemaOf(shape: Shape): z.ZodType {
  const entries = Object.entries(shape).map(([key, one]) => [key, isSection(one) ? schemaOf(one) : one]);
  return z.looseObject(Object.fromEntries(entries)).prefault({});
}

/** The schema of a recipe's values; keys that are not read may have any. */
export const VALUES = schemaOf(SHAPE) as z.ZodType<Values>;

function namesOf(shape: Shape, prefix = ""): string[] {
  return Object.entries(shape).flatMap(([key, one]) =>
    isSection(one) ? namesOf(one, `${prefix}${key}.`) : [prefix + key]
  );
}

/** Dotted names of the keys that are read. */
export const READ_KEYS: readonly string[] = namesOf(SHAPE);

/** Dotted names of all keys of the published files, and of sections of which nothing is read. */
export const KNOWN_KEYS: readonly string[] = [...READ_KEYS, ...WITHOUT_EFFECT, ...UNREAD];

/** Whether the published code heeds a key no more than this one does. */
export function isWithoutEffect(key: string): boolean {
  return WITHOUT_EFFECT.some((name) => key === name || key.startsWith(`${name}.`));
}

/** Dotted names of the values in a tree, lists among them. */
export function leavesOf(tree: Tree, prefix = ""): string[] {
  return Object.entries(tree).flatMap(([key, value]) =>
    isTree(value) && Object.keys(value).length > 0 ? leavesOf(value, `${prefix}${key}.`) : [prefix + key]
  );
}
