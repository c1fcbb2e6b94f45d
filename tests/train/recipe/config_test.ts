/** The recipe: keys, defaults, overrides, refusals. Over 400 lines, because the rules of the one schema stand together. */

import assert from "node:assert/strict";
import { join } from "node:path";
import {
  dataRoots,
  formatConfig,
  loadConfig,
  parseConfig,
  synthOptions,
  transformRecipe,
} from "../../../train/recipe/config.ts";
import { KEYS_WITHOUT_EFFECT } from "../../../train/recipe/dialects/side4video.ts";
import { modelSpec } from "../../../train/recipe/model.ts";
import { recipeSchema } from "../../../train/recipe/schema.ts";
import { createModel, Side4Video, Side4VideoEva } from "../../../models/mod.ts";
import { CAPTIONED_KINDS, DEFAULT_SYNTH_OPTIONS, synthDefaults } from "../../../data/synth/options.ts";
import { publishedRecipe } from "../../../data/transforms/recipe.ts";
import { inTempFolder } from "../../_util/frame_folders.ts";

/** A file with the layout, the keys and the spellings of the published ones. */
const PUBLISHED = `
resume:
pretrain: None
seed: 1024
data:
    dataset: somethingv2
    modality: RGB
    num_segments: 8
    seg_length: 1
    batch_size: 16
    num_sample: 2
    workers: 4
    num_classes: 174
    image_tmpl: '{:06d}.jpg'
    train_root: '/data/frames'
    val_root: '/data/frames'
    train_list: 'lists/sthv2/train_rgb.txt'
    val_list: 'lists/sthv2/val_rgb.txt'
    label_list: 'lists/sth_labels.csv'
    input_size: 224
    random_shift: True
    rand_aug: True
    rand_erase: False
network:
    arch: ViT-B/16
    init: True
    tm: False
    drop_out: 0.0
    emb_dropout: 0.0
    type: clip_sth
    sim_header: None
    joint_st: False
    drop_fc: 0
    n_emb: 320
    side_dim: 320
    fix_clip: False
    my_fix_clip: True
solver:
    type: cosine
    epochs: 30
    start_epoch: 0
    epoch_offset: 0
    optim: adamw
    lr: 1.e-3
    lr_warmup_step: 4
    weight_decay: 0.15
    loss_type: CE
    evaluate: False
    clip_ratio: 1
    grad_accumulation_steps: 1
    smoothing: 0.1
    layer_decay: 1.0
    betas: [0.9, 0.999]
logging:
    print_freq: 10
    eval_freq: 1
    skip_epoch: [1,3,4,5,7,9]
`;

Deno.test("a file with the published layout runs as it is", () => {
  const { config, keysWithoutEffect, warnings } = parseConfig(PUBLISHED, {
    source: "sthv2/sthv2_train_rgb.yaml",
  });
  assert.equal(config.name, "sthv2_train_rgb");
  assert.equal(config.solver.lr, 1e-3);
  assert.equal(config.pretrain, null);
  assert.equal(config.network.sim_header, null);
  assert.deepEqual(config.logging.skip_epoch, [1, 3, 4, 5, 7, 9]);
  assert.deepEqual(transformRecipe(config), publishedRecipe("sth"));
  assert.deepEqual(dataRoots(config), { train: "/data/frames", val: "/data/frames" });
  assert.deepEqual(keysWithoutEffect, KEYS_WITHOUT_EFFECT);
  assert.match(warnings[0], /^keys without effect.*data\.seg_length.*solver\.layer_decay$/);
  assert.ok(!warnings.some((warning) => warning.includes("RandAugment")));
});

Deno.test("the data set's name selects the family, and each of its rules can be set alone", () => {
  const of = (...overrides: string[]) => parseConfig("data: {num_classes: 9}", { overrides }).config;
  const kinetics = of("data.dataset=k400");
  assert.deepEqual(transformRecipe(kinetics), publishedRecipe("kinetics"));
  assert.equal(kinetics.data.family, "kinetics");
  const mixed = transformRecipe(
    of("data.dataset=somethingv1", "data.flip=none", "data.resize=[40, 48]", "data.grey=0.5"),
  );
  assert.deepEqual([mixed.resize, mixed.flipProbability, mixed.greyProbability], [
    { kind: "exact", height: 40, width: 48 },
    0,
    0.5,
  ]);
});

