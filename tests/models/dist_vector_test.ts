/** A tiny DiST whose weights and input follow from a formula, against numbers of the original modules (spec dist, appendix A). */

import assert from "node:assert/strict";
import { differentiate } from "../../gpu/autodiff.ts";
import { Graph, resident, sizeOf, type Tensor } from "../../gpu/graph.ts";
import { softCrossEntropy } from "../../gpu/ops/mod.ts";
import { runGraph } from "../../gpu/run.ts";
import { permute } from "../../lib/permute.ts";
import { Dist } from "../../models/dist.ts";
import { distToRecorded } from "../../models/parts/dist_cases.ts";
import { engineTest } from "../_util/engine.ts";

const B = 2, T = 4, SIZE = 16, K = 3, E = 16;
/** Of the tower's file, which its taps do without: they count in the order of names. */
const BESIDE = ["visual.ln_post.bias", "visual.ln_post.weight", "visual.proj"];
const VIDEO = 1000, TEXTS = 1001, LOGIT_SCALE = 2;

function tinyModel(): Dist {
  return new Dist({
    backbone: { imageSize: SIZE, patchSize: 4, width: 64, layers: 2, heads: 1 },
    frames: T,
    ratio: 2,
    classes: K,
    branch: {
      width: 128,
      temporalWidth: 8,
      kernel: 3,
      temporalRatio: 1,
      mlpRatio: 1,
      temporalMlpRatio: 0.25,
    },
    stemFrames: 5,
    poolingLayers: 2,
    selected: null,
    text: { vocabulary: 96, context: 16, width: 64, heads: 1, layers: 1, embedDim: E },
    tokens: null,
  });
}

/** Uniform in [−½, ½) by place j in tensor k. */
function draw(j: number, k: number): number {
  let h = (Math.imul(j, 0x9E3779B1) + Math.imul(k, 0x85EBCA77) + 0x165667B1) >>> 0;
  h = Math.imul(h ^ h >>> 15, 0x2C1B3C6D);
  h = Math.imul(h ^ h >>> 12, 0x297A2D39);
  return ((h ^ h >>> 15) >>> 0) / 2 ** 32 - 0.5;
}

function filled(count: number, k: number, value: (u: number) => number): Float32Array {
  return Float32Array.from({ length: count }, (_, j) => value(draw(j, k)));
}

/** All names in the order of the formula. */
function names({ weights }: Dist): string[] {
  const own = weights.list.map(({ name }) => name).filter((name) => /^(dist_net|visual)\./.test(name));
  return [...own, ...BESIDE].sort((a, b) => a < b ? -1 : 1);
}

function valuesOf(model: Dist): Map<Tensor, Float32Array> {
  const order = names(model);
  return new Map(model.weights.list.map(({ name, shape, tensor }) => {
    const k = order.indexOf(name), count = sizeOf(shape);
    if (name === "text_features") return [tensor, filled(count, TEXTS, (u) => u)];
    if (name === "logit_scale") return [tensor, Float32Array.of(LOGIT_SCALE)];
    const value = shape.length > 1
      ? (u: number) => 0.4 * u
      : name.endsWith("weight")
      ? (u: number) => 1 + 0.2 * u
      : (u: number) => 0.2 * u;
    return [tensor, filled(count, k, value)];
  }));
}

/** Frames [B*T 3 H W] of the formula's video [B 3 T H W]. */
function frames(): Float32Array {
  const video = filled(B * 3 * T * SIZE ** 2, VIDEO, (u) => 4 * u);
  assertNear("video", video.subarray(0, 5), [-1.494643, -0.346805, 1.533398, -0.362321, 0.774263], 1e-6);
  return permute(video, [B, 3, T, SIZE ** 2], [0, 2, 1, 3]);
}

function assertNear(
  what: string,
  actual: ArrayLike<number>,
  expected: readonly number[],
  tolerance: number,
): void {
  expected.forEach((value, i) =>
    assert.ok(Math.abs(actual[i] - value) <= tolerance, `${what}[${i}] is ${actual[i]}, expected ${value}`)
  );
}

/** A value in between: the recorded shape, its first four and last two elements, and the mean of their sizes. */
type Recorded = readonly [
  name: string,
  shape: readonly number[],
  first: readonly number[],
  last: readonly number[],
  mean: number,
];

