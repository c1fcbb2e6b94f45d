/** The records of systems: what each says must fit the model that it builds; and how another one is made known. */

import assert from "node:assert/strict";
import { Graph, resident, sizeOf, type Tensor } from "../../gpu/graph.ts";
import { copyInto, reshape, scale } from "../../gpu/ops/mod.ts";
import { createModel, type ModelSpec, registerSystem, Side4Video, Side4VideoEva } from "../../models/mod.ts";
import { constant, Weights } from "../../models/params.ts";
import { systemOf, SYSTEMS } from "../../models/registry.ts";
import type { System, SystemRecipe } from "../../models/system.ts";
import type { VideoModel } from "../../models/video_model.ts";
import { runReference } from "../_util/reference_engine.ts";

const BACKBONE = { image_size: 16, patch_size: 8, width: 32, layers: 2, heads: 2, eva: null };

function recipeOf(changes: { sync_bn?: boolean; eva?: object | null } = {}): SystemRecipe {
  const { sync_bn = false, eva = null } = changes;
  return {
    precision: "f32",
    data: { num_segments: 4, num_classes: 4, batch_size: 2, num_sample: 1, max_words: 5, frame_ratio: 2 },
    network: {
      arch: "custom",
      backbone: { ...BACKBONE, eva },
      side_dim: 64,
      sync_bn,
      sme_scale: 0.25,
      interaction: "wti",
      text_tower: "train",
      text: { width: 16, heads: 2, layers: 1, context: 7, vocabulary: null },
      embed_dim: 24,
      tokens: [3, 5, 49406, 49407],
      train: "towers",
      temporal_dim: 8,
      pooling_layers: 1,
      selected_layers: null,
      stem_frames: 3,
      temporal_kernel: 3,
      temporal_mlp_ratio: 1,
      integration_mlp_ratio: 1,
      integration_temporal_mlp_ratio: 0.25,
    },
    solver: { clip_ratio: 0.5, coef_lr: 0.125, weight_decay: 0.15, grad_accumulation_steps: 4 },
  };
}

function specOf(id: string, recipe = recipeOf()): ModelSpec {
  return { system: id, sizes: systemOf(id).recipe.sizes(recipe), backboneDtype: "f32" };
}

for (const system of SYSTEMS) {
  Deno.test(`the record of ${system.id} fits its model`, () => {
    const { weights } = createModel(specOf(system.id));
    const groups = system.recipe.groups(recipeOf()).map(({ name }) => name);
    assert.deepEqual(new Set(weights.of("trained").map(({ group }) => group)), new Set(groups));
    for (const name of system.head) assert.equal(weights.get(name)?.kind, "trained", name);
    const kept = weights.list.map(({ name, shape }) => [name, shape] as const), shapes = new Map(kept);
    const found = system.files.recognise({ names: () => shapes.keys(), shapeOf: (name) => shapes.get(name) });
    // A file of CLIP's towers alone is a backbone's.
    assert.deepEqual(found && [found.title, found.sideDim], system.id === "clip" ? null : [system.title, 64]);
    for (const other of SYSTEMS) {
      if (other === system) continue;
      const source = { names: () => shapes.keys(), shapeOf: (name: string) => shapes.get(name) };
      assert.equal(other.files.recognise(source), null, `${other.id} takes it for its own`);
    }
  });
}

Deno.test("a form of reference cases belongs to one system", () => {
  const forms = SYSTEMS.flatMap(({ cases }) => cases.map(({ system }) => system));
  assert.deepEqual(forms, ["side4video", "side4video-eva", "tds-clip", "dist", "side4video-retrieval"]);
});

Deno.test("the groups of the published optimisers of classification have their order, rates and decay", () => {
  assert.deepEqual(systemOf("dist").recipe.groups(recipeOf()), [
    { name: "tokens", lrScale: 0.5, weightDecay: 0 },
    { name: "pooling", lrScale: 0.5, weightDecay: 0.15 },
    { name: "pooling_bias", lrScale: 0.5, weightDecay: 0 },
    { name: "branches", lrScale: 0.5, weightDecay: 0.15 },
    { name: "branches_bias", lrScale: 0.5, weightDecay: 0 },
  ]);
  for (const { recipe } of ["side4video", "tds-clip"].map(systemOf)) {
    assert.deepEqual(recipe.groups(recipeOf()), [
      { name: "side", lrScale: 0.5, weightDecay: 0.15 },
      { name: "head", lrScale: 1, weightDecay: 0.15 },
      { name: "batch_norm", lrScale: 0.25, weightDecay: 0.15 },
    ]);
    assert.equal(recipe.groups(recipeOf({ sync_bn: true }))[2].lrScale, 1);
  }
});