Deno.test("a resolved config names every effective key and reads back as itself, without warnings", () => {
  const { config } = parseConfig(PUBLISHED, { source: "x.yaml", overrides: ["data.rand_aug=false"] });
  const text = formatConfig(config);
  const again = parseConfig(text, { source: "elsewhere.yaml" });
  assert.deepEqual(again, { config, keysWithoutEffect: [], warnings: [], onFiles: [] });
  for (const { name: key } of recipeSchema().keys) {
    const [section, leaf] = key.includes(".") ? key.split(".") : [undefined, key];
    const holder = section === undefined ? config : config[section as "data"];
    assert.ok(Object.hasOwn(holder, leaf), key);
  }
});

Deno.test("every shipped recipe of classification can be read, and published ones have their table's figures", async () => {
  const found: string[] = [];
  for await (const folder of Deno.readDir("configs")) {
    // Others: retrieval_recipes_test.ts, dist_recipes_test.ts.
    if (!folder.isDirectory || folder.name.endsWith("_retrieval") || folder.name === "dist") continue;
    for await (const { name } of Deno.readDir(`configs/${folder.name}`)) {
      const { config } = await loadConfig(`configs/${folder.name}/${name}`);
      found.push(config.name);
      const [set, arch, frames] = config.name.split("_");
      assert.equal(config.data.num_segments, Number(frames.slice(1)));
      assert.equal(config.data.num_classes, set === "k400" ? 400 : 174);
      assert.equal(
        config.data.batch_size * config.data.num_sample,
        arch !== "vite14" ? 32 : set === "k400" ? 1 : 16,
      );
      const [backbone, sideDim] = {
        vitb32: ["ViT-B/32", 320],
        vitb16: ["ViT-B/16", 320],
        vitl14: ["ViT-L/14", 512],
        vite14: ["EVA02-CLIP-bigE-14", 576],
      }[arch]!;
      assert.equal(config.network.arch, backbone);
      assert.equal(config.network.side_dim, sideDim);
      assert.equal(config.solver.lr, ["vitl14", "vite14"].includes(arch) ? 1e-4 : 1e-3);
      assert.equal(config.solver.lr_refresh, "published");
    }
  }
  for (
    const name of [
      "ssv1_vitb16_f8",
      "ssv2_vitb16_f8",
      "ssv2_vitl14_f16",
      "k400_vitb16_f8",
      "ssv1_vite14_f8",
      "k400_vite14_f16",
    ]
  ) {
    assert.ok(found.includes(name), name);
  }
});

Deno.test("an argument that is no YAML is text, as what a shell leaves of a quoted frame template", () => {
  const of = (override: string) => parseConfig("data: {num_classes: 9}", { overrides: [override] });
  assert.equal(of("data.image_tmpl={:05d}.jpg").config.data.image_tmpl, "{:05d}.jpg");
  assert.equal(of('data.image_tmpl="{:06d}.jpg"').config.data.image_tmpl, "{:06d}.jpg");
  assert.throws(
    () => of("data.resize=[256,"),
    /Cannot use argument "data\.resize=\[256,": data\.resize must be .*, current value is "\[256,"$/,
  );
});

Deno.test("the demo recipe generates its data set and has no remarks", async () => {
  const { config, warnings } = await loadConfig("configs/demo.yaml");
  const synth = synthOptions(config);
  assert.deepEqual(warnings, []);
  assert.equal(synth?.classes.length, config.data.num_classes);
  assert.equal(config.network.arch, "custom");
  assert.equal(config.data.flip, "none");
});

Deno.test("data.synth has the defaults of the synthesizer and fixes the number of classes", () => {
  const { config } = parseConfig("data: {synth: {}}");
  assert.deepEqual(synthOptions(config), DEFAULT_SYNTH_OPTIONS);
  assert.equal(config.data.num_classes, DEFAULT_SYNTH_OPTIONS.classes.length);
  const { config: changed } = parseConfig("data: {synth: {}}", {
    overrides: ["data.synth.classes=[grow, shrink, up]", "data.synth.frames_per_clip=5"],
  });
  assert.equal(changed.data.num_classes, 3);
  assert.equal(synthOptions(changed)?.framesPerClip, 5);
});

