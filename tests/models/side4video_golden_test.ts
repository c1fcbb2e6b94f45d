/**
 * A toy model whose weights and input follow from formulas, against numbers of the original PyTorch modules: features,
 * logits, values in between, loss, gradients and running statistics.
 */

import assert from "node:assert/strict";
import { Side4Video } from "../../models/side4video.ts";
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
  toyFrames,
  toyNames,
  type ToyTraining,
} from "../_util/golden_toy.ts";

const WIDTH = 128;

function toyModel(): Side4Video {
  return new Side4Video({
    backbone: { imageSize: SIZE, patchSize: PATCH, width: WIDTH, layers: 2, heads: 2 },
    frames: FRAMES,
    sideDim: D,
    classes: CLASSES,
  });
}

Deno.test("the toy model has the tensors that the formulas count", () => {
  const model = toyModel(), names = toyNames(model);
  assert.equal(names.length, 98);
  assert.equal(model.weights.count("trained") + model.weights.count("frozen"), 998_405);
  assert.deepEqual(
    [
      "visual.class_embedding",
      "visual.conv1.weight",
      "visual.side_conv1.weight",
      "visual.transformer.side_spatial_position_embeddings",
    ].map((name) => names.indexOf(name)),
    [2, 3, 8, 49],
  );
  const input = toyFrames();
  assertValues("input", [0, 1, 100, 20000].map((i) => input[i]), [0, 0.0133, 0.9723, 0.2541], 5e-5);
});

engineTest(
  "the toy model in evaluation gives the original's features, logits and values in between",
  async (gpu) => {
    const results = await runToy(gpu, { model: toyModel() }, (g, activations) => {
      const layer = g.nodes.filter((node) => node.scope === "side/layer.0");
      const residuals = layer.filter((node) => node.inputs.residual).map((node) => node.outputs.out);
      assert.equal(residuals.length, 3);
      const [conv, attention, mlp] = residuals;
      const kept = ["ln_pre", "side_pre_bn3d", "backbone.0", "bridge.0", "side.1"];
      return {
        ...Object.fromEntries(kept.map((name) => [name, activations.get(name)!])),
        ...{ conv, attention, mlp },
        fused: layer.find((node) => node.op.name === "add")!.outputs.out,
        tokens: layer.find((node) => node.op.name === "sideTokens")!.outputs.out,
      };
    });
    const check = (name: string, row: number, channels: readonly number[]) =>
      assertRow(name, results.get(name)!, { row, channels });
    assertValues("feature", results.get("embedding")!, [
      -1.444476,
      0.392305,
      0.372467,
      -0.959207,
      -0.460427,
      -0.492133,
    ]);
    assertValues("logits", results.get("logits")!, [
      ...[-2.560846, 0.385885, 2.638326, 1.621596, -0.072596],
      ...[-2.559495, 0.368438, 2.642126, 1.639679, -0.056193],
    ]);
    const tokens = PATCHES + 1, last = (1 * FRAMES + 3) * PATCHES + 15; // clip 1, frame 3, patch 15
    check("ln_pre", 0, [1.225682, 0.949532, 0.582288, 0.942136, -0.548955]);
    check("side_pre_bn3d", 0, [0.415051, -0.884097, 0.144177, 0.006853, 0.080914]);
    check("backbone.0", tokens, [0.725366, 0.828795, 0.223676, 1.086294, -0.939227]);
    check("bridge.0", tokens, [-4.634913, 6.177214, 1.325753, 0.931125, 0.467738]);
    check("tokens", tokens, [-4.627914, 6.183069, 1.318068, 0.916208, 0.464411]);
    check("fused", last, [0.382322, -0.022490, -0.023015, -0.099796, -0.427407]);
    check("conv", last, [-0.062122, -0.359430, 0.011923, -0.038230, -0.352663]);
    check("attention", last, [0.141783, -0.121488, 0.072490, -0.042681, -0.282720]);
    check("mlp", last, [-0.469594, 0.081214, 0.112700, 0.093685, -0.274442]);
    check("side.1", last, [-1.404326, 0.307222, 0.875785, 0.546153, 0.901500]);
  },
);

/** L2 norm and first element of the gradients of the loss. */
const GRADIENTS: Record<string, readonly [norm: number, first: number]> = {
  "visual.transformer.side_spatial_position_embeddings": [1.158320e-2, -7.973747e-4],
  "visual.side_conv1.weight": [1.090114e+1, 1.419281e-2],
  "visual.side_pre_bn3d.weight": [3.538043e-2, 8.251520e-3],
  "visual.side_pre_bn3d.bias": [1.009497e-2, -1.745415e-3],
  "visual.transformer.side_lns.0.weight": [1.843191e-2, 7.351726e-4],
  "visual.transformer.side_linears.0.weight": [3.959103e-1, 5.007831e-3],
  "visual.transformer.side_transformer.0.bn_1.weight": [3.086672e-3, 1.358836e-4],
  "visual.transformer.side_transformer.0.conv.0.weight": [5.791955e-2, -1.340769e-4],
  "visual.transformer.side_transformer.0.conv.0.bias": [2.027710e-3, -4.085642e-5],
  "visual.transformer.side_transformer.0.conv.1.weight": [6.923823e-2, -3.572739e-3],
  "visual.transformer.side_transformer.0.conv.2.weight": [8.756337e-2, -1.316341e-4],
  "visual.transformer.side_transformer.0.attn.in_proj_weight": [4.290800e-1, 2.997607e-4],
  "visual.transformer.side_transformer.0.attn.out_proj.weight": [3.508747e-1, 4.352781e-3],
  "visual.transformer.side_transformer.0.ln_1.weight": [8.583028e-3, 6.230954e-4],
  "visual.transformer.side_transformer.0.bn_2.weight": [3.881332e-2, -2.061243e-3],
  "visual.transformer.side_transformer.0.mlp.fc1.weight": [1.096932e+0, -4.556685e-3],
  "visual.transformer.side_transformer.0.mlp.fc2.weight": [7.985009e-1, -7.781856e-4],
  "visual.side_post_bn.weight": [3.188463e-2, -9.776012e-4],
  "fc.weight": [5.604774e-1, -9.183189e-3],
  "fc.bias": [4.500563e-1, 1.191412e-1],
};

const NORM = "visual.transformer.side_transformer.0.bn_1";
/** First three channels of the running statistics after one forward pass in training. */
const STATISTICS: Record<string, readonly number[]> = {
  "visual.side_pre_bn3d.running_mean": [-0.050595, -0.026035, 0.004099],
  "visual.side_pre_bn3d.running_var": [1.179027, 1.311119, 1.354123],
  [`${NORM}.running_mean`]: [0.079766, 0.035460, -0.028333],
  [`${NORM}.running_var`]: [0.693729, 0.580985, 0.531836],
};

/** Everything else after one forward and backward pass in training. */
const TRAINING: ToyTraining = {
  feature: [-0.054379, -0.060362, -0.025991, 0.085232, 0.142958, 0.142673],
  logits: [
    ...[-0.323144, 0.489332, 0.338327, -0.105315, -0.313716],
    ...[-0.260573, 0.528521, 0.290501, -0.167760, -0.351258],
  ],
  loss: 1.489312,
  gradientNorm: 11.15012,
  gradients: GRADIENTS,
  statistics: STATISTICS,
};

for (const recompute of [false, true]) {
  const mode = recompute ? "recompute" : "keep";
  engineTest(
    `the toy model in training gives the original's loss, gradients and statistics (${mode})`,
    (gpu) => assertToyTraining(gpu, { model: toyModel() }, { ...TRAINING, recompute }),
  );
}