Deno.test("in retrieval CLIP's own weights have a rate of their own, and biases are not decayed", () => {
  assert.deepEqual(systemOf("side4video_retrieval").recipe.groups(recipeOf()), [
    { name: "clip", lrScale: 0.125, weightDecay: 0.15 },
    { name: "side", lrScale: 1, weightDecay: 0.15 },
    { name: "clip_bias", lrScale: 0.125, weightDecay: 0 },
    { name: "side_bias", lrScale: 1, weightDecay: 0 },
  ]);
});

Deno.test("the tower decides which network Side4Video is", () => {
  assert.ok(createModel(specOf("side4video")) instanceof Side4Video);
  assert.ok(createModel(specOf("side4video", recipeOf({ eva: { hidden: 42 } }))) instanceof Side4VideoEva);
});

/** A model that doubles a value once a run and reads it in every forward pass. */
function doubling(): VideoModel & { given: Tensor } {
  const weights = new Weights({ group: "all" });
  const given = weights.frozen("given", [4], constant(3));
  const doubled = weights.constant("doubled", [2, 2]);
  return {
    given,
    weights,
    config: { backbone: { imageSize: 2, patchSize: 2, width: 4, layers: 1, heads: 1 }, frames: 1 },
    unusedInBackbone: [],
    taps: "tower",
    tapped: [],
    forward: (g, { batch }) => ({
      outputs: { out: scale(g, doubled, 1), mask: scale(g, batch!.mask, 1) },
      activations: new Map(),
    }),
    recordTaps: () => [],
    prologue: (g) => copyInto(g, scale(g, reshape(g, given, [2, 2]), 2), doubled),
  };
}

const TOY: System<object> = {
  ...systemOf("side4video"),
  id: "toy",
  title: "Toy",
  build: doubling,
  cases: [],
};

Deno.test("a registered system is built by its name; a name stands for one record", () => {
  assert.throws(
    () => systemOf("toy"),
    /^RangeError: Cannot find a system: its name must be one of side4video, tds-clip/,
  );
  registerSystem(TOY);
  registerSystem(TOY);
  assert.equal(systemOf("toy"), TOY);
  assert.throws(
    () => registerSystem({ ...TOY }),
    /^RangeError: Cannot register system "toy": its name must be new$/,
  );
  assert.throws(() => registerSystem({ ...TOY, id: "tds-clip" }), /its name must be new/);
  const { weights } = createModel({ system: "toy", sizes: {}, backboneDtype: "f32" });
  assert.deepEqual(weights.of("constant").map(({ name, kind }) => [name, kind]), [["doubled", "constant"]]);
});

Deno.test("a prologue writes the constants that forward passes read, and batches bring what tasks need", () => {
  const model = doubling(), doubled = model.weights.get("doubled")!;
  const mask = resident("input", "mask", [2]), frames = resident("input", "frames", [1, 3, 2, 2]);
  const memory = new Map<Tensor, Float64Array>([
    [model.given, Float64Array.of(1, 2, 3, 4)],
    [doubled.tensor, Float64Array.from(doubled.init(sizeOf(doubled.shape), undefined!))],
    [mask, Float64Array.of(1, 0)],
  ]);
  const prologue = new Graph(), g = new Graph();
  const { outputs } = model.forward(g, { frames, batch: { mask } }, { mode: "train" });
  assert.deepEqual([...runReference(g.nodes, new Map(memory)).get(outputs.out)!], [0, 0, 0, 0]);
  model.prologue!(prologue);
  const after = runReference(g.nodes, runReference(prologue.nodes, memory));
  assert.deepEqual([...after.get(outputs.out)!], [2, 4, 6, 8]);
  assert.deepEqual([...after.get(outputs.mask)!], [1, 0]);
});
