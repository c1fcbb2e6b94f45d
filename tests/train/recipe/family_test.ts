/** The family of DiST's rules: which recipes have it, what it settles, what it refuses, and what its keys become. */
import assert from "node:assert/strict";
import { publishedFloatRecipe } from "../../../data/transforms/recipe.ts";
import { systemOf, SYSTEMS } from "../../../models/registry.ts";
import { formatConfig, parseConfig, transformRecipe } from "../../../train/recipe/config.ts";

const load = (...overrides: string[]) =>
  parseConfig("system: side4video\ndata: { num_classes: 400 }", { source: "x.yaml", overrides });
const dataOf = (...overrides: string[]) => load("data.family=dist", ...overrides).config.data;

Deno.test("the family takes DiST's published transforms, of either data set, for any system", () => {
  const something = ["data.dataset=ssv2", "data.num_classes=174"];
  const recipe = (...more: string[]) => transformRecipe({ data: dataOf(...more) });
  assert.deepEqual(recipe("data.dataset=kinetics400"), publishedFloatRecipe("kinetics"));
  assert.deepEqual(recipe(...something), publishedFloatRecipe("sth"));
  for (const { id } of SYSTEMS.filter(({ captions }) => !captions)) {
    const { config } = load(`system=${id}`, "data.family=dist");
    assert.equal(transformRecipe(config).float?.testSide, 224, id);
  }
  const settled = load("data.family=dist").config;
  assert.deepEqual(parseConfig(formatConfig(settled), { source: "x.yaml" }).config, settled);
});

Deno.test("family auto is the system's own where it has one, and any other can be asked for", () => {
  const { recipe } = systemOf("side4video");
  assert.equal(load().config.data.family, "kinetics");
  Object.assign(recipe, { family: "dist" });
  try {
    const { data } = load("data.dataset=something").config;
    assert.deepEqual([data.family, data.resize, data.crop, data.test_side], [
      "dist",
      "short",
      "random_resized",
      224,
    ]);
    assert.equal(load("data.family=sth").config.data.family, "sth");
    assert.equal(load("data.family=kinetics").config.data.resize, "kinetics");
  } finally {
    delete (recipe as { family?: unknown }).family;
  }
});

Deno.test("which clips are mirrored how goes by the data set, not by the family", () => {
  const flip = (dataset: string, classes: number) =>
    dataOf(`data.dataset=${dataset}`, `data.num_classes=${classes}`).flip;
  assert.deepEqual(
    [flip("ssv2", 174), flip("sth_v1", 174), flip("ssv2", 20), flip("kinetics400", 400), flip("own", 174)],
    ["sth", "sth", "none", "plain", "plain"],
  );
  const none = transformRecipe({ data: dataOf("data.flip=none", "data.grey=0.5") });
  assert.deepEqual([none.flipProbability, none.greyProbability], [0, 0.5]);
});

Deno.test("its keys reach the transforms", () => {
  const jitter = { probability: 0.5, brightness: 0.1, contrast: 0.2, saturation: 0.3, hue: 0.4 };
  const { float, colourJitter, crop, resize } = transformRecipe({
    data: dataOf(
      "data.test_side=256",
      "data.crop_scale=[0.08, 0.9]",
      "data.crop_ratio=[0.5, 2]",
      "data.crop=centre",
      `data.colour_jitter=${JSON.stringify(jitter)}`,
    ),
  });
  assert.deepEqual(float, { area: [0.08, 0.9], ratio: [0.5, 2], mirror: "frames", testSide: 256 });
  assert.deepEqual([colourJitter, crop, resize], [jitter, "centre", { kind: "shortSide", side: 256 }]);
});

for (
  const [override, message] of [
    ["data.resize=sth", /data\.resize must be auto or short in the family dist/],
    ["data.resize=[256, 320]", /data\.resize must be auto or short/],
    ["data.crop=none", /data\.crop must be auto, random_resized or centre in the family dist/],
    ["data.crop=random", /data\.crop must be auto, random_resized or centre/],
    ["data.dense=true", /data\.dense must be false in the family dist/],
    ["data.test_side=223", /data\.test_side must be at least data\.input_size \(224\), current value is 223/],
    ["data.crop_scale=[0.9, 0.4]", /data\.crop_scale must be the least and the most area/],
    ["data.crop_ratio=[2, 1]", /data\.crop_ratio must be the least and the most shape/],
    ["data.crop_scale=[0, 1]", /data\.crop_scale/],
    ["data.target_fps=0", /data\.target_fps/],
    ["data.frame_interval=1.5", /data\.frame_interval/],
    ["data.frame_rule=uniform", /data\.frame_rule/],
  ] as [string, RegExp][]
) {
  Deno.test(`the family refuses ${override}`, () => {
    assert.throws(() => load("data.family=dist", override), message);
  });
}

Deno.test("keys of the family are told to have no effect in another", () => {
  const { warnings } = load("data.frame_rule=interval", "data.test_side=256", "data.crop_scale=[0.5, 1]");
  for (const key of ["frame_rule", "test_side", "crop_scale"]) {
    assert.ok(
      warnings.some((text) => text.startsWith(`data.${key} has no effect in the family kinetics`)),
      key,
    );
  }
  assert.equal(warnings.length, 3);
  assert.deepEqual(load("data.family=dist", "data.test_side=256").warnings, []);
});
