/** The YAML files of DiST: what they say in the recipe's own layout, their arguments, and what is refused or has no effect. */

import assert from "node:assert/strict";
import { loadConfig } from "../../../../train/recipe/config.ts";
import { readTree } from "../../../../train/recipe/tree.ts";
import { dist } from "../../../../train/recipe/dialects/dist.ts";
import { dialectOf, isPairKey } from "../../../../train/recipe/dialects/registry.ts";
import { parseTree } from "../../../../train/recipe/tree.ts";
import { inDistProject, readDist } from "../../../_util/dist_project.ts";

const LEAF = "configs/projects/dist/ssv2/vit-b16-8+16f.yaml";

Deno.test("a published file is the recipe that it stands for, key by key", async () => {
  await inDistProject(async (project) => {
    const { tree, setBy, rest } = await readDist(project, LEAF);
    assert.deepEqual(tree, {
      system: "dist",
      name: "vit-b16-8+16f_ssv2",
      run_root: "output",
      seed: 0,
      pretrain: null,
      data: {
        dataset: "ssv2",
        modality: "video",
        root: "/videos/ssv2",
        train_list: "/lists/ssv2/something-something-v2-train-with-label.json",
        val_list: "/lists/ssv2/something-something-v2-validation-with-label.json",
        min_frames: 0,
        label_list: "/lists/ssv2/labels.json",
        prompt_prefix: "",
        num_classes: 174,
        num_segments: 16,
        frame_ratio: 2,
        family: "dist",
        frame_rule: "segment",
        batch_size: 32,
        drop_last: true,
        input_size: 224,
        crop_scale: [0.4, 1],
        crop_ratio: [0.75, 1.333],
        flip: "sth",
        grey: 0.2,
        colour_jitter: null,
        workers: 8,
      },
      network: {
        arch: "ViT-B/16",
        weights: "/weights/ViT-B-16.pt",
        side_dim: 384,
        temporal_dim: 96,
        pooling_layers: 2,
        selected_layers: null,
        stem_frames: 5,
        temporal_kernel: 3,
        temporal_mlp_ratio: 1,
        integration_mlp_ratio: 1,
        integration_temporal_mlp_ratio: 0.25,
      },
      solver: {
        optimizer: "adamw",
        type: "running_cosine",
        epochs: 36,
        folds: 4,
        lr: 3.2e-5,
        lr_warmup_step: 6,
        lr_warmup_start: 8e-8,
        betas: [0.9, 0.999],
        weight_decay: 1e-4,
        clip_ratio: 10,
        smoothing: 0.1,
        mixup: true,
        evaluate: false,
      },
      logging: { print_freq: 10, eval_freq: 4 },
    });
    assert.deepEqual([rest, setBy.size], [[], 0]);
  });
});

Deno.test("arguments are laid on the whole recipe, whichever file has their keys, and blamed for what they set", async () => {
  await inDistProject(async (project) => {
    const { tree, rest, setBy } = await readDist(
      project,
      LEAF,
      ...["TRAIN.BATCH_SIZE", "64", "DATA.DATA_ROOT_DIR", "/a=b/c", "solver.lr=1e-3"],
      ...["VIDEO.BACKBONE.DIST.SELECTED_LAYERS", "[0, 5, 11]", "TRAIN.BATCH_SIZE=128", "PAI", "False"],
      ...["OPTIMIZER.BASE_LR", "1.5e-4", "AUGMENTATION.SSV2_FLIP", "no"],
    );
    const { data, network, solver } = tree as Record<string, Record<string, unknown>>;
    assert.deepEqual([data.batch_size, data.root, data.flip], [128, "/a=b/c", "none"]);
    assert.deepEqual([network.selected_layers, solver.lr], [[0, 5, 11], 1.5e-4]);
    assert.deepEqual(rest, ["solver.lr=1e-3"], "the recipe's own keys come later");
    assert.equal(setBy.get("data.batch_size"), "TRAIN.BATCH_SIZE=128");
    assert.equal(setBy.get("data.root"), "DATA.DATA_ROOT_DIR /a=b/c");
    assert.equal(setBy.get("solver.epochs"), undefined);
  });
});

