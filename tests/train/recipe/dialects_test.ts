/** Dialects: published shapes of recipes, and one that is registered here, with parents, arguments and a tree of its own. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { writeFile } from "node:fs/promises";
import { encodeSafetensors } from "../../../data/checkpoint/safetensors.ts";
import { findTrainedModel } from "../../../train/evaluation/trained_model.ts";
import { ConfigError } from "../../../lib/errors.ts";
import { loadConfig, parseConfig } from "../../../train/recipe/config.ts";
import type { Dialect } from "../../../train/recipe/dialects/dialect.ts";
import { registerDialect } from "../../../train/recipe/dialects/registry.ts";
import { isTree, setLeaf, type Tree } from "../../../train/recipe/tree.ts";
import { inTempFolder } from "../../_util/frame_folders.ts";

const DATA = "data: { num_classes: 3 }\n";

Deno.test("a key that neither the recipe nor the published files have is refused, with the nearest of both", () => {
  const refused = (text: string, message: string) =>
    assert.throws(() => parseConfig(text, { source: "x.yaml" }), { name: "ConfigError", message });
  refused(
    `${DATA}solver: { layer_decai: 1 }`,
    'Cannot read config "x.yaml": key "solver.layer_decai" is not known; the nearest known key is "solver.layer_decay"',
  );
  refused(
    `${DATA}network: { side_dims: 64 }`,
    'Cannot read config "x.yaml": key "network.side_dims" is not known; the nearest known key is "network.side_dim"',
  );
  refused(
    `${DATA}solver: { layer_decay: x }`,
    'Cannot read config "x.yaml": solver.layer_decay must be a number, current value is "x"',
  );
});

Deno.test("data.shot is the published name of data.shots with data.shots_repeat", () => {
  const { data } = parseConfig("data: { num_classes: 3, shot: 4 }").config;
  assert.deepEqual([data.shots, data.shots_repeat], [4, true]);
  assert.throws(() => parseConfig("data: { num_classes: 3, shot: 4, shots: 4 }"), {
    message:
      'Cannot use config "config": data.shot must be null when data.shots is given: it is the published name of that, current value is 4',
  });
});

/** Keys of its own, a parent in `_PARENT` beside the file, and `KEY VALUE` arguments; `key=value` goes to the recipe. */
const dialect: Dialect = {
  id: "shouting",
  recognises: (tree) => "_PARENT" in tree || "SHOUT" in tree,
  async assemble(tree, file) {
    if (typeof tree._PARENT !== "string") return tree;
    const path = join(file.path, "..", tree._PARENT);
    return merge(await this.assemble!(await file.readTree(path), { ...file, path }), tree);
  },
  read(tree, { source, args }) {
    const rest = args.filter((arg) => arg.includes("="));
    const pairs = args.filter((arg) => !arg.includes("="));
    const setBy = new Map<string, string>();
    for (let i = 0; i < pairs.length; i += 2) {
      setLeaf(tree, pairs[i], JSON.parse(pairs[i + 1]));
      if (pairs[i] === "SHOUT.LR") setBy.set("solver.lr", pairs.slice(i, i + 2).join(" "));
    }
    const { SHOUT, _PARENT, ...others } = tree as { SHOUT: Tree; _PARENT?: string };
    for (const key of Object.keys(others)) throw new ConfigError(`Cannot read config "${source}": ${key}`);
    const { LR, CLASSES } = SHOUT;
    return {
      tree: { system: "side4video", data: { num_classes: CLASSES }, solver: { lr: LR } },
      rest,
      setBy,
      keysWithoutEffect: pairs.length > 0 ? ["SHOUT.OLD", "SHOUT.OLDER"] : [],
      keysUnread: pairs.length > 0 ? ["SHOUT.LOUDLY"] : [],
      remarks: ["this recipe is shouted"],
    };
  },
};

function merge(base: Tree, own: Tree): Tree {
  const merged = { ...base };
  for (const [key, value] of Object.entries(own)) {
    const before = merged[key];
    merged[key] = isTree(before) && isTree(value) ? merge(before, value) : value;
  }
  return merged;
}

Deno.test("a dialect of its own reads the file's parents, takes its arguments and leaves the others to the recipe", async () => {
  registerDialect(dialect);
  assert.throws(() => registerDialect(dialect), /its id must be a new one, current value is "shouting"/);
  await inTempFolder(async (root) => {
    await writeFile(join(root, "base.yaml"), "SHOUT: { LR: 0.5, CLASSES: 7 }");
    await writeFile(join(root, "middle.yaml"), "_PARENT: base.yaml\nSHOUT: { CLASSES: 8 }");
    const path = join(root, "leaf.yaml");
    await writeFile(path, "_PARENT: ./middle.yaml\nSHOUT: { LR: 0.25 }");

    const { config, warnings } = await loadConfig(path);
    assert.deepEqual([config.name, config.data.num_classes, config.solver.lr], ["leaf", 8, 0.25]);
    assert.deepEqual(warnings, ["this recipe is shouted"]);
    const weights = join(root, "weights.safetensors");
    const tensor = { name: "x", dtype: "F32" as const, shape: [1], data: new Float32Array(1) };
    await writeFile(weights, [...encodeSafetensors([tensor], {})]);
    const { remarks } = await findTrainedModel(weights, { config: path, overrides: [] });
    assert.deepEqual(remarks, warnings, "what stands in for what is told whatever is done with a recipe");

    const changed = await loadConfig(path, ["SHOUT.LR", "0.125", "data.batch_size=2"]);
    assert.deepEqual([changed.config.solver.lr, changed.config.data.batch_size], [0.125, 2]);
    assert.deepEqual(changed.warnings, [
      "keys without effect, as in the published code: SHOUT.OLD, SHOUT.OLDER; keys that are not read here: SHOUT.LOUDLY",
      "this recipe is shouted",
    ]);
    await assert.rejects(loadConfig(path, ["SHOUT.LR", '"x"']), {
      message: 'Cannot use argument "SHOUT.LR "x"": solver.lr must be a number, current value is "x"',
    });
    await assert.rejects(loadConfig(path, ["data.batch_sise=2"]), /nearest known key is "data\.batch_size"/);

    await writeFile(path, "_PARENT: nowhere.yaml");
    await assert.rejects(loadConfig(path), {
      name: "ConfigError",
      message: `Cannot read config "${join(root, "nowhere.yaml")}": there is no such file`,
    });
  });
});

Deno.test("a recipe that may name others is read from a file alone", () => {
  assert.throws(
    () => parseConfig("_PARENT: x", { source: "y" }),
    /Cannot read config "y": a recipe in the form of "shouting" may name others, so it must be a file/,
  );
});
