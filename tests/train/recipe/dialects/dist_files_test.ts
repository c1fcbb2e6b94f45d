/** The files of a recipe of DiST: which parents it has and how they are laid on one another, and what stands in for broken ones. */

import assert from "node:assert/strict";
import { join, relative } from "node:path";
import { mkdir, writeFile } from "node:fs/promises";
import { assemble, takeFound } from "../../../../train/recipe/dialects/_dist_files.ts";
import { readTree, type Tree } from "../../../../train/recipe/tree.ts";
import { loadConfig } from "../../../../train/recipe/config.ts";
import { inDistProject, readDist } from "../../../_util/dist_project.ts";
import { inTempFolder } from "../../../_util/frame_folders.ts";

const HOME = "configs/projects/dist";

/** A recipe made of files that are given here; the defaults of all projects are built-in. */
async function assembled(files: Record<string, string>, top = "top.yaml"): Promise<Tree> {
  let found: Tree = {};
  await inTempFolder(async (root) => {
    for (const [name, text] of Object.entries(files)) {
      await mkdir(join(root, name, ".."), { recursive: true });
      await writeFile(join(root, name), text.replaceAll("ROOT", root));
    }
    const path = join(root, top);
    found = takeFound(
      await assemble(await readTree(path), { path, readTree }).catch((error) => {
        error.message = error.message.replaceAll(`${root}/`, "");
        throw error;
      }),
    ).tree;
  });
  return found;
}

Deno.test("values come from the model file, the run file, the base and the file itself, the later on the earlier", async () => {
  const tree = await assembled({
    "top.yaml": "_BASE: ./base.yaml\nA: { own: 4, list: [4], none: }\nLAST_BASE: 4",
    "base.yaml": "_BASE_RUN: run/run.yaml\n_BASE_MODEL: ./model.yaml\nA: { base: 3, own: 3, BASE_LR: 3 }"
      .replace("run/run.yaml", "ROOT/run/run.yaml"),
    "run/run.yaml": "A: { run: 2, base: 2, list: [2, 2], none: 2 }",
    "model.yaml": "A: { model: 1, run: 1, none: { deep: 1 } }",
  });
  assert.deepEqual(tree, {
    A: { model: 1, run: 2, base: 3, own: 4, list: [4], none: null, BASE_LR: 3 },
    LAST_BASE: 4, // no key goes because of its letters
  });
});

Deno.test("_BASE comes before _BASE_RUN and _BASE_MODEL, and parents have parents", async () => {
  const tree = await assembled({
    "a/b/top.yaml": "_BASE: ../middle.yaml\n_BASE_RUN: nowhere.yaml\nA: 1",
    "a/middle.yaml": "_BASE: ../old/base.yaml\nB: 1",
    "old/base.yaml": "_BASE: x.yaml\nC: 1",
    "old/x.yaml": "D: 1",
  }, "a/b/top.yaml");
  assert.deepEqual(tree, { D: 1, C: 1, B: 1, A: 1 });
});

