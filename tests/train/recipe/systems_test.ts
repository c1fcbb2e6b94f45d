/** A system that is registered at run time: its keys, its checks and its model in recipes. */

import assert from "node:assert/strict";
import { z } from "zod";
import { registerSystem } from "../../../models/registry.ts";
import type { System } from "../../../models/system.ts";
import { picturesOfView, readRule } from "../../../train/feed/sampling.ts";
import { formatConfig, parseConfig } from "../../../train/recipe/config.ts";
import { modelSpec } from "../../../train/recipe/model.ts";
import { recipeSchema } from "../../../train/recipe/schema.ts";

/** A system that no recipe test builds. */
function toy(id: string, recipe: System["recipe"]): System {
  return {
    id,
    title: "Toy",
    task: "classification",
    recipe,
    build: () => assert.fail("recipes build nothing"),
    head: [],
    files: {
      prefix: "",
      recognise: () => null,
      holdsOfBackbone: () => false,
      explain: () => "",
    },
    cases: [],
  };
}

const RECIPE: System["recipe"] = {
  keys: {
    data: { toy_gap: z.number().int().nullable().default(null).describe("toy: pictures around a frame") },
    network: { toy_depth: z.number().int().default(2).describe("toy: layers") },
  },
  claims: (data) => data.toy_gap != null,
  settle: ({ data }) => ({ data: { toy_gap: data.toy_gap ?? 3 } }),
  requirements: ({ network }) => [
    [(network.toy_depth as number) > 0, "network.toy_depth", "be more than 0", network.toy_depth],
  ],
  foreignRequirements: ({ data }, system) => [
    [data.toy_gap === null, "data.toy_gap", `be null when system is ${system}`, data.toy_gap],
  ],
  remarks: ({ network }) => network.toy_depth === 1 ? ["a toy of one layer is shallow"] : [],
  sizes: ({ data, network }) => ({ classes: data.num_classes, depth: network.toy_depth }),
  groups: ({ solver }) => [{ name: "all", lrScale: 1, weightDecay: solver.weight_decay }],
  pictureWindow: ({ data }) => ({ size: data.toy_gap as number, edge: "clamp" }),
};

const DATA = "data: { num_classes: 3 }\n";

Deno.test("a system that is registered later is known to recipes from then on", () => {
  const before = recipeSchema();
  assert.throws(() => parseConfig(`system: toy\n${DATA}`), /system must be one of "side4video", "tds-clip"/);
  assert.equal(recipeSchema(), before);
  registerSystem(toy("toy", RECIPE));

  const { config, warnings } = parseConfig(`system: toy\n${DATA}network: { toy_depth: 1 }`);
  assert.deepEqual(warnings, ["a toy of one layer is shallow"]);
  assert.deepEqual(modelSpec(config).sizes, { classes: 3, depth: 1 });
  assert.equal(picturesOfView(config), 24);
  assert.deepEqual(readRule(config, () => [5])(9, null), [4, 5, 6]);
  assert.deepEqual(parseConfig(formatConfig(config)).config, config);
  assert.throws(
    () => parseConfig(DATA, { overrides: ["system=toy", "network.toy_depth=0"] }),
    { message: 'Cannot use config "config": network.toy_depth must be more than 0, current value is 0' },
  );
  assert.throws(
    () => parseConfig(DATA, { overrides: ["system=toy", "network.toy_depth=x"] }),
    /Cannot use argument "network\.toy_depth=x": network\.toy_depth must be a number/,
  );
  assert.throws(
    () => parseConfig(DATA, { overrides: ["network.toy_dept=1"] }),
    /the nearest known key is "network\.toy_depth"/,
  );
});

Deno.test("solver.type auto is the published schedule of a system, where it names one", () => {
  const recipe: System["recipe"] = { keys: {}, requirements: () => [], sizes: () => ({}), groups: () => [] };
  registerSystem({ ...toy("scheduled", recipe), schedule: "running_cosine" });
  const typeOf = (text: string) => parseConfig(`${text}\n${DATA}`).config.solver.type;
  assert.equal(typeOf("system: scheduled"), "running_cosine");
  assert.equal(typeOf("system: scheduled\nsolver: { type: multistep, lr_decay_step: 9 }"), "multistep");
  assert.equal(typeOf("system: side4video"), "cosine");
});

Deno.test("a recipe that names no system is of the one that its keys tell", () => {
  assert.equal(parseConfig(DATA, { overrides: ["data.toy_gap=1"] }).config.system, "toy");
  assert.equal(parseConfig(DATA).config.system, "side4video");
  assert.throws(
    () => parseConfig(DATA, { overrides: ["system=side4video", "data.toy_gap=1"] }),
    /data\.toy_gap must be null when system is side4video, current value is 1/,
  );
});

Deno.test("a system's keys stand behind those of the systems before it, with their help", () => {
  const { keys } = recipeSchema();
  const names = keys.map(({ name }) => name);
  const around = (name: string) => names.slice(names.indexOf(name) - 1, names.indexOf(name) + 2);
  assert.deepEqual(around("data.toy_gap"), ["data.slice_framepos", "data.toy_gap", "data.image_tmpl"]);
  assert.deepEqual(around("network.toy_depth"), [
    "network.train",
    "network.toy_depth",
    "network.sync_bn",
  ]);
  assert.equal(keys.find(({ name }) => name === "network.toy_depth")?.help, "toy: layers");
});

Deno.test("two systems may share a key", () => {
  registerSystem(toy("toy-2", { ...RECIPE, claims: undefined }));
  assert.equal(recipeSchema().keys.filter(({ name }) => name === "data.toy_gap").length, 1);
  assert.equal(picturesOfView(parseConfig(`system: toy-2\n${DATA}`).config), 24);
});

Deno.test("a key that other systems' recipes cannot leave out is refused with its system", () => {
  registerSystem(toy("toy-3", { ...RECIPE, keys: { network: { toy_width: z.number() } } }));
  assert.throws(() => parseConfig(DATA), {
    name: "RangeError",
    message: 'Cannot use the system "toy-3": its key network.toy_width must have a default: ' +
      "other systems' recipes leave it out",
  });
});
