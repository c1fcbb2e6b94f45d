/** A folder of YAML files in the form of DiST's, written for the tests: parents, defaults of all projects and two data sets. */

import { dirname, join } from "node:path";
import { mkdir, writeFile } from "node:fs/promises";
import type { Reading } from "../../train/recipe/dialects/dialect.ts";
import { dist } from "../../train/recipe/dialects/dist.ts";
import { readTree } from "../../train/recipe/tree.ts";
import { inTempFolder } from "./frame_folders.ts";

const modelFile = (name: string) => `
MODEL: { NAME: clip }
VIDEO:
  BACKBONE:
    META_ARCH: ClipVisionTextTransformer
    META_ARCH_NAME: ${name}
    PRETRAIN_WEIGHT_PATH: /weights/${name}.pt
    LOCAL_PRETRAIN_WEIGHT_PATH: /weights/local/${name}.pt
  HEAD: { NAME: ClipVideoHeadLinear, NUM_CLASSES: }
OPTIMIZER: { BASE_LR: 1 } # run files come before
`;

const baseFile = (dataset: string, set: string, classes: number) => `
_BASE_RUN: ../../pool/run/training/from_scratch_large.yaml
_BASE_MODEL: ../../pool/backbone/clip_vit_base_16.yaml
TRAIN: { DATASET: ${dataset}, BATCH_SIZE: 32, FINE_TUNE: true, MIXED_PRECISION: true }
TEST: { DATASET: ${dataset}, BATCH_SIZE: 16 }
DATA:
  DATA_ROOT_DIR: /videos/${set}
  ANNO_DIR: /lists/${set}
  SAMPLING_RATE: 8
  NUM_INPUT_FRAMES: 8
  TRAIN_JITTER_SCALES: [0.08, 1.0]
  MEAN: [0.48145466, 0.4578275, 0.40821073]
  STD: [0.26862954, 0.26130258, 0.27577711]
VIDEO: { BACKBONE: { FREEZE_TEXT: false }, HEAD: { NUM_CLASSES: ${classes} } }
OPTIMIZER: { BASE_LR: 8e-6, MIN_LR: 8e-8, WARMUP_START_LR: 8e-8, OPTIM_METHOD: adamw }
DATA_LOADER: { NUM_WORKERS: 8 }
AUGMENTATION:
  SSV2_FLIP: true
  RATIO: [0.75, 1.333]
  MIXUP: { ENABLE: true, ALPHA: 0.8 }
  CUTMIX: { ENABLE: true, ALPHA: 1.0, MINMAX: }
  LABEL_SMOOTHING: 0.1
PAI: true
`;

const leafFile = (base: string, { frames, pools, name, more = "" }: {
  frames: number;
  pools: number;
  name: string;
  more?: string;
}) => `
_BASE: ../${base}.yaml
TRAIN: { NUM_FOLDS: 4, EVAL_PERIOD: 4, ENABLE: true }
${more}
DATA:
  SAMPLING_MODE: segment_based
  TRAIN_JITTER_SCALES: [0.4, 1.0]
  SPARSE_SAMPLE_ALPHA: 2
  NUM_INPUT_FRAMES: ${frames}
  FRAMES_OF_OLD: 3
  DATASET_LABEL_TEXT: { ENABLE: true }
VIDEO:
  BACKBONE:
    FREEZE_TEXT: true
    FREEZE_VISUAL: true
    ATTEN_BLOCK: ResidualAttentionBlockMid
    RECORD_VIS_MID_FEAT: true
    DIST: { S_PATCH_SIZE: 16, T_PATCH_SIZE: 5, ADA_POOLING_LAYERS: ${pools} }
  HEAD: { NAME: ClipVideoTextIdentity }
OPTIMIZER:
  BASE_LR: 3.2e-5
  NEW_NET_LRMULT: 10.0
  NEW_NET_WEIGHT_DECAY: 0.0001
  BETAS: [0.9, 0.999]
  MAX_EPOCH: 36
  WARMUP_EPOCHS: 6
AUGMENTATION:
  COLOR_JITTER_P: 0.
  COLOR_AUG: true
  BRIGHTNESS: 0.4
  CONTRAST: 0.4
  SATURATION: 0.2
  HUE: 0.1
  GRAYSCALE: 0.2
OUTPUT_DIR: output/${name}
`;

