import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { readClipList, readLabels } from "../../../data/datasets/read.ts";
import { ConfigError, DataError } from "../../../lib/errors.ts";
import { keepLists, loadFolderRecipe } from "../../../train/run/class_folders.ts";
import { overrideOf } from "../../../train/recipe/overrides.ts";
import { parseConfig } from "../../../train/recipe/config.ts";
import { createRunFolder } from "../../../train/files/run_folder.ts";
import { inTempFolder, writeFrames } from "../../_util/frame_folders.ts";

/** Writes what is named like videos and is not looked into. */
async function writeSet(root: string, ...names: string[]): Promise<void> {
  for (const name of names) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), "not looked into");
  }
}

const tenOf = (name: string) => Array.from({ length: 10 }, (_, i) => `${name}/${i}.mp4`);

Deno.test("a folder without a recipe gets the defaults, with a run of its name", async () => {
  await inTempFolder(async (root) => {
    const set = join(root, "my set");
    await writeSet(set, ...tenOf("b c"), ...tenOf("a"));
    const { config, folder, warnings } = await loadFolderRecipe(`${set}/`, { config: null, overrides: [] });
    const { data } = config;
    assert.deepEqual([config.system, config.network.arch, config.name, data.num_segments], [
      "side4video",
      "ViT-B/16",
      "my set",
      8,
    ]);
    assert.deepEqual([data.family, data.flip, data.modality, data.num_classes, data.root], [
      "kinetics",
      "plain",
      "video",
      2,
      set,
    ]);
    assert.deepEqual(folder.clips.filter(({ split }) => split === "val").length, 2);
    assert.equal(data.batch_size, 16);
    assert.equal(warnings.length, 1);
    assert.match(
      warnings[0],
      /^the frozen backbone has random weights, .* network\.weights=ViT-B-16 for network\.arch=ViT-B\/16$/,
    );
  });
});

Deno.test("of a recipe only the data are replaced; seed and share split the clips, and there are no more in a batch", async () => {
  await inTempFolder(async (root) => {
    const set = join(root, "set"), recipe = join(root, "sth.yaml");
    for (let i = 0; i < 6; i++) {
      await writeFrames(join(set, "a", `clip ${i}`), { frames: 1, shade: 1, template: "f{:03d}.jpg" });
    }
    await writeSet(set, ...tenOf("z"), "z/other.txt");
    await mkdir(join(set, "none"));
    await writeFile(
      recipe,
      `seed: 7
data: { dataset: somethingv2, train_list: x.txt, root: /frames, num_classes: 174, image_tmpl: "f{:03d}.jpg", num_segments: 16 }
network: { weights: clip.pt }
solver: { lr: 0.5, mixup: true }
`,
    );
    const load = (...overrides: string[]) => loadFolderRecipe(set, { config: recipe, overrides });
    const { config, warnings, folder } = await load("data.val_share=0.3");
    const { data, solver } = config;
    assert.deepEqual([config.name, config.seed, solver.lr, data.num_segments, data.family], [
      "sth",
      7,
      0.5,
      16,
      "sth",
    ]);
    assert.deepEqual([data.root, data.num_classes, data.modality, data.image_tmpl, data.flip], [
      set,
      2,
      "either",
      "f{:03d}.jpg",
      "none",
    ]);
    // Eleven clips are left for training; mixup pairs them.
    assert.equal(data.batch_size, 10);
    assert.deepEqual(warnings.slice(-2), [
      'folders without a usable clip are no classes: "none"',
      "data.batch_size is lowered from 16 to 10: there are 11 training clips",
    ]);
    assert.match(
      (await load("data.flip=sth")).warnings.at(-1)!,
      /^data\.flip is none: with sth, left and right classes are swapped by Something-Something's own numbers/,
    );
    const valOf = ({ clips }: typeof folder) =>
      clips.filter(({ split }) => split === "val").map(({ path }) => path);
    assert.equal(valOf(folder).length, 5);
    assert.deepEqual(valOf((await load("data.val_share=0.3")).folder), valOf(folder));
    assert.notDeepEqual(valOf((await load("data.val_share=0.3", "seed=8")).folder), valOf(folder));
    assert.equal((await load("data.flip=plain")).config.data.flip, "plain");
  });
});

Deno.test("a set of as many classes as Something-Something has is not mirrored by its labels", async () => {
  await inTempFolder(async (set) => {
    await writeSet(set, ...Array.from({ length: 174 }, (_, i) => [`c${i}/a.mp4`, `c${i}/b.mp4`]).flat());
    const { config } = await loadFolderRecipe(set, { config: null, overrides: ["data.family=sth"] });
    assert.deepEqual([config.data.num_classes, config.data.family, config.data.flip], [174, "sth", "none"]);
  });
});