const RECORDED: readonly Recorded[] = [
  [
    "temporal_stem",
    [2, 8, 4, 4, 4],
    [-0.20574, -0.80080, -0.18717, -0.93729],
    [-0.84440, -0.23646],
    1.430960,
  ],
  ["backbone.0", [17, 4, 64], [2.69973, -1.79688, -3.87006, -0.05110], [1.43301, 1.49993], 1.209988],
  ["backbone.1", [17, 4, 64], [2.81187, -2.52127, -3.83546, -0.34130], [0.87076, 1.96876], 1.511574],
  [
    "temporal_nets.0",
    [2, 8, 4, 4, 4],
    [0.01122, -0.15367, 0.07110, -0.16350],
    [-0.15501, -0.11300],
    0.771158,
  ],
  ["input_linears.0", [17, 4, 128], [1.34076, -0.38894, -0.05581, -0.20727], [-1.12130, 0.95929], 1.113027],
  [
    "integration2temporal_nets.0",
    [2, 8, 4, 4, 4],
    [0.69989, 0.39254, 0.38463, -0.41466],
    [2.11583, -1.26378],
    1.530474,
  ],
  [
    "temporal2integration_nets.0",
    [17, 4, 128],
    [0.07604, -0.17803, 0.01845, -0.04421],
    [-0.54732, 0.01322],
    0.440944,
  ],
  [
    "integration_nets.0",
    [17, 4, 128],
    [-0.41256, -0.97815, -2.80065, -0.41202],
    [1.25133, -0.66530],
    1.007300,
  ],
  ["temporal_nets.1", [2, 8, 4, 4, 4], [0.94233, 0.04200, 0.27630, -0.16357], [1.80644, -0.11305], 1.092581],
  [
    "temporal2integration_nets.1",
    [17, 4, 128],
    [0.02685, 0.03332, -0.12254, -0.08993],
    [0.17552, 0.09928],
    0.587474,
  ],
  [
    "integration_nets.1",
    [17, 4, 128],
    [-0.06690, -1.02715, -1.60254, -1.54938],
    [1.74991, -1.66938],
    1.036676,
  ],
  [
    "adapooling.0.spatial_token",
    [1, 4, 128],
    [3.08027, -0.06580, -0.22820, -3.06930],
    [1.11293, 0.22991],
    2.003136,
  ],
  [
    "adapooling.0.temporal_token",
    [1, 2, 128],
    [-1.93785, 7.24259, -2.35363, -0.10136],
    [2.98536, -1.33598],
    2.392325,
  ],
  [
    "adapooling.1.spatial_token",
    [1, 4, 128],
    [4.59707, -5.32203, 0.33274, -3.50112],
    [-0.98823, 0.45965],
    2.835597,
  ],
  [
    "adapooling.1.temporal_token",
    [1, 2, 128],
    [-0.72817, 2.25351, -0.21169, 3.46768],
    [5.12304, -4.51415],
    3.640079,
  ],
  ["video_embedding", [2, 16], [1.15550, -0.71050, -1.16389, -1.80711], [2.64166, -1.75973], 1.215569],
];

const GRADIENT_NORMS = {
  "temporal_stem.weight": 2.128913,
  "input_linears.0.weight": 4.348207,
  "temporal2integration_nets.0.cls_token": 0.1063445,
  "integration2temporal_nets.0.linear_fuse.weight": 1.736140,
  "integration_nets.1.temporal_ffn.c_fc2.weight": 1.637793,
  "adapooling_nets.0.spatial_transformer.attn.in_proj_weight": 8.457148,
  "adapooling_nets.1.positional_embedding": 0.07669663,
  "temporal_nets.1.ln.weight": 0.06686419,
  proj: 3.404417,
};

Deno.test("the tiny DiST has the tensors that the formula counts", () => {
  const model = tinyModel(), order = names(model);
  assert.equal(order.length, 145);
  const own = model.weights.count("trained");
  assert.equal(own, 921_560);
  assert.equal(own + model.weights.count("frozen") + 2 * 64 + 64 * E, 1_027_032);
  assert.deepEqual(
    [0, 90, 112, 113, 114, 144].map((k) => order[k]),
    [
      "dist_net.adapooling_nets.0.ln_out_spat_cls_token.bias",
      "dist_net.proj",
      "dist_net.temporal_stem.weight",
      "visual.class_embedding",
      "visual.conv1.weight",
      "visual.transformer.resblocks.1.mlp.c_proj.weight",
    ],
  );
});

for (const recompute of [false, true]) {
  engineTest(
    `the tiny DiST gives the original's values, logits, loss and gradients${recompute ? ", recomputed" : ""}`,
    async (gpu) => {
      const model = tinyModel(), g = new Graph();
      const input = resident("input", "frames", [B * T, 3, SIZE, SIZE]);
      const targets = resident("input", "targets", [B, K]), seed = resident("input", "seed", [1]);
      const { outputs: { logits }, activations } = model.forward(g, { frames: input });
      const { loss } = softCrossEntropy(g, logits, targets);
      g.output("logits", logits);
      g.output("loss", loss);
      if (!recompute) { for (const [name] of RECORDED) g.output(name, activations.get(name)!); }
      for (
        const [parameter, gradient] of differentiate(g, {
          seeds: [{ output: loss, gradient: seed }],
          recompute,
        })
      ) {
        g.output(`grad.${parameter.label}`, gradient);
      }
      // Labels 0 and 2, smoothed by 0.1, mixed with weight 0.75.
      const off = 0.1 / K, own = [off + 0.9 * 0.75, off, off + 0.9 * 0.25];
      const values = valuesOf(model).set(input, frames()).set(seed, Float32Array.of(1))
        .set(targets, Float32Array.of(...own, ...own.toReversed()));
      const results = await runGraph(gpu, g, values);
      for (const [name, shape, first, last, mean] of recompute ? [] : RECORDED) {
        const actual = distToRecorded(`act.${name}`, results.get(name)!, { shape, config: null });
        assertNear(name, actual, first, 2e-5);
        assertNear(`${name}, its end,`, actual.slice(-2), last, 2e-5);
        assertNear(`${name}, mean size,`, [actual.reduce((sum, x) => sum + Math.abs(x), 0) / actual.length], [
          mean,
        ], 2e-6);
      }
      assertNear("logits", results.get("logits")!, [
        0.695518,
        -3.135201,
        1.961979,
        1.800624,
        -4.404808,
        0.149355,
      ], 1e-5);
      assertNear("loss", results.get("loss")!, [1.436843], 2e-6);
      for (const [name, norm] of Object.entries(GRADIENT_NORMS)) {
        const gradient = results.get(`grad.dist_net.${name}`)!;
        const actual = Math.sqrt(gradient.reduce((sum, x) => sum + x * x, 0));
        assertNear(`norm of the gradient of ${name}`, [actual / norm], [1], 1e-5);
      }
      const unread = [...results.keys()].filter((name) => name.includes("integration2temporal_nets.1."));
      assert.deepEqual(unread, [], "nothing reads what the last layer would give the temporal encoder");
    },
  );
}
