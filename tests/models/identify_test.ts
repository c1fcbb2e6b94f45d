/** What a checkpoint looks like, for every published size. */
import assert from "node:assert/strict";
import { clipTower } from "../../models/clip/tower.ts";
import { backbonePlaces, describeIdentity, identify, isBackboneName } from "../../models/identify.ts";
import { createModel, EVA_PRESETS, type ModelSpec, VIT_PRESETS } from "../../models/mod.ts";
import type { ShapeSource } from "../../models/tower.ts";

function source(shapes: Iterable<readonly [string, readonly number[]]>, prefix = ""): ShapeSource {
  const map = new Map([...shapes].map(([name, shape]) => [prefix + name, shape]));
  return { names: () => map.keys(), shapeOf: (name) => map.get(name) };
}

/** Names and shapes of a model: all of it, or a part. */
function shapesOf(spec: ModelSpec, part: "all" | "frozen" | "trained"): [string, readonly number[]][] {
  return createModel(spec).weights.list
    .filter(({ kind }) => part === "all" || (kind === "frozen") === (part === "frozen"))
    .map(({ name, shape }) => [name, shape]);
}

const sizes = { frames: 8, sideDim: 320, classes: 174 };

for (const [name, backbone] of Object.entries(VIT_PRESETS)) {
  Deno.test(`identify() tells ${name}, and networks trained on it, with and without the backbone`, () => {
    for (const [system, title] of [["side4video", "Side4Video"], ["tds-clip", "TDS-CLIP"]] as const) {
      const spec: ModelSpec = { system, sizes: { ...sizes, backbone }, backboneDtype: "f32" };
      const whole = identify(source(shapesOf(spec, "all")));
      assert.deepEqual(whole, {
        system: title,
        backbone: name,
        classes: 174,
        sideDim: 320,
        holdsBackbone: true,
        layout: "OpenAI",
        holdsTrained: true,
      });
      assert.equal(
        describeIdentity(whole),
        `${title} on ${name} with 174 classes (side_dim 320), backbone included`,
      );
      const side = identify(source(shapesOf(spec, "trained")));
      assert.deepEqual(side, { ...whole, holdsBackbone: false, layout: null });
      for (const [weight] of shapesOf(spec, "trained")) assert.equal(isBackboneName(weight), false, weight);
      for (const [weight] of shapesOf(spec, "frozen")) assert.equal(isBackboneName(weight), true, weight);
    }
    const spec: ModelSpec = { system: "side4video", sizes: { ...sizes, backbone }, backboneDtype: "f32" };
    const clip = identify(source(shapesOf(spec, "frozen")));
    assert.deepEqual([clip.system, clip.backbone, clip.holdsTrained], ["CLIP", name, false]);
    assert.equal(describeIdentity(clip), `CLIP ${name}`);
  });
}

for (const name of ["EVA02-CLIP-bigE-14", "EVA02-CLIP-L-14", "EVA02-CLIP-L-14-336"]) {
  Deno.test(`identify() tells ${name} and a Side4Video on it`, () => {
    const spec: ModelSpec = {
      system: "side4video",
      sizes: { ...sizes, backbone: EVA_PRESETS[name] },
      backboneDtype: "f32",
    };
    const eva = identify(source(shapesOf(spec, "frozen")));
    const alone = shapesOf(spec, "frozen").map(([name, shape]) =>
      [name.replace("visual.", ""), shape] as const
    );
    for (const [prefix, shapes] of [["", alone], ["module.image.", shapesOf(spec, "frozen")]] as const) {
      assert.deepEqual([eva.backbone, "EVA-CLIP"], [
        identify(source(shapes, prefix)).backbone,
        identify(source(shapes, prefix)).layout?.split(",")[0],
      ]);
    }
    assert.deepEqual([eva.system, eva.backbone], ["EVA-CLIP", name]);
    for (const part of ["all", "trained"] as const) {
      const found = identify(source(shapesOf(spec, part)));
      assert.deepEqual([found.system, found.backbone, found.classes], ["Side4Video", name, 174]);
    }
    for (const [weight] of shapesOf(spec, "trained")) assert.equal(isBackboneName(weight), false, weight);
    for (const [weight] of shapesOf(spec, "frozen")) assert.equal(isBackboneName(weight), true, weight);
  });
}

