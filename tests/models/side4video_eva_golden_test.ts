/**
 * A toy model on an EVA tower whose weights and input follow from formulas, against numbers of the original PyTorch
 * modules: features, logits, values in between, loss, gradients and running statistics.
 */

import assert from "node:assert/strict";
import { Side4VideoEva } from "../../models/side4video_eva.ts";
import { engineTest } from "../_util/engine.ts";
import {
  assertRow,
  assertToyTraining,
  assertValues,
  CLASSES,
  D,
  FRAMES,
  PATCH,
  PATCHES,
  runToy,
  SIZE,
  type Toy,
  toyNames,
  type ToyTraining,
} from "../_util/golden_toy.ts";

const WIDTH = 224;

/** The original holds a norm and a head behind the last block, which nothing reads. */
const UNUSED = ["visual.norm.weight", "visual.norm.bias", "visual.head.weight", "visual.head.bias"];
const UNUSED_SCALARS = 2 * WIDTH + 64 * WIDTH + 64;

function toy(): Toy {
  const model = new Side4VideoEva({
    backbone: {
      imageSize: SIZE,
      patchSize: PATCH,
      width: WIDTH,
      layers: 4,
      heads: 2,
      hidden: 1920,
      norm: "post",
      subNorm: false,
      mlp: "gelu",
      ropeSpan: null,
    },
    frames: FRAMES,
    sideDim: D,
    classes: CLASSES,
  });
  return { model, unused: UNUSED };
}

Deno.test("the toy model on an EVA tower has the tensors that the formulas count", () => {
  const { model } = toy();
  assert.equal(toyNames(model, UNUSED).length, 133);
  assert.equal(model.weights.count("trained") + model.weights.count("frozen") + UNUSED_SCALARS, 4_919_461);
});

engineTest(
  "the toy model on an EVA tower in evaluation gives the original's features, logits and values in between",
  async (gpu) => {
    const results = await runToy(gpu, toy(), (g, activations) => {
      const layer = g.nodes.filter((node) => node.scope === "side/layer.0");
      const sums = layer.filter((node) => node.op.name === "add").map((node) => node.outputs.out);
      assert.equal(sums.length, 4);
      const [fused, conv, attention, mlp] = sums;
      const kept = ["side_pre_bn3d", "backbone.1", "bridge.0", "side.1"];
      return {
        ...Object.fromEntries(kept.map((name) => [name, activations.get(name)!])),
        ...{ fused, conv, attention, mlp },
        input: g.nodes.find((node) => node.op.name === "prependToken")!.outputs.out,
        tokens: layer.find((node) => node.op.name === "sideTokens")!.outputs.out,
      };
    });
    const check = (name: string, row: number, channels: readonly number[], width?: number) =>
      assertRow(name, results.get(name)!, { row, channels, width });
    assertValues("feature", results.get("embedding")!, [
      -2.682769,
      2.645680,
      3.071463,
      0.271400,
      -1.251512,
      -1.667359,
    ]);
    assertValues("logits", results.get("logits")!, [
      ...[4.222327, 0.432816, -3.517118, -2.399241, -0.152840],
      ...[4.244589, 0.421083, -3.533129, -2.398368, -0.141535],
    ]);
    const tokens = PATCHES + 1, last = (1 * FRAMES + 3) * PATCHES + 15; // clip 1, frame 3, patch 15
    check("input", 0, [0.015618, 0.007092, 0.020591, 0.024902, -0.001719], WIDTH);
    check("side_pre_bn3d", 0, [0.689528, -0.953188, 0.093195, -0.010073, -0.066379]);
    check("backbone.1", tokens, [-11.582403, 11.854570, 1.300708, 3.051799, -2.816189], WIDTH);
    check("bridge.0", tokens, [-2.158677, -1.272914, 1.072109, -1.219832, 0.826653]);
    check("tokens", tokens, [-2.231448, -0.177231, 0.515965, -0.576573, -0.496616]);
    check("fused", last, [-0.467657, -0.860287, 0.375782, -0.285070, 0.201240]);
    check("conv", last, [-0.846306, -0.982290, 0.320833, -0.259795, 0.144524]);
    check("attention", last, [-2.356849, 1.440212, 0.616847, -0.035922, 0.092264]);
    check("mlp", last, [-2.689761, 0.804737, 1.436752, 1.108584, -0.626580]);
    check("side.1", last, [-2.411590, 2.546147, -0.231811, 2.662982, -1.771640]);
  },
);

const BLOCK = "visual.side_blocks.0";

const TRAINING: ToyTraining = {
  feature: [-1.125867, 3.335128, 2.337246, -1.236147, -2.176327, -2.228798],
  logits: [
    ...[3.757257, -2.328582, -3.058516, 0.154110, 2.399150],
    ...[3.229215, -2.794414, -2.566545, 0.920890, 2.947328],
  ],
  loss: 5.091311,
  gradientNorm: 110.3423,
  gradients: {
    "visual.side_spatial_position_embeddings": [2.221132e-1, -4.003309e-3],
    "visual.side_conv1.weight": [1.053631e+2, -2.855104e-3],
    "visual.side_pre_bn3d.weight": [4.700726e-1, -1.534646e-2],
    "visual.side_pre_bn3d.bias": [3.289168e-1, -7.987112e-3],
    "visual.side_lns.0.weight": [3.497179e-1, 3.975700e-2],
    "visual.side_linears.0.weight": [7.117092e+0, 3.660268e-2],
    [`${BLOCK}.bn_1.weight`]: [4.701994e-1, -2.766110e-2],
    [`${BLOCK}.conv.0.weight`]: [1.316592e+1, -8.213669e-2],
    [`${BLOCK}.conv.0.bias`]: [6.151045e-1, 7.969850e-2],
    [`${BLOCK}.conv.1.weight`]: [1.271866e+1, 6.320057e-1],
    [`${BLOCK}.conv.2.weight`]: [1.302656e+1, -1.032913e-1],
    [`${BLOCK}.attn.q_proj.weight`]: [1.016658e+0, -8.713271e-3],
    [`${BLOCK}.attn.k_proj.weight`]: [6.071790e-1, 3.692213e-3],
    [`${BLOCK}.attn.v_proj.weight`]: [4.187361e+0, -4.981433e-2],
    [`${BLOCK}.attn.proj.weight`]: [4.394086e+0, -4.348565e-2],
    [`${BLOCK}.ln_1.weight`]: [3.863108e-1, -8.543101e-2],
    [`${BLOCK}.mlp.0.weight`]: [6.762125e+0, 3.324430e-3],
    [`${BLOCK}.mlp.2.weight`]: [5.636378e+0, -9.050146e-3],
    "fc.weight": [1.197669e+1, -8.354504e-1],
    "fc.bias": [9.449736e-1, 6.371982e-1],
  },
  statistics: {
    "visual.side_pre_bn3d.running_mean": [-0.077942, -0.089137, -0.086352],
    "visual.side_pre_bn3d.running_var": [0.635655, 0.807081, 0.954691],
    [`${BLOCK}.bn_1.running_mean`]: [-0.122224, -0.109408, -0.041053],
    [`${BLOCK}.bn_1.running_var`]: [0.628466, 0.776891, 0.942079],
  },
};

for (const recompute of [false, true]) {
  const mode = recompute ? "recompute" : "keep";
  engineTest(
    `the toy model on an EVA tower in training gives the original's loss, gradients and statistics (${mode})`,
    (gpu) => assertToyTraining(gpu, toy(), { ...TRAINING, recompute }),
  );
}
