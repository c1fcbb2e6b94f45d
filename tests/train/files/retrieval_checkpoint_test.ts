/** Checkpoints of a network for retrieval under its original's names, both ways, from their shapes alone. */
import assert from "node:assert/strict";
import { DataError } from "../../../lib/errors.ts";
import { VIT_PRESETS } from "../../../models/clip/tower.ts";
import { createModel } from "../../../models/create.ts";
import { backbonePlaces, frozenNames, identify } from "../../../models/identify.ts";
import type { WeightKind, WeightSource } from "../../../models/params.ts";
import { originalName, underOwnNames } from "../../../models/parts/file_names.ts";
import { systemOf } from "../../../models/registry.ts";
import { towerOf } from "../../../models/towers.ts";
import { checkTrained } from "../../../train/files/checkpoint.ts";

const ARCH = "ViT-B/16", BACKBONE = VIT_PRESETS[ARCH], TOWER = towerOf(BACKBONE);
const TEXT = TOWER.text(BACKBONE, TOWER.texts[ARCH]);
const COMMON = { backbone: BACKBONE, text: TEXT, frames: 12, words: 32, tokens: null, sideDim: 320 };

const system = systemOf("side4video_retrieval");
const model = createModel({
  system: system.id,
  sizes: { ...COMMON, interaction: "wti", trainsText: true },
  backboneDtype: "f32",
});
const recognition = createModel({
  system: "side4video",
  sizes: { ...COMMON, classes: 9 },
  backboneDtype: "f32",
});
const clip = createModel({ system: "clip", sizes: { ...COMMON, trains: false }, backboneDtype: "f32" });

type Shapes = [name: string, shape: readonly number[]][];

function shapesOf({ weights }: typeof model, kinds: readonly WeightKind[]): Shapes {
  const listed = weights.list.filter(({ kind }) => kinds.includes(kind));
  return [
    ...listed.map(({ name, shape }): Shapes[number] => [name, shape]),
    ...kinds.includes("statistic") ? weights.counters.map((name): Shapes[number] => [name, []]) : [],
  ];
}

function source(shapes: Shapes): WeightSource {
  const tensors = new Map(shapes);
  return {
    label: "model.pt",
    names: () => tensors.keys(),
    shapeOf: (name) => tensors.get(name),
    readF32: (name) => Promise.resolve(new Float32Array([name.length])),
  };
}

const inFiles = (shapes: Shapes): Shapes =>
  shapes.map(([name, shape]) => [originalName(system.files, name), shape]);

const whole = source(inFiles(shapesOf(model, ["frozen", "trained", "statistic"])));
const trained = source(inFiles(shapesOf(model, ["trained", "statistic"])));
const backbone = source([...shapesOf(clip, ["frozen"]), ["input_resolution", []]]);

Deno.test("a whole checkpoint of the original, and one of the trained weights alone, fill the network", () => {
  for (const file of [whole, trained]) {
    const { wanted, left } = checkTrained(model, file, { system, head: "strict" });
    // All entries but the counters and what is frozen of the image tower.
    assert.deepEqual([wanted.length, left], [684 - 26 - 149, []]);
  }
  assert.deepEqual(identify(whole), {
    system: "Side4Video retrieval",
    backbone: ARCH,
    classes: null,
    sideDim: 320,
    holdsBackbone: true,
    layout: "OpenAI",
    holdsTrained: true,
  });
  assert.equal(identify(trained).holdsBackbone, false);
});

Deno.test("values are read under the names of the file", async () => {
  const own = underOwnNames(whole, system.files);
  assert.deepEqual(await own.readF32("visual.proj"), Float32Array.of("clip.visual.proj".length));
  assert.deepEqual(
    await own.readF32("text_weight_fc.0.bias"),
    Float32Array.of("text_weight_fc.0.bias".length),
  );
  const bare = source(shapesOf(model, ["trained", "statistic"]));
  assert.equal(underOwnNames(bare, system.files), bare);
});

Deno.test("trained weights with a backbone's file make the original's 684 entries", () => {
  const places = backbonePlaces(trained, backbone);
  assert.deepEqual(
    [...trained.names(), ...places.values()].sort(),
    [...whole.names()].sort(),
  );
  assert.equal(new Set(whole.names()).size, 684);
  const isFrozen = frozenNames(whole), frozen = [...whole.names()].filter(isFrozen);
  assert.deepEqual(frozen.sort(), [...places.values()].sort());
});

Deno.test("a network for recognition, or a backbone, is refused by what it is", () => {
  const refusal = (file: WeightSource) => {
    try {
      checkTrained(model, file, { system, head: "strict" });
    } catch (error) {
      assert.ok(error instanceof DataError);
      return error.message;
    }
    return "";
  };
  const other = source(shapesOf(recognition, ["trained", "statistic"]));
  assert.match(refusal(other), /the file holds a classifier: it is a network for recognition/);
  assert.match(refusal(backbone), /the file holds no side network, so it is probably a backbone/);
  const stranger = source([...inFiles(shapesOf(model, ["trained", "statistic"])), ["clip.visual.extra", [
    3,
  ]]]);
  assert.match(refusal(stranger), /tensor "visual\.extra" is not known to this model/);
  const smaller = source(
    inFiles(shapesOf(model, ["trained", "statistic"])).map(([name, shape]) =>
      name === "clip.visual.side_proj" ? [name, [64, 768]] : [name, shape]
    ),
  );
  assert.match(
    refusal(smaller),
    /tensor "visual\.side_proj" must be \[320,768\], current shape is \[64,768\]/,
  );
});
