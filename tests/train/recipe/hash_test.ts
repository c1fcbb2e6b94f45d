import assert from "node:assert/strict";
import { parseConfig } from "../../../train/recipe/config.ts";
import { recipeHash } from "../../../train/recipe/hash.ts";

function hashOf(...overrides: string[]): string {
  return recipeHash(parseConfig("data: {num_classes: 4}", { source: "a.yaml", overrides }).config);
}

Deno.test("a recipe's hash tells settings apart, and not where things lie or what they are called", () => {
  const plain = hashOf();
  assert.match(plain, /^[0-9a-f]{12}$/);
  for (
    const place of [
      "name=other",
      "run_root=/elsewhere",
      "data.root=/data",
      "data.train_list=/data/a.txt",
      "data.workers=7",
      "logging.print_freq=3",
      "network.weights=/weights/ViT-B-16.pt",
    ]
  ) assert.equal(hashOf(place), plain, place);
  assert.equal(hashOf("data.frame_cache=/a"), hashOf("data.frame_cache=/b"));
  const settings = [
    "data.frame_cache=/a",
    "data.frame_cache=null",
    "data.frame_cache=run",
    "solver.lr=0.5",
    "seed=7",
    "data.num_classes=5",
    "solver.smoothing=0",
    "data.batch_size=3",
  ];
  const hashes = new Set([plain, ...settings.map((setting) => hashOf(setting))]);
  assert.equal(hashes.size, 1 + settings.length);
});

Deno.test("a recipe's hash does not depend on the order of its keys", () => {
  const { config } = parseConfig("data: {num_classes: 4}", { source: "a.yaml" });
  const turned = (value: unknown): unknown =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).reverse().map(([key, own]) => [key, turned(own)]))
      : value;
  assert.equal(recipeHash(turned(config) as typeof config), recipeHash(config));
});