/** What the defaults of all projects, and of a run, say other than the leaves. */
const DEFAULTS = `
TASK_TYPE: classification
TRAIN: { ENABLE: false, DATASET:, NUM_FOLDS: 1, EVAL_PERIOD: 10, FINE_TUNE: false, CHECKPOINT_FILE_PATH: "" }
TEST: { ENABLE: false, DATASET:, CHECKPOINT_FILE_PATH: "" }
DATA: { TRAIN_CROP_SIZE: 112, TEST_SCALE: 224, TEST_CROP_SIZE: 112, TARGET_FPS: 30, MINUS_INTERVAL: false }
VIDEO: { BACKBONE: { META_ARCH:, DEPTH: }, HEAD: { NAME: BaseHead, NUM_CLASSES: } }
OPTIMIZER: { BASE_LR: 0.002, OPTIM_METHOD: adam }
RANDOM_SEED: 0
LOG_PERIOD: 10
OUTPUT_DIR: output/
`;
const RUN = `
TRAIN: { ENABLE: true, EVAL_PERIOD: 5 }
TEST: { ENABLE: true }
DATA: { TRAIN_CROP_SIZE: 224, TEST_CROP_SIZE: 224, NUM_INPUT_FRAMES: 16 }
OPTIMIZER: { BASE_LR: 0.001 }
OUTPUT_DIR:
`;

/** The published recipes: data set, backbone and frames of the temporal encoder. */
export const LEAVES = ["ssv2", "k400"].flatMap((set) =>
  ([["b16", 16], ["b16", 32], ["b16", 64], ["l14", 64]] as const).map(([arch, frames]) => ({
    set,
    arch,
    frames,
    /** From the top of the repository. */
    path: `configs/projects/dist/${set}/vit-${arch}-${frames / 2}+${frames}f.yaml`,
  }))
);

/** As published, every base is named as that of Something-Something, and that of ViT-L/14 is not there. */
function leafOf({ set, arch, frames, path }: typeof LEAVES[number]): [path: string, text: string] {
  const base = arch === "l14" ? "vit_large_14_ssv2" : "vit_base_16_ssv2", pools = set === "k400" ? 4 : 2;
  const name = `vit-${arch}-${frames / 2}+${frames}f_${set}`;
  return [path.replace(/^configs\//, ""), leafFile(base, { frames, pools, name })];
}

const FILES: Record<string, string> = {
  "pool/base.yaml": DEFAULTS,
  "pool/run/training/from_scratch_large.yaml": RUN,
  "pool/backbone/clip_vit_base_16.yaml": modelFile("ViT-B-16"),
  "pool/backbone/clip_vit_large_14.yaml": modelFile("ViT-L-14"),
  "projects/dist/vit_base_16_ssv2.yaml": baseFile("ssv2", "ssv2", 174),
  "projects/dist/vit_base_16_k400.yaml": baseFile("kinetics400", "k400", 400),
  ...Object.fromEntries(LEAVES.map(leafOf)),
  "projects/dist/k400/vit-b16-8+16f-eval.yaml": leafFile("vit_base_16_ssv2", {
    frames: 32,
    pools: 4,
    name: "vit-b16-8+16f_ssv2",
    more: "TEST: { CHECKPOINT_FILE_PATH: /weights/84.4.pyth }",
  }),
};

/** Does something with the files in a folder of their own. @param options.without Beginnings of paths that are left out */
export async function inDistProject(
  work: (project: string) => Promise<void>,
  options: { without?: readonly string[] } = {},
): Promise<void> {
  await inTempFolder(async (root) => {
    for (const [name, text] of Object.entries(FILES)) {
      if (options.without?.some((start) => name.startsWith(start))) continue;
      const path = join(root, "configs", name);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, text);
    }
    await work(root);
  });
}

/** Reads a file of it as far as the dialect does. */
export async function readDist(project: string, file: string, ...args: string[]): Promise<Reading> {
  const path = join(project, file), tree = await readTree(path);
  return dist.read(await dist.assemble!(tree, { path, readTree }), { source: path, args });
}