Deno.test("data.synth has defaults by kind, its lists are pairs, and it is read back as it was settled", () => {
  const system = "system: side4video_retrieval\ndata: {root: set, synth: {kind: ";
  for (const kind of CAPTIONED_KINDS) {
    const { config } = parseConfig(`${system}${kind}}}`);
    assert.deepEqual(synthOptions(config), synthDefaults(kind));
    assert.deepEqual([config.data.train_list, config.data.val_list], ["set/train.jsonl", "set/val.jsonl"]);
    assert.deepEqual(parseConfig(formatConfig(config)).config, config);
  }
  const { config } = parseConfig(
    `${system}captioned_clips, shapes: [cross], classes: [up, down], val_clips: 8}}`,
  );
  const changed = { shapes: ["cross"], classes: ["up", "down"], valClips: 8 };
  assert.deepEqual(synthOptions(config), { ...synthDefaults("captioned_clips"), ...changed });
});

Deno.test("overrides win over the file, the last one over the others, and make missing objects", () => {
  const overrides = [
    "solver.lr=1.e-4",
    "solver.lr=2e-5",
    "network.weights=a b.safetensors",
    "network.backbone={image_size: 64, patch_size: 8, width: 32, layers: 2, heads: 2}",
    "network.backbone.layers=5",
    "logging.skip_epoch=[0, 2]",
    "pretrain=None",
  ];
  const { config } = parseConfig("data: {num_classes: 2}\npretrain: x\nsolver: {lr: 1}", { overrides });
  assert.equal(config.solver.lr, 2e-5);
  assert.equal(config.network.weights, "a b.safetensors");
  assert.equal(config.network.backbone?.layers, 5);
  assert.equal(config.network.arch, "custom");
  assert.equal(config.data.input_size, 64);
  assert.deepEqual(config.logging.skip_epoch, [0, 2]);
  assert.equal(config.pretrain, null);
});

