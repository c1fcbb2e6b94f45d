/** A plain CLIP as a network of its own: the recorded embeddings and scores, its groups, and its scale within bounds. */

import assert from "node:assert/strict";
import { Graph, resident, type Tensor } from "../../gpu/graph.ts";
import { runGraph } from "../../gpu/run.ts";
import { EVA_PRESETS } from "../../models/eva/tower.ts";
import { ClipModel, type ClipModelSizes } from "../../models/clip_system.ts";
import { endPositions } from "../../models/clip/text.ts";
import { createModel } from "../../models/create.ts";
import { systemOf } from "../../models/registry.ts";
import { towerOf } from "../../models/towers.ts";
import { openCase } from "../../train/parity/case.ts";
import { parseConfig } from "../../train/recipe/config.ts";
import { engineTest } from "../_util/engine.ts";
import { runReference } from "../_util/reference_engine.ts";

const CASE = new URL("../fixtures/clip-vit/tiny.json", import.meta.url).pathname;
const SIZES: ClipModelSizes = {
  backbone: { imageSize: 32, patchSize: 8, width: 64, layers: 3, heads: 2 },
  text: { vocabulary: 96, context: 16, width: 64, heads: 2, layers: 3, embedDim: 32 },
  frames: 1,
  words: 16,
  tokens: null,
  trains: false,
};

/** Records a case's pictures, as clips of one frame, with its sentences. */
async function replay() {
  await using reference = await openCase(CASE);
  const model = new ClipModel(SIZES), values = new Map<Tensor, Float32Array | Uint32Array>();
  for (const { name, tensor } of model.weights.list) {
    values.set(tensor, await reference.read(`state.${name}`));
  }
  const input = (name: string, shape: number[], given: Float32Array | Uint32Array) => {
    const tensor = resident("input", name, shape, given instanceof Uint32Array ? "u32" : "f32");
    values.set(tensor, given);
    return tensor;
  };
  const texts = Uint32Array.from(await reference.read("input.texts"));
  const batch = { ids: input("ids", [6, 16], texts), ends: input("ends", [6], endPositions(texts, 16)) };
  const frames = input("frames", [8, 3, 32, 32], await reference.read("input.images"));
  const frame_mask = input("frame_mask", [8, 1], new Float32Array(8).fill(1));
  const g = new Graph(), { outputs } = model.forward(g, { frames, batch }, { mode: "eval" });
  g.output("image_embedding", outputs.frames);
  g.output("text_embedding", outputs.sentence);
  g.output("logits_per_text", model.text.compare(g, { outputs, inputs: { frame_mask } }, { mode: "eval" }));
  const expected = new Map<string, Float32Array>();
  for (const name of g.outputs.keys()) expected.set(name, await reference.read(name));
  return { g, values, expected };
}

engineTest("embeddings and scores are those of a recorded CLIP", async (gpu) => {
  const { g, values, expected } = await replay();
  for (const [name, found] of await runGraph(gpu, g, values)) {
    const wanted = expected.get(name)!, largest = Math.max(...wanted.map(Math.abs));
    assert.equal(found.length, wanted.length);
    found.forEach((value, i) => assert.ok(Math.abs(value - wanted[i]) <= 1e-5 * largest, `${name}[${i}]`));
  }
});

Deno.test("what is trained has two groups: matrices, and what is not decayed", () => {
  const { weights } = new ClipModel({ ...SIZES, trains: true });
  assert.equal(weights.of("frozen").length, 0);
  const named = (group: string) =>
    weights.of("trained").filter((one) => one.group === group).map(({ name }) => name);
  const [decayed, others] = systemOf("clip").recipe.groups(
    parseConfig(
      "system: clip\ndata: {}\nnetwork: {backbone: {image_size: 8, patch_size: 4, width: 8, layers: 1, heads: 1}, " +
        "text: {width: 8, heads: 1, layers: 1, context: 40}, embed_dim: 4}\nsolver: {weight_decay: 0.2}",
    ).config,
  );
  assert.deepEqual([decayed.weightDecay, others.weightDecay], [0.2, 0]);
  assert.ok(named(decayed.name).every((name) => /weight$|proj(ection)?$/.test(name) && !/ln_/.test(name)));
  for (
    const name of [
      "logit_scale",
      "positional_embedding",
      "visual.class_embedding",
      "visual.positional_embedding",
      "ln_final.weight",
      "visual.ln_pre.bias",
      "transformer.resblocks.1.attn.in_proj_bias",
    ]
  ) assert.ok(named(others.name).includes(name), name);
});

Deno.test("after an update the scale is at most 100, where there is one to train", () => {
  const trained = new ClipModel({ ...SIZES, trains: true }), g = new Graph();
  trained.afterUpdate(g);
  const { tensor } = trained.weights.get("logit_scale")!;
  for (const [value, kept] of [[5, Math.log(100)], [4, 4]]) {
    const after = runReference(g.nodes, new Map([[tensor, Float64Array.of(value)]])).get(tensor)!;
    assert.ok(Math.abs(after[0] - kept) < 1e-6);
  }
  const frozen = new ClipModel(SIZES), none = new Graph();
  frozen.afterUpdate(none);
  assert.equal(none.nodes.length, 0);
});

Deno.test("an EVA tower can be used as it is, not trained", () => {
  const backbone = EVA_PRESETS["EVA02-CLIP-L-14"], tower = towerOf(backbone);
  const text = tower.text(backbone, tower.texts["EVA02-CLIP-L-14"]);
  const model = createModel({ system: "clip", sizes: { ...SIZES, backbone, text }, backboneDtype: "f16" });
  assert.ok(model.weights.list.every(({ kind, pretrained }) => kind === "frozen" && pretrained));
  assert.ok(model.weights.get("text.text_projection") && model.weights.get("visual.head.bias"));
  assert.throws(
    () => parseConfig("system: clip\ndata: {}\nnetwork: {arch: EVA02-CLIP-L-14}"),
    /network\.train must be none for an EVA tower, which is not trained here, current value is "towers"/,
  );
  parseConfig("system: clip\ndata: {}\nnetwork: {arch: EVA02-CLIP-L-14, train: none}");
});
