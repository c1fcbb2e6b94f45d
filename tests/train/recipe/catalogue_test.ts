/** The catalogue of keys is complete and true, and docs/config.md is what it says now. */
import assert from "node:assert/strict";
import { CONFIG_PAGE } from "../../../tools/config_page.ts";
import { catalogue, type CatalogueKey, findKeys } from "../../../train/recipe/catalogue.ts";
import { configPage, keyFacts } from "../../../train/recipe/key_text.ts";
import { parseConfig } from "../../../train/recipe/config.ts";
import { recipeSchema } from "../../../train/recipe/schema.ts";

const KEYS = catalogue();
const keyOf = (name: string): CatalogueKey => KEYS.find((key) => key.name === name)!;

Deno.test("every key and every optional section of the schema is in the catalogue, with a text and its values", () => {
  const { names } = recipeSchema(), found = KEYS.map(({ name }) => name);
  const sections = ["data", "network", "solver", "logging"];
  assert.deepEqual(found.toSorted(), names.filter((name) => !sections.includes(name)).toSorted());
  for (const { name, help, values } of KEYS) {
    assert.notEqual(help, "", name);
    assert.match(values, /^(?!any value)./, name);
    assert.doesNotMatch(values, /undefined|object/, name);
  }
});

Deno.test("values are told in words, with their limits", () => {
  const wordsOf = (name: string) => keyFacts(keyOf(name)).value;
  assert.equal(wordsOf("data.num_segments"), "default 8; whole number from 1 to 8,192");
  assert.equal(wordsOf("data.val_share"), "default 0.1; number above 0 and below 1");
  assert.equal(wordsOf("data.drop_last"), "default auto; auto, true or false");
  assert.equal(wordsOf("data.colour_jitter.hue"), "default 0.1; number from 0 to 0.5");
  assert.equal(wordsOf("data.synth.speed"), "default [2,4]; [number above 0, number above 0]");
  assert.equal(wordsOf("network.backbone.image_size"), "to be given; whole number from 1 to 8,192");
  assert.equal(wordsOf("network.backbone"), "default null; its keys, or null");
  assert.equal(
    wordsOf("solver.lr_decay_step"),
    "default null; whole number from 1 to 1,000,000, null or list of numbers from 0",
  );
});

Deno.test("defaults are those of a recipe that leaves the key out", () => {
  const { config } = parseConfig("data: {num_classes: 2}\nnetwork: {arch: ViT-B/32}\nname: any\n");
  const left = ["solver.lr", "data.workers", "logging.example_clips", "memory", "network.side_dim"];
  for (const name of left) {
    const value = name.split(".").reduce<unknown>(
      (tree, part) => (tree as Record<string, unknown>)[part],
      config,
    );
    assert.equal(keyOf(name).default, value, name);
  }
});

Deno.test("a key tells who reads it and its published names", () => {
  assert.equal(keyOf("solver.lr").systems, null);
  assert.deepEqual(keyOf("data.num_diff").systems, ["tds-clip"]);
  assert.ok(keyOf("network.text.width").systems!.length > 1);
  assert.deepEqual(keyOf("network.text.width").systems, keyOf("network.text").systems);
  assert.doesNotMatch(keyOf("data.num_diff").help, /^tds-clip/);
  assert.ok(!keyOf("solver.smoothing").systems!.includes("clip"));
  assert.deepEqual(keyOf("data.shots").published, [{ dialect: "side4video", names: ["data.shot"] }]);
  assert.deepEqual(keyOf("solver.lr").published, [{ dialect: "dist", names: ["OPTIMIZER.BASE_LR"] }]);
});

Deno.test("findKeys() finds sections, keys, published names and words of texts", () => {
  const names = (word: string) => findKeys(KEYS, word).map(({ name }) => name);
  assert.ok(names("solver").every((name) => name.startsWith("solver.")));
  assert.ok(names("data.synth").includes("data.synth.kind") && names("data.synth")[0] === "data.synth");
  assert.deepEqual(names("solver.lr"), ["solver.lr"]);
  assert.deepEqual(names("solver.lr=0.1"), ["solver.lr"]);
  assert.deepEqual(names("BASE_LR"), ["solver.lr"]);
  assert.ok(names("JPEG").includes("data.synth.quality"));
  assert.deepEqual(names("no such word"), []);
});

Deno.test("docs/config.md is current", async () => {
  assert.equal(
    await Deno.readTextFile(CONFIG_PAGE),
    configPage(KEYS),
    "docs/config.md is of another schema: run ./denow task docs:config",
  );
});

Deno.test("a value that is one of a few words has these as its choices, and none where it may be any text or a list", () => {
  const choices = (name: string) => KEYS.find((key) => key.name === name)!.choices;
  assert.deepEqual(choices("memory"), ["recompute", "keep", "least"]);
  assert.deepEqual(choices("data.flip"), ["auto", "none", "plain", "sth"]);
  assert.deepEqual(choices("solver.mixup"), ["true", "false"]);
  assert.deepEqual(choices("data.min_frames"), ["auto"]); // or a number
  const none = [
    "solver.lr",
    "network.weights",
    "data.synth.frames_per_clip",
    "data.synth.classes",
    "solver.ema",
  ];
  for (const name of none) assert.deepEqual(choices(name), [], name);
  for (const { name, choices } of KEYS) for (const word of choices) assert.match(word, /^[\w./+-]+$/, name);
});