Deno.test("values become the recipe's where other options are chosen", async () => {
  await inDistProject(async (project) => {
    const read = async (...args: string[]) =>
      (await readDist(project, LEAF, ...args)).tree as Record<string, Record<string, unknown>>;
    const { data } = await read(
      ...["DATA.SAMPLING_MODE", "interval_based", "AUGMENTATION.COLOR_JITTER_P", "0.8"],
      ...["DATA.DATASET_LABEL_TEXT.PROMPT_PREFIX", "a video of"],
    );
    assert.deepEqual(
      [data.frame_rule, data.frame_interval, data.target_fps, data.minus_interval],
      ["interval", 8, 30, false],
    );
    assert.deepEqual(data.colour_jitter, {
      probability: 0.8,
      brightness: 0.4,
      contrast: 0.4,
      saturation: 0.2,
      hue: 0.1,
    });
    assert.equal(data.prompt_prefix, "a video of");
    const plain = await read(
      ...[
        "AUGMENTATION.COLOR_AUG",
        "off",
        "AUGMENTATION.MIXUP.ENABLE",
        "no",
        "AUGMENTATION.CUTMIX.ENABLE",
        "no",
      ],
    );
    assert.deepEqual([plain.data.grey, plain.data.colour_jitter, plain.solver.mixup], [0, null, false]);
    const tuned = await read("TRAIN.CHECKPOINT_FILE_PATH", "k710.pyth", "OUTPUT_DIR", "runs/a/b/");
    assert.deepEqual([tuned.pretrain, tuned.run_root, tuned.name], ["k710.pyth", "runs/a", "b"]);
    const tested = await read("TRAIN.ENABLE", "False", "TEST.CHECKPOINT_FILE_PATH", "best.pyth");
    assert.deepEqual([tested.pretrain, tested.solver.evaluate], ["best.pyth", true]);
    const local = await read("VIDEO.BACKBONE.LOCAL_PRETRAIN_WEIGHT_PATH", `${project}/${LEAF}`);
    assert.equal(local.network.weights, `${project}/${LEAF}`, "a local copy comes first where it is there");
  });
});

Deno.test("a wrong argument is one clear line, with the key that was meant", async () => {
  await inDistProject(async (project) => {
    const cases: [args: string[], message: string][] = [
      [
        ["TRAIN.BATCH_SIZE"],
        'Cannot use argument "TRAIN.BATCH_SIZE": its value must come behind it, current value is missing',
      ],
      [
        ["TRAIN.BATCH_SIZE", "DATA.DATA_ROOT_DIR", "x"],
        'Cannot use argument "TRAIN.BATCH_SIZE": its value must come behind it, current value is missing',
      ],
      [
        ["TRIAN.BATCH_SISE", "3"],
        'Cannot use argument "TRIAN.BATCH_SISE 3": key "TRIAN.BATCH_SISE" is not known; the nearest known key is "TRAIN.BATCH_SIZE"',
      ],
      [
        ["TRAIN.BATCH_SIZE", "many"],
        'Cannot use argument "TRAIN.BATCH_SIZE many": TRAIN.BATCH_SIZE must be a number, current value is "many"',
      ],
      [
        ["TRAIN", "3"],
        'Cannot use argument "TRAIN 3": TRAIN is a section, it must be one of its keys, such as TRAIN.ENABLE',
      ],
      [["nothing"], 'Cannot use argument "nothing": it must have the form KEY VALUE or key=value'],
      [
        ["MODEL.EMA.ENABLE", "True"],
        'Cannot use argument "MODEL.EMA.ENABLE True": MODEL.EMA.ENABLE must be false: it is not built, current value is true',
      ],
      [
        ["VIDEO.BACKBONE.DIST.S_PATCH_SIZE", "32"],
        'Cannot use argument "VIDEO.BACKBONE.DIST.S_PATCH_SIZE 32": VIDEO.BACKBONE.DIST.S_PATCH_SIZE must be the backbone\'s (16), ' +
        "current value is 32",
      ],
      [
        ["AUGMENTATION.CUTMIX.ENABLE", "no"],
        'Cannot use argument "AUGMENTATION.CUTMIX.ENABLE no": AUGMENTATION.CUTMIX.ENABLE must be true, as AUGMENTATION.MIXUP.ENABLE: ' +
        "one alone is not built, current value is false",
      ],
      [
        ["VIDEO.BACKBONE.META_ARCH", "ResNet3D"],
        'Cannot use argument "VIDEO.BACKBONE.META_ARCH ResNet3D": VIDEO.BACKBONE.META_ARCH must be ClipVisionTextTransformer: ' +
        'other networks are not built, current value is "ResNet3D"',
      ],
    ];
    for (const [args, message] of cases) {
      await assert.rejects(readDist(project, LEAF, ...args), { name: "ConfigError", message });
    }
  });
});