const BASE = "data: {num_classes: 3}\n";
const WRONG: [situation: string, text: string, override: string | null, message: string][] = [
  [
    "a misspelt key",
    "solver: {lrr: 1}",
    null,
    'Cannot read config "x.yaml": key "solver.lrr" is not known; the nearest known key is "solver.lr"',
  ],
  [
    "a key outside its section",
    "lr: 1",
    null,
    'Cannot read config "x.yaml": key "lr" is not known; the nearest known key is "solver.lr"',
  ],
  [
    "a key like no other",
    "qqqqqqqqqqqqqqqq: 1",
    null,
    'Cannot read config "x.yaml": key "qqqqqqqqqqqqqqqq" is not known',
  ],
  [
    "text for a number",
    "solver: {lr: fast}",
    null,
    'Cannot read config "x.yaml": solver.lr must be a number, current value is "fast"',
  ],
  [
    "a fraction for a count",
    "data: {batch_size: 1.5}",
    null,
    'Cannot read config "x.yaml": data.batch_size must be a whole number, current value is 1.5',
  ],
  [
    "a number out of range",
    "data: {batch_size: 0}",
    null,
    'Cannot read config "x.yaml": data.batch_size must be more than 0, current value is 0',
  ],
  [
    "a value outside its list",
    "memory: all",
    null,
    'Cannot read config "x.yaml": memory must be one of "recompute", "keep", "least", current value is "all"',
  ],
  [
    "several mistakes",
    "memory: all\nseed: -1",
    null,
    'Cannot read config "x.yaml": seed must be at least 0, current value is -1 (and 1 more)',
  ],
  [
    "a section that is no mapping",
    "data: 3",
    null,
    'Cannot read config "x.yaml": data must be a mapping of keys, current value is 3',
  ],
  [
    "a file that is no mapping",
    "- 1",
    null,
    'Cannot read config "x.yaml": it must be a mapping of keys, current value is a list',
  ],
  [
    "a key given twice",
    "seed: 1\nseed: 2",
    null,
    'Cannot read config "x.yaml": Map keys must be unique at line 2, column 1',
  ],
  [
    "a bad element of a list",
    "solver: {betas: [0.9, a]}",
    null,
    'Cannot read config "x.yaml": solver.betas.1 must be a number, current value is "a"',
  ],
  [
    "a resize of no kind",
    "data: {resize: big}",
    null,
    'Cannot read config "x.yaml": data.resize must be "auto", "sth", "kinetics", "short", "none" or [height, width], current value is "big"',
  ],
  [
    "no number of classes",
    "",
    null,
    'Cannot use config "x.yaml": data.num_classes must be the number of classes, current value is null',
  ],
  [
    "classes against the synthetic set",
    BASE + "\n",
    "data.synth={}",
    'Cannot use config "x.yaml": data.num_classes must equal the number of classes that data.synth makes, current value is 3',
  ],
  [
    "captions for a system that learns classes",
    BASE + "\n",
    "data.synth={kind: captioned_clips}",
    'Cannot use config "x.yaml": data.synth.kind must be motions where the system side4video learns classes, current value is "captioned_clips"',
  ],
  [
    "an override without a value",
    BASE,
    "solver.lr",
    'Cannot use argument "solver.lr": it must have the form key=value',
  ],
  [
    "an override of the wrong type",
    BASE,
    "solver.lr=x",
    'Cannot use argument "solver.lr=x": solver.lr must be a number, current value is "x"',
  ],
  [
    "an override of an unknown key",
    BASE,
    "optimizer.lr=1",
    'Cannot use argument "optimizer.lr=1": key "optimizer.lr" is not known; the nearest known key is "solver.lr"',
  ],
  [
    "an override by another program's word",
    BASE,
    "solver.learning_rate=1",
    'Cannot use argument "solver.learning_rate=1": key "solver.learning_rate" is not known; the nearest known key is "solver.lr"',
  ],
  [
    "an override of the prototype",
    BASE,
    "__proto__.lr=1",
    'Cannot use argument "__proto__.lr=1": key "__proto__.lr" is not known; the nearest known key is "solver.lr"',
  ],
  [
    "an unknown backbone",
    BASE,
    "network.arch=ViT-B/15",
    'Cannot use argument "network.arch=ViT-B/15": network.arch must be one of "ViT-B/32", "ViT-B/16", "ViT-L/14", "ViT-L/14-336px", ' +
    '"EVA02-CLIP-bigE-14", "EVA02-CLIP-bigE-14-plus", "EVA02-CLIP-L-14", "EVA02-CLIP-L-14-336", "custom", current value is "ViT-B/15"',
  ],
  [
    "custom without sizes",
    BASE,
    "network.arch=custom",
    'Cannot use config "x.yaml": network.arch must come with network.backbone, current value is "custom"',
  ],
  [
    "a picture that is no multiple of the patch",
    BASE,
    "network.backbone={image_size: 33, patch_size: 8, width: 64, layers: 1, heads: 1}",
    'Cannot use config "x.yaml": network.backbone.image_size must be a multiple of patch_size (8), current value is 33',
  ],
  [
    "an input size that is not the backbone's",
    BASE,
    "data.input_size=112",
    'Cannot use config "x.yaml": data.input_size must equal the backbone\'s picture side (224), current value is 112',
  ],
  [
    "a side width without heads",
    BASE,
    "network.side_dim=63",
    'Cannot use config "x.yaml": network.side_dim must be at least 64 and divisible by its number of heads (side_dim / 64, rounded down), current value is 63',
  ],
  [
    "an option that is not built",
    BASE,
    "network.joint_st=true",
    'Cannot use config "x.yaml": network.joint_st must be false: the option is not built, current value is true',
  ],
  [
    "dropout",
    BASE,
    "network.drop_fc=0.5",
    'Cannot use config "x.yaml": network.drop_fc must be 0: dropout is not built, current value is 0.5',
  ],
  [
    "multistep without steps",
    BASE,
    "solver.type=multistep",
    'Cannot use config "x.yaml": solver.lr_decay_step must start after the warm-up (4 epochs) when solver.type is multistep, current value is null',
  ],
  [
    "a run name with a slash",
    BASE,
    "name=a/b",
    'Cannot use config "x.yaml": name must be a folder name without slashes, current value is "a/b"',
  ],
];

for (const [situation, text, override, message] of WRONG) {
  Deno.test(`${situation} is one line and exit code 2`, () => {
    assert.throws(
      () => parseConfig(text, { source: "x.yaml", overrides: override === null ? [] : [override] }),
      { name: "ConfigError", exitCode: 2, message },
    );
  });
}

Deno.test("a missing file is one line and exit code 2", async () => {
  await assert.rejects(loadConfig("configs/nowhere.yaml"), {
    name: "ConfigError",
    exitCode: 2,
    message: 'Cannot read config "configs/nowhere.yaml": there is no such file',
  });
});

Deno.test("a batch of one clip and the published refresh rule are remarked on", () => {
  const { warnings } = parseConfig(BASE, { overrides: ["data.batch_size=1", "solver.lr_refresh=published"] });
  assert.match(warnings[0], /^a batch of one clip makes the last batch norm/);
  assert.match(warnings[1], /first 9 updates have learning rate 0/);
});

