/** Declared weights, and the account that a file of weights must settle. */

import assert from "node:assert/strict";
import { DataError } from "../../lib/errors.ts";
import { createPrng } from "../../lib/random.ts";
import { clipTower, VIT_PRESETS } from "../../models/clip/tower.ts";
import { checkAccount, constant, Weights, type WeightSource } from "../../models/params.ts";
import { tinyModel } from "../_util/tiny_model.ts";

function sourceOf(shapes: Record<string, readonly number[]>): WeightSource {
  return {
    label: "weights.safetensors",
    names: () => Object.keys(shapes),
    shapeOf: (name) => shapes[name],
    readF32: (name) => Promise.resolve(new Float32Array(shapes[name].reduce((a, b) => a * b, 1))),
  };
}

function twoWeights(): Weights {
  const weights = new Weights();
  weights.frozen("tower.weight", [4, 3], constant(0));
  weights.trained("side.bias", [3], constant(0));
  return weights;
}

function expectDataError(fn: () => void, message: string): void {
  assert.throws(fn, (error: Error) => {
    assert.ok(error instanceof DataError);
    assert.equal(error.message, message);
    return true;
  });
}

Deno.test("a file that has exactly the expected tensors settles the account", () => {
  checkAccount(twoWeights().list, sourceOf({ "tower.weight": [4, 3], "side.bias": [3] }));
});

Deno.test("a missing tensor is named with its shape", () => {
  expectDataError(
    () => checkAccount(twoWeights().list, sourceOf({ "tower.weight": [4, 3] })),
    'Cannot load "weights.safetensors": tensor "side.bias" [3] is missing',
  );
});

Deno.test("a tensor of another shape is named with both shapes and the likely cause", () => {
  expectDataError(
    () =>
      checkAccount(twoWeights().list, sourceOf({ "tower.weight": [3, 4], "side.bias": [3] }), {
        explain: () => "the file looks transposed",
      }),
    'Cannot load "weights.safetensors": tensor "tower.weight" must be [4,3], current shape is [3,4]; the file looks transposed',
  );
});

Deno.test("an unknown tensor is an error unless its name or its prefix is on the ignore list", () => {
  const more = sourceOf({ "tower.weight": [4, 3], "side.bias": [3], "text.layer.0": [1], "logit_scale": [] });
  const check = (ignore: string[]) => checkAccount(twoWeights().list, more, { ignore });
  expectDataError(
    () => check(["logit_scale"]),
    'Cannot load "weights.safetensors": tensor "text.layer.0" is not known to this model',
  );
  expectDataError(
    () => check(["text", "logit_scale"]), // without the dot, it is a name and not a prefix
    'Cannot load "weights.safetensors": tensor "text.layer.0" is not known to this model',
  );
  check(["text.", "logit_scale"]);
});

Deno.test("a lone number beside the modules, and what has no real values, is no weight", () => {
  const shapes = { "tower.weight": [4, 3], "side.bias": [3] };
  const check = (more: Record<string, number[]>) =>
    checkAccount(twoWeights().list, {
      ...sourceOf({ ...shapes, ...more }),
      converts: (name) => !name.endsWith("freqs"),
    });
  check({ ema_decay: [], "tower.freqs": [4] });
  for (const [name, shape] of [["ema_decay", [1]], ["tower.scale", []], ["tower.gamma", [4]]] as const) {
    expectDataError(
      () => check({ [name]: [...shape] }),
      `Cannot load "weights.safetensors": tensor "${name}" is not known to this model`,
    );
  }
});

Deno.test("a name is declared once", () => {
  const weights = twoWeights();
  assert.throws(() => weights.statistic("side.bias", [3], constant(0)), /"side.bias": the name must be new/);
});

/** A CLIP checkpoint's image tower, with the parts that a side network does without. */
function clipShapes(arch: string): Record<string, readonly number[]> {
  const { imageSize, patchSize, width, layers } = VIT_PRESETS[arch];
  const shapes: Record<string, readonly number[]> = {
    "visual.conv1.weight": [width, 3, patchSize, patchSize],
    "visual.positional_embedding": [(imageSize / patchSize) ** 2 + 1, width],
  };
  for (let i = 0; i < layers; i++) shapes[`visual.transformer.resblocks.${i}.ln_1.weight`] = [width];
  return shapes;
}

