/** Which arguments of a verb go to its recipe: `key=value`, and the pairs of recipes that have keys in capitals. */
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { encodeSafetensors } from "../../data/checkpoint/safetensors.ts";
import * as bench from "../../cli/bench.ts";
import * as evaluate from "../../cli/eval.ts";
import * as extract from "../../cli/extract.ts";
import * as plan from "../../cli/plan.ts";
import * as train from "../../cli/train.ts";
import { splitAssignments, splitOverrides } from "../../cli/shared/overrides.ts";
import { inDistProject } from "../_util/dist_project.ts";
import { inTempFolder } from "../_util/frame_folders.ts";
import { runVerb } from "../_util/run_verb.ts";

Deno.test("what looks like a key of a section is one, unless a file of that name is there", async () => {
  await inTempFolder(async (root) => {
    const file = join(root, "a.b=c");
    await writeFile(file, "");
    const keys = ["data.num_segments=4", "data.num_segmnts=4", "dta.num_segments=4", "PAI=False"];
    const others = ["clips", "a=b/00001", "clips/data.x=1", file];
    assert.deepEqual(splitOverrides([...keys, ...others]), { overrides: keys, others });
    const before = Deno.cwd();
    Deno.chdir(root);
    try {
      assert.deepEqual(splitOverrides(["a.b=c", "a.c=c"]), { overrides: ["a.c=c"], others: ["a.b=c"] });
    } finally {
      Deno.chdir(before);
    }
  });
});

Deno.test("a key in capitals takes the argument behind it along, whatever that is; folders and files stay what they are", async () => {
  const pairs = ["DATA.DATA_ROOT_DIR", "/data/a=b", "TRAIN.BATCH_SIZE", "64", "PAI", "False", "data.seed=1"];
  for (const split of [splitAssignments, splitOverrides]) {
    assert.deepEqual(split(["recipe.yaml", ...pairs.slice(0, 3), "64", "videos", ...pairs.slice(4)]), {
      overrides: pairs,
      others: ["recipe.yaml", "videos"],
    });
    assert.deepEqual(split(["TRAIN.BATCH_SIZE", "DATA.ANNO_DIR", "x", "OUTPUT_DIR"]), {
      overrides: ["TRAIN.BATCH_SIZE", "DATA.ANNO_DIR", "x", "OUTPUT_DIR"],
      others: [],
    });
    assert.deepEqual(split(["TRAIN", "VIDEO", "IMG_1.MP4", "A"]).overrides, []);
  }
  await inTempFolder(async (root) => {
    const before = Deno.cwd();
    Deno.chdir(root);
    try {
      await mkdir("PAI");
      assert.deepEqual(splitAssignments(["PAI", "recipe.yaml"]), {
        overrides: [],
        others: ["PAI", "recipe.yaml"],
      });
    } finally {
      Deno.chdir(before);
    }
  });
});

Deno.test("every verb that takes a recipe hands it its pairs", async () => {
  await inDistProject(async (project) => {
    const recipe = join(project, "configs/projects/dist/ssv2/vit-b16-8+16f.yaml");
    const weights = join(project, "weights.safetensors");
    const tensor = { name: "x", dtype: "F32" as const, shape: [1], data: new Float32Array(1) };
    await writeFile(weights, [...encodeSafetensors([tensor], {})]);
    // The value of the first pair is a folder, which is none of class folders; the second one is refused by the recipe.
    const pairs = ["DATA.DATA_ROOT_DIR", project, "TRAIN.BATCH_SIZE", "0"];
    const message =
      'Cannot use argument "TRAIN.BATCH_SIZE 0": TRAIN.BATCH_SIZE must be more than 0, current value is 0';
    await assert.rejects(runVerb(train, ["--plan-only", recipe, ...pairs]), { name: "ConfigError", message });
    await assert.rejects(runVerb(plan, [recipe, ...pairs]), { message });
    await assert.rejects(runVerb(extract, [recipe, ...pairs, "--out", join(project, "features")]), {
      message,
    });
    await assert.rejects(runVerb(evaluate, [weights, ...pairs, "--config", recipe]), { message });
    await assert.rejects(runVerb(bench, ["step", "--config", recipe, "--set", "TRAIN.BATCH_SIZE=0"]), {
      message: message.replace("SIZE 0", "SIZE=0"),
    });
    await assert.rejects(runVerb(train, [recipe, "TRAIN.BATCH_SIZE"]), {
      message:
        'Cannot use argument "TRAIN.BATCH_SIZE": its value must come behind it, current value is missing',
    });
    await assert.rejects(runVerb(evaluate, [weights, "more", "again", "--config", recipe]), {
      message: 'Cannot run "sidenet eval": there is no place for the argument "again"',
    });
  });
});

Deno.test("a recipe in its own layout has no pairs", async () => {
  await assert.rejects(runVerb(plan, ["configs/demo.yaml", "TRAIN.BATCH_SIZE", "4"]), {
    message: 'Cannot use argument "TRAIN.BATCH_SIZE": it must have the form key=value',
  });
});