Deno.test("a backbone's name or its own sizes choose the tower, and the tower the picture's side", () => {
  const spec = (...overrides: string[]) => {
    const { config } = parseConfig(BASE, { overrides });
    return { ...modelSpec(config), inputSize: config.data.input_size };
  };
  const large = spec("network.arch=EVA02-CLIP-L-14-336");
  assert.ok(createModel(large) instanceof Side4VideoEva);
  assert.equal(large.inputSize, 336);
  assert.equal(spec("network.arch=ViT-L/14-336px").inputSize, 336);
  const sizes = "image_size: 32, patch_size: 8, width: 48, layers: 4, heads: 3";
  const clip = spec(`network.backbone={${sizes}}`);
  assert.ok(createModel(clip) instanceof Side4Video);
  const eva = spec(
    `network.backbone={${sizes}, eva: {hidden: 100, mlp: swiglu, sub_norm: true, rope_span: 16}}`,
  );
  assert.ok(createModel(eva) instanceof Side4VideoEva);
  assert.deepEqual(createModel(eva).config.backbone, {
    imageSize: 32,
    patchSize: 8,
    width: 48,
    layers: 4,
    heads: 3,
    hidden: 100,
    norm: "pre",
    subNorm: true,
    mlp: "swiglu",
    ropeSpan: 16,
  });
  assert.throws(
    () =>
      spec(
        "network.backbone={image_size: 32, patch_size: 8, width: 48, layers: 1, heads: 3, eva: {hidden: 9}}",
      ),
    /network\.backbone\.layers must be at least 2 for an EVA tower/,
  );
});

Deno.test("a batch of one clip on an EVA tower, whose side network ends in no batch norm, is not remarked on", () => {
  const { warnings } = parseConfig(BASE, {
    overrides: ["data.batch_size=1", "network.arch=EVA02-CLIP-bigE-14"],
  });
  assert.ok(!warnings.some((line) => line.includes("batch of one clip")), warnings.join());
});

Deno.test("mirroring swaps labels only in sets with Something-Something's classes", () => {
  const flip = (dataset: string, classes: number, more = "") =>
    parseConfig(`data: { dataset: ${dataset}, num_classes: ${classes} ${more} }`).config.data.flip;
  assert.equal(flip("somethingv2", 174), "sth");
  assert.equal(flip("somethingv2", 200), "none");
  assert.equal(flip("somethingv2", 200, ", flip: plain"), "plain");
  assert.equal(flip("mine", 174), "plain");
});

Deno.test("a value inside a section that an argument gives is blamed on the argument", () => {
  assert.throws(
    () => parseConfig("data: { num_classes: 2 }", { overrides: ["network.backbone={image_size:32}"] }),
    /^ConfigError: Cannot use argument "network\.backbone=\{image_size:32\}": /,
  );
});

Deno.test("an argument that begins like an alias is taken as text", () => {
  const { config } = parseConfig("{system: side4video, data: {num_classes: 9}}", {
    overrides: ["data.image_tmpl=*.png", "name=*"],
  });
  assert.deepEqual([config.data.image_tmpl, config.name], ["*.png", "*"]);
  assert.throws(() => parseConfig("name: *x", { source: "x.yaml" }), {
    name: "ConfigError",
    message: /^Cannot read config "x\.yaml": Unresolved alias/,
  });
});

Deno.test("a recipe in UTF-16 is read, one in UTF-32 is named as such", async () => {
  await inTempFolder(async (root) => {
    const file = join(root, "x.yaml"), text = "\ufeffsystem: side4video\r\ndata: {num_classes: 9}\r\n";
    const inUnits = (bytes: number) =>
      Uint8Array.from(
        [...text].flatMap((c) => [c.charCodeAt(0) & 255, c.charCodeAt(0) >> 8, 0, 0].slice(0, bytes)),
      );
    await Deno.writeFile(file, inUnits(2));
    assert.equal((await loadConfig(file)).config.data.num_classes, 9);
    await Deno.writeFile(file, inUnits(4));
    await assert.rejects(loadConfig(file), {
      name: "ConfigError",
      message:
        `Cannot read config "${file}": it must be text in UTF-8, it looks like UTF-32; save it as UTF-8`,
    });
  });
});