Deno.test("what a CLIP file looks like is told by its preset's name", () => {
  for (const arch of Object.keys(VIT_PRESETS)) {
    assert.equal(clipTower.explain(sourceOf(clipShapes(arch))), `the file looks like ${arch}`);
    assert.equal(clipTower.describe(VIT_PRESETS[arch]), arch);
  }
  assert.equal(clipTower.explain(sourceOf({})), "the file has no CLIP image tower");
  const odd = { ...clipShapes("ViT-B/16"), "visual.conv1.weight": [96, 3, 7, 7] };
  assert.equal(
    clipTower.explain(sourceOf(odd)),
    "the file looks like a ViT of width 96, patch 7, 12 layers, image 98",
  );
});

Deno.test("the text tower and the embedding head of a CLIP file are ignored, a side tensor in it is not", () => {
  const model = tinyModel();
  const shapes = Object.fromEntries(model.weights.of("frozen").map(({ name, shape }) => [name, shape]));
  for (
    const name of [
      "visual.proj",
      "visual.ln_post.weight",
      "transformer.resblocks.3.attn.in_proj_weight",
      "token_embedding.weight",
      "positional_embedding",
      "ln_final.bias",
      "text_projection",
      "logit_scale",
      "input_resolution",
      "context_length",
      "vocab_size",
    ]
  ) shapes[name] = [1];
  const check = () =>
    checkAccount(model.weights.of("frozen"), sourceOf(shapes), { ignore: model.unusedInBackbone });
  check();
  shapes["visual.transformer.resblocks.2.ln_1.weight"] = [32]; // the model has two layers
  assert.throws(check, /"visual.transformer.resblocks.2.ln_1.weight" is not known to this model/);
});

Deno.test("weights that are left out take their place in the order, and nothing else", () => {
  const weights = new Weights();
  const tensor = weights.leaveOut(() => weights.frozen("tower.weight", [4, 3], constant(0)));
  weights.trained("side.bias", [3], constant(0));
  assert.deepEqual(tensor.shape, [4, 3]);
  assert.deepEqual(weights.list.map(({ name, place }) => [name, place]), [["side.bias", 1]]);
  assert.equal(weights.get("tower.weight"), undefined);
  assert.deepEqual(twoWeights().list.map(({ place }) => place), [0, 1]);
});

Deno.test("a trained weight is in the group of its place", () => {
  const weights = new Weights({ group: "side" });
  weights.trained("side.bias", [3], constant(0));
  weights.inGroup("head", () => weights.trained("fc.bias", [3], constant(0)));
  assert.deepEqual(weights.of("trained").map(({ name, group }) => [name, group]), [
    ["side.bias", "side"],
    ["fc.bias", "head"],
  ]);
});

Deno.test("an unfrozen weight is trained in its group, in f32, and begins with the backbone's value", () => {
  const weights = new Weights({ frozenDtype: "f16", group: "side" });
  const tensor = weights.unfrozen("tower", () => {
    weights.trained("tower.gate", [3], constant(0));
    return weights.inBlock(2, () => weights.frozen("tower.weight", [4, 3], constant(0)));
  });
  weights.frozen("stem.weight", [4, 3], constant(0));
  assert.deepEqual([tensor.role, tensor.dtype, tensor.needsGradient], ["parameter", "f32", true]);
  assert.deepEqual(weights.list.map(({ name, kind, group, pretrained }) => [name, kind, group, pretrained]), [
    ["tower.gate", "trained", "tower", false],
    ["tower.weight", "trained", "tower", true],
    ["stem.weight", "frozen", "side", true],
  ]);
  assert.deepEqual(weights.blocks(), []);
});

Deno.test("a rule on names may refine the groups of weights", () => {
  const weights = new Weights({
    group: "side",
    groupRule: (group, name) => name.endsWith("bias") ? `${group}_bias` : group,
  });
  weights.trained("side.bias", [3], constant(0));
  weights.inGroup("head", () => weights.trained("fc.weight", [3], constant(0)));
  assert.deepEqual(weights.list.map(({ group }) => group), ["side_bias", "head"]);
});

Deno.test("a constant is zeros in state, until a prologue writes it", () => {
  const weights = new Weights();
  weights.constant("text.features", [5, 2]);
  const { kind, init, tensor } = weights.get("text.features")!;
  assert.deepEqual([kind, tensor.role], ["constant", "state"]);
  assert.deepEqual(init(3, createPrng(1)), new Float32Array(3));
});