Deno.test("the lists of a folder are kept with the run and name every clip", async () => {
  await inTempFolder(async (root) => {
    const set = join(root, "set");
    await writeSet(set, ...tenOf("a b"));
    await writeFrames(join(set, "c", "short"), { frames: 2, shade: 1 });
    const recipe = await loadFolderRecipe(set, { config: null, overrides: [`run_root=${root}`] });
    using run = await createRunFolder(root, "run");
    const { data } = await keepLists(recipe.config, recipe.folder, run);
    assert.deepEqual([data.train_list, data.val_list, data.label_list], [
      join(root, "run", "train.txt"),
      join(root, "run", "val.txt"),
      join(root, "run", "labels.csv"),
    ]);
    const read = async (path: string | null) =>
      (await readClipList(path!, {
        modality: data.modality === "RGB" ? "frames" : data.modality,
        dropShorterThan: 8,
      }))
        .clips.map(({ path, label }) => `${path} ${label}`);
    const [train, val] = [await read(data.train_list), await read(data.val_list)];
    assert.deepEqual(
      [...train, ...val].sort(),
      [...tenOf("a b").map((path) => `${path} 0`), "c/short 1"].sort(),
    );
    assert.equal(val.length, 1);
    assert.deepEqual(await readLabels(data.label_list!), ["a b", "c"]);
  });
});

Deno.test("classes that one split lacks are named", async () => {
  await inTempFolder(async (root) => {
    await writeSet(root, "train/a/1.mp4", "train/a/2.mp4", "train/b/1.mp4", "val/a/3.mp4", "val/c/1.mp4");
    const { warnings, config } = await loadFolderRecipe(root, {
      config: null,
      overrides: ["network.init=false"],
    });
    assert.deepEqual(warnings.slice(0, 2), [
      'classes without a training clip: "c"',
      'classes without a validation clip: "b"',
    ]);
    assert.equal(config.data.num_classes, 3);
  });
});

const REFUSED: [
  what: string,
  files: string[],
  overrides: string[],
  kind: typeof ConfigError | typeof DataError,
  message: RegExp,
][] = [
  ["nothing in it", [], [], DataError, /must hold a folder for each class, current count is 0$/],
  [
    "no clip",
    ["a/x.txt"],
    [],
    DataError,
    /videos or folders of frames named "\{:05d\}\.jpg", current count is 0; a\/x\.txt: it is neither/,
  ],
  [
    "one clip",
    ["a/1.mp4"],
    [],
    DataError,
    /must hold two classes or more, a folder for each, current count is 1 \("a"\)$/,
  ],
  [
    "one clip of each class",
    ["a/1.mp4", "b/1.mp4"],
    [],
    DataError,
    /there must be a usable validation clip .* current count is 0 of 2$/,
  ],
  [
    "a list of its own",
    tenOf("a"),
    ["data.train_list=x"],
    ConfigError,
    /data\.train_list follows from the folder/,
  ],
  [
    "a synthetic set",
    tenOf("a"),
    ["data.synth.width=3"],
    ConfigError,
    /data\.synth\.width follows from the folder/,
  ],
  ["another run to go on with", tenOf("a"), ["resume=runs/x"], ConfigError, /goes on with the run "runs\/x"/],
  [
    "a share of nothing",
    tenOf("a"),
    ["data.val_share=0"],
    ConfigError,
    /data\.val_share must be more than 0/,
  ],
];

for (const [what, files, overrides, Kind, message] of REFUSED) {
  Deno.test(`a folder of class folders is refused with ${what}`, async () => {
    await inTempFolder(async (root) => {
      await writeSet(root, ...files);
      await assert.rejects(
        loadFolderRecipe(root, { config: null, overrides }),
        (error) => error instanceof Kind && message.test(error.message),
      );
    });
  });
}

Deno.test("an argument made of any value reads back as that value", () => {
  for (
    const value of [
      "plain/path",
      "two words",
      "a #b",
      "a: b",
      "{:05d}.jpg",
      "5",
      "null",
      "é'\"",
      " ",
      "*x",
      "yes",
    ]
  ) {
    const { config } = parseConfig("", { overrides: ["data.num_classes=2", overrideOf("data.root", value)] });
    assert.equal(config.data.root, value);
  }
  assert.equal(overrideOf("data.root", "plain/path"), "data.root=plain/path");
  assert.equal(overrideOf("data.num_classes", 5), "data.num_classes=5");
  assert.equal(overrideOf("data.synth", null), "data.synth=null");
});