Deno.test("options that are not built are refused when they are on, in whatever file", async () => {
  await inDistProject(async (project) => {
    for (
      const key of [
        "PRETRAIN.ENABLE",
        "TRAIN.ONLY_LINEAR",
        "TRAIN.CHECKPOINT_INFLATE",
        "TRAIN.HALF_PRECISION",
        "TEST.ZEROSHOT",
        "DATA.MULTI_LABEL",
        "OSS.ENABLE",
        "AUGMENTATION.RANDOM_ERASING.ENABLE",
        "AUGMENTATION.AUTOAUGMENT.ENABLE",
        "VIDEO.BACKBONE.TUBE_STEM",
      ]
    ) {
      await assert.rejects(readDist(project, LEAF, key, "true"), {
        name: "ConfigError",
        message: new RegExp(
          `^Cannot use argument "${key} true": ${key} must be false: [^\\n]+, current value is true$`,
        ),
      });
    }
    await assert.rejects(
      readDist(project, LEAF, "TRAIN.CHECKPOINT_FILE_PATH", "x.pyth", "TRAIN.FINE_TUNE", "false"),
      /TRAIN\.FINE_TUNE must be true with TRAIN\.CHECKPOINT_FILE_PATH: go on with a run by --resume RUN/,
    );
  });
});

Deno.test("keys that nobody reads, and those that say nothing here, are told apart; defaults of all projects are not named", async () => {
  await inDistProject(async (project) => {
    const { keysWithoutEffect, keysUnread } = await readDist(project, LEAF, "NUM_GPUS", "4");
    assert.deepEqual(keysWithoutEffect, [
      "TRAIN.MIXED_PRECISION",
      "DATA.SAMPLING_RATE",
      "OPTIMIZER.MIN_LR",
      "AUGMENTATION.BRIGHTNESS",
      "AUGMENTATION.CONTRAST",
      "AUGMENTATION.SATURATION",
      "AUGMENTATION.HUE",
    ]);
    assert.deepEqual(keysUnread, ["TEST.BATCH_SIZE", "DATA.FRAMES_OF_OLD (not known)", "NUM_GPUS"]);
    const jittered = await readDist(project, LEAF, "AUGMENTATION.COLOR_JITTER_P", "1");
    assert.ok(!jittered.keysWithoutEffect.includes("AUGMENTATION.HUE"));
  });
});

Deno.test("what is not there is told with the argument that names it, unless another one has", async () => {
  await inDistProject(async (project) => {
    const { remarks } = await readDist(project, LEAF);
    assert.deepEqual(remarks, [
      'there are no weights at "/weights/ViT-B-16.pt" (VIDEO.BACKBONE.PRETRAIN_WEIGHT_PATH): give CLIP\'s own file, ' +
      "VIDEO.BACKBONE.PRETRAIN_WEIGHT_PATH ViT-B-16.pt",
      'there is no folder "/videos/ssv2" (DATA.DATA_ROOT_DIR): give yours, DATA.DATA_ROOT_DIR FOLDER',
      'there is no folder "/lists/ssv2" (DATA.ANNO_DIR): give yours, DATA.ANNO_DIR FOLDER',
      "PAI has no effect: a run is one process on one GPU, without a cluster's variables",
      "TRAIN.BATCH_SIZE (32) is all clips of a step; the published runs had so many on each of 8 GPUs: " +
      "solver.grad_accumulation_steps=8 makes the same steps",
    ]);
    const own = await readDist(
      project,
      LEAF,
      ...["network.weights=a.pt", "data.root=v", "DATA.ANNO_DIR", project, "PAI=false"],
      "solver.grad_accumulation_steps=8",
    );
    assert.deepEqual(own.remarks, []);
  });
});