Deno.test("identify() tells DiST under both of its naming schemes, and says when it knows nothing", () => {
  const layers = Array.from({ length: 24 }, (_, i) => i);
  const dist = source([
    ["dist_net.temporal_stem.weight", [96, 3, 5, 14, 14]],
    ...layers.map((i) => [`dist_net.input_linears.${i}.weight`, [384, 1024]] as const),
    ["visual.class_embedding", [1024]],
  ], "backbone.base_encoder.");
  assert.deepEqual([identify(dist).system, identify(dist).backbone, identify(dist).sideDim], [
    "DiST",
    "ViT-L/14",
    384,
  ]);
  const early = source([
    ["ladder_net.temporal_stem.weight", [96, 3, 5, 16, 16]],
    ...layers.slice(0, 12).map((i) => [`ladder_net.input_map_feat_nets.${i}.weight`, [384, 768]] as const),
    ["visual.class_embedding", [768]],
  ], "backbone.base_encoder.");
  assert.deepEqual([identify(early).system, identify(early).backbone], ["DiST", "ViT-B/16"]);
  assert.equal(isBackboneName("backbone.base_encoder.dist_net.proj"), false);
  assert.equal(isBackboneName("backbone.base_encoder.visual.proj"), true);
  assert.equal(describeIdentity(identify(source([["fc.weight", [5, 32]]]))), "no model known here");
});

Deno.test("identify() tells a retrieval network by its prefix, and DiST also without its own", () => {
  const backbone = VIT_PRESETS["ViT-B/16"], text = clipTower.text(backbone, clipTower.texts["ViT-B/16"]);
  const trained = shapesOf(
    {
      system: "side4video_retrieval",
      sizes: { ...sizes, backbone, text, words: 32, interaction: "mean", trainsText: true, tokens: null },
      backboneDtype: "f32",
    },
    "trained",
  );
  const retrieval = identify(source(trained, "clip."));
  assert.deepEqual([retrieval.system, retrieval.backbone, retrieval.classes], [
    "Side4Video retrieval",
    "ViT-B/16",
    null,
  ]);
  const dist = identify(source([["dist_net.input_linears.0.weight", [384, 768]]]));
  assert.deepEqual([dist.system, dist.sideDim, dist.holdsBackbone], ["DiST", 384, false]);
});

Deno.test("backbonePlaces() adds what the trained system's own checkpoints hold, and no more", () => {
  const names = (places: Map<string, string>) => [...places.values()].sort();
  const clip = source(
    [
      "visual.conv1.weight",
      "visual.proj",
      "visual.ln_post.bias",
      "transformer.resblocks.0.ln_1.bias",
      "logit_scale",
      "vocab_size",
    ]
      .map((name) => [name, [1]] as const),
  );
  const side = source([["visual.side_conv1.weight", [320, 3, 3, 16, 16]]]);
  assert.deepEqual(names(backbonePlaces(side, clip)), ["visual.conv1.weight"]);
  const wrapper = "backbone.base_encoder.";
  const dist = source(
    [["dist_net.input_linears.0.weight", [384, 768]], ["visual.class_embedding", [768]]],
    wrapper,
  );
  assert.deepEqual(names(backbonePlaces(dist, clip)), [
    `${wrapper}logit_scale`,
    `${wrapper}transformer.resblocks.0.ln_1.bias`,
    `${wrapper}visual.conv1.weight`,
    `${wrapper}visual.ln_post.bias`,
    `${wrapper}visual.proj`,
  ]);
});