Deno.test("a parent that cannot be had is one clear line", async () => {
  const cases: [files: Record<string, string>, message: string][] = [
    [
      { "top.yaml": "_BASE: ../nowhere/x.yaml" },
      'Cannot read config "MISSING", which "top.yaml" names: there is no such file',
    ],
    [
      { "top.yaml": "_BASE: ./b.yaml", "b.yaml": "_BASE: ./c.yaml", "c.yaml": "_BASE: ./b.yaml" },
      "CIRCLE",
    ],
    [{ "top.yaml": "_BASE: ./top.yaml" }, 'CIRCLE "top.yaml", "top.yaml"'],
    [
      { "top.yaml": "_BASE: ./b.yaml", "b.yaml": "- 1" },
      'Cannot read config "b.yaml", which "top.yaml" names: it must be a mapping of keys, current value is a list',
    ],
    [
      { "top.yaml": "_BASE: ./b.yaml", "b.yaml": "" },
      'Cannot read config "b.yaml", which "top.yaml" names: the file is empty',
    ],
    [
      { "top.yaml": "_BASE: [b.yaml]" },
      'Cannot read config "top.yaml": _BASE must be the path of another file, current value is ["b.yaml"]',
    ],
    [
      { "top.yaml": "_BASE: ./b.yaml\nA: { B: 1 }", "b.yaml": "A: 3" },
      'Cannot read config "top.yaml": A must be a value as in b.yaml, current value is a mapping of keys',
    ],
    [
      { "top.yaml": "_BASE: ./sub", "sub/x.yaml": "" },
      'Cannot read config "sub", which "top.yaml" names: it must be a YAML file, this is a folder; the recipe of a run is its config.yaml',
    ],
  ];
  for (const [files, expected] of cases) {
    const error = await assembled(files).then(() => null, (error) => error as Error);
    assert.equal(error?.name, "ConfigError");
    if (expected.startsWith("CIRCLE")) {
      assert.match(
        error!.message,
        /^Cannot read config "top\.yaml": its parents must not name each other in a circle, current chain is "top\.yaml"/,
      );
    } else if (expected.includes("MISSING")) {
      assert.match(error!.message, /nowhere\/x\.yaml", which "top\.yaml" names: there is no such file$/);
    } else assert.equal(error!.message, expected);
  }
});

Deno.test("a parent that may not be read is a line too", async () => {
  await assert.rejects(assembled({ "top.yaml": "_BASE: /dev/zero" }), {
    name: "ConfigError",
    message: /^Cannot read config "\/dev\/zero", which "top\.yaml" names: [^\n]+$/,
  });
});

Deno.test("the defaults of all projects are found in the repository that holds the recipe, or are built in, which is told", async () => {
  await inDistProject(async (project) => {
    const here = await readDist(project, `${HOME}/ssv2/vit-b16-8+16f.yaml`);
    assert.ok(!here.remarks.some((text) => text.startsWith("built-in")));
    await inDistProject(async (alone) => {
      const { tree, remarks } = await readDist(alone, `${HOME}/ssv2/vit-b16-8+16f.yaml`);
      const pool = (name: string) => `"${join(alone, "configs/pool", name)}"`;
      assert.ok(remarks.includes(
        `built-in values stand in for ${pool("backbone/clip_vit_base_16.yaml")}, ${
          pool("run/training/from_scratch_large.yaml")
        }, "configs/pool/base.yaml", which are not there`,
      ));
      const network = { ...(here.tree.network as Tree), weights: null };
      assert.deepEqual(tree, { ...here.tree, network }, "the same recipe, without the authors' weights");
    }, { without: ["pool/"] });
  });
});

Deno.test("recipes of Kinetics-400 on the base of Something-Something get their own", async () => {
  await inDistProject(async (project) => {
    const { tree, remarks } = await readDist(project, `${HOME}/k400/vit-b16-8+16f.yaml`);
    const data = tree.data as Tree;
    assert.deepEqual([data.dataset, data.num_classes, data.root, data.flip], [
      "kinetics400",
      400,
      "/videos/k400",
      "plain",
    ]);
    assert.deepEqual([data.train_list, data.val_list], [
      "/lists/k400/kinetics400_train_list.txt",
      "/lists/k400/kinetics400_val_list.txt",
    ]);
    const home = join(project, HOME);
    assert.equal(
      remarks[0],
      `"${home}/k400/vit-b16-8+16f.yaml" is a recipe of Kinetics-400 on a base of Something-Something, as published: data set, ` +
        `classes and folders are those of "${home}/vit_base_16_k400.yaml"`,
    );
    const listed = await readDist(project, `${HOME}/k400/vit-b16-8+16f.yaml`, "DATA.ANNO_DIR", project);
    assert.ok(listed.remarks.includes(
      `there is no list kinetics400_test_list.txt in "${project}": kinetics400_val_list.txt stands in for it`,
    ));
  });
  await inDistProject(async (project) => {
    const { data } = (await readDist(project, `${HOME}/k400/vit-l14-32+64f.yaml`)).tree as Record<
      string,
      Tree
    >;
    assert.deepEqual([data.dataset, data.num_classes], ["kinetics400", 400], "its base has not been copied");
  }, { without: ["projects/dist/vit_base_16_k400"] });
});

Deno.test("the bases of ViT-L/14 that are missing are those of ViT-B/16 with the other model, and its patch", async () => {
  await inDistProject(async (project) => {
    for (const [set, dataset] of [["ssv2", "ssv2"], ["k400", "kinetics400"]]) {
      const { tree, remarks } = await readDist(project, `${HOME}/${set}/vit-l14-32+64f.yaml`);
      const { data, network } = tree as Record<string, Tree>;
      assert.deepEqual([data.dataset, data.num_segments, network.arch, network.weights], [
        dataset,
        64,
        "ViT-L/14",
        "/weights/ViT-L-14.pt",
      ]);
      const home = join(project, HOME);
      assert.ok(remarks.includes(
        `"${home}/vit_large_14_${set}.yaml" is not there, as in the published repository: "${home}/vit_base_16_${set}.yaml" ` +
          "stands in, with the model file of ViT-L/14",
      ));
      assert.ok(remarks.includes(
        "VIDEO.BACKBONE.DIST.S_PATCH_SIZE is 16, as published, and cannot be: it is that of ViT-L/14",
      ));
    }
    const base = await Deno.readTextFile(join(project, HOME, "vit_base_16_ssv2.yaml"));
    await writeFile(
      join(project, HOME, "vit_large_14_ssv2.yaml"),
      base.replace("clip_vit_base_16", "clip_vit_large_14").replace("NUM_WORKERS: 8", "NUM_WORKERS: 3"),
    );
    const { tree, remarks } = await readDist(project, `${HOME}/ssv2/vit-l14-32+64f.yaml`);
    assert.equal((tree.data as Tree).workers, 3, "one that is there is read");
    assert.ok(!remarks.some((text) => text.includes("stands in")));
  });
});

Deno.test("the recipe named -eval evaluates the checkpoint that it names, under a name of its own", async () => {
  await inDistProject(async (project) => {
    const file = `${HOME}/k400/vit-b16-8+16f-eval.yaml`;
    const { tree, remarks } = await readDist(project, file);
    const { data, solver } = tree as Record<string, Tree>;
    assert.deepEqual([tree.name, tree.pretrain, solver.evaluate, data.num_segments, data.dataset], [
      "vit-b16-16+32f_k400-eval",
      "/weights/84.4.pyth",
      true,
      32,
      "kinetics400",
    ]);
    assert.ok(remarks.includes(
      `"${
        join(project, file)
      }" evaluates TEST.CHECKPOINT_FILE_PATH and does not train (TRAIN.ENABLE is false); it is the recipe ` +
        "with 16 + 32 frames, and its run is named so",
    ));
    const trained = await readDist(project, file, "TRAIN.ENABLE", "true");
    assert.equal((trained.tree.solver as Tree).evaluate, false);
  });
});

Deno.test("paths may be relative to the working folder, as the originals' are", async () => {
  await inDistProject(async (project) => {
    const path = relative(Deno.cwd(), join(project, HOME, "ssv2/vit-b16-8+16f.yaml"));
    const tree = await readTree(path);
    assert.equal(
      takeFound(await assemble(tree, { path, readTree })).tree.OUTPUT_DIR,
      "output/vit-b16-8+16f_ssv2",
    );

    await assert.rejects(loadConfig(path, ["TRAIN.BATCH_SIZE", "0"]), {
      message:
        'Cannot use argument "TRAIN.BATCH_SIZE 0": TRAIN.BATCH_SIZE must be more than 0, current value is 0',
    });
  });
});

Deno.test("a recipe is the same from within its folder", async () => {
  await inDistProject(async (project) => {
    const whole = await readDist(project, `${HOME}/k400/vit-b16-8+16f.yaml`), before = Deno.cwd();
    Deno.chdir(join(project, HOME, "k400"));
    try {
      const { tree, remarks } = await readDist("", "vit-b16-8+16f.yaml");
      assert.deepEqual(tree, whole.tree);
      assert.ok(!remarks.some((text) => text.startsWith("built-in")));
    } finally {
      Deno.chdir(before);
    }
  });
});