Deno.test("files of this form are known by their sections or parents, and its keys by their letters", async () => {
  const isOwn = (text: string) => dialectOf(parseTree(text, "x")) === dist;
  for (const text of ["_BASE: a.yaml", "_BASE_RUN: a.yaml", "TRAIN: {}", "VIDEO: { HEAD: {} }"]) {
    assert.ok(isOwn(text));
  }
  for (const text of ["system: dist", "data: {}", "solver: { epochs: 3 }"]) assert.ok(!isOwn(text), text);
  for (
    const key of ["TRAIN.BATCH_SIZE", "PAI", "OUTPUT_DIR", "VIDEO.BACKBONE.DIST.ANY", "OPTIMISER.BASE_LR"]
  ) {
    assert.ok(isPairKey(key), key);
  }
  for (
    const path of [
      "TRAIN",
      "VIDEOS",
      "train.batch_size",
      "IMG_1234.MP4",
      "TRAIN.txt",
      "TRAIN.BATCH_SIZE=3",
      "64",
    ]
  ) {
    assert.ok(!isPairKey(path), path);
  }
  await assert.rejects(readTree("nowhere.yaml", { namedBy: "leaf.yaml" }), {
    message: 'Cannot read config "nowhere.yaml", which "leaf.yaml" names: there is no such file',
  });
});

Deno.test("a file of any shape ends in a recipe or in one line", async () => {
  await inDistProject(async (project) => {
    const leaf = `${project}/${LEAF}`;
    for (
      const [text, what] of [
        ["DATA:", "DATA must be a mapping of keys"],
        ["TRAIN: 3", "TRAIN must be a mapping of keys"],
        ["TRAIN: { DATASET: }", 'TRAIN.DATASET must be one of "ssv2", "kinetics400", current value is null'],
        ["VIDEO: { BACKBONE: { DIST: [] } }", "VIDEO.BACKBONE.DIST must be a mapping of keys"],
        [
          "VIDEO: { BACKBONE: { META_ARCH_NAME: constructor } }",
          "META_ARCH_NAME must be the name of a backbone",
        ],
        ["OPTIMIZER: { BETAS: [1, 2, 3] }", "OPTIMIZER.BETAS must have at most 2 entries"],
        ["DATA: { MEAN: [x] }", "DATA.MEAN.0 must be a number"],
        ["toString: { a: 1 }\nconstructor: 3\nTRAIN: { BATCH_SIZE: .inf }", "TRAIN.BATCH_SIZE must be a"],
        ["__proto__: { TRAIN: 3 }\nTRAIN: { BATCH_SIZE: -1 }", "TRAIN.BATCH_SIZE must be more than 0"],
      ]
    ) {
      await Deno.writeTextFile(leaf, text);
      await assert.rejects(readDist(project, LEAF), ({ name, message }: Error) => {
        assert.equal(name, "ConfigError");
        assert.match(message, /^Cannot (read|use) config "[^\n]+$/);
        assert.ok(message.includes(what), message);
        return true;
      });
    }
    await Deno.writeTextFile(leaf, "TRAIN: {}\n_FOUND: { remarks: [injected] }");
    assert.ok(!(await readDist(project, LEAF)).remarks.includes("injected"));
  }, { without: ["pool/"] });
});

Deno.test("a recipe in our own layout has no parents: it is refused by the first of its sections", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/mine.yaml`;
    await Deno.writeTextFile(path, `_BASE: ${Deno.cwd()}/configs/demo_dist.yaml\ndata: { batch_size: 4 }\n`);
    await assert.rejects(
      loadConfig(path),
      /^ConfigError: Cannot use config ".*mine\.yaml": \w+ must be left out: only files in the form of the published ones name parents \(_BASE\)/,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
