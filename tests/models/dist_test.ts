/** DiST's weights: names, shapes, counts, groups and initial values of the published models; what its plan takes; what its files tell. */

import assert from "node:assert/strict";
import { sizeOf } from "../../gpu/graph.ts";
import { createPrng } from "../../lib/random.ts";
import { VIT_PRESETS } from "../../models/clip/tower.ts";
import { Dist, dist } from "../../models/dist.ts";
import { identify } from "../../models/identify.ts";
import { parseConfig } from "../../train/recipe/config.ts";

interface Published {
  arch: string;
  /** Dense frames; the tower reads half of them. */
  frames: number;
  poolingLayers: number;
  /** Trained tensors and scalars (spec dist §3.5, §3.6). */
  tensors: number;
  trainable: number;
}

const PUBLISHED: readonly Published[] = [
  { arch: "ViT-B/16", frames: 16, poolingLayers: 2, tensors: 383, trainable: 19_001_184 },
  { arch: "ViT-B/16", frames: 32, poolingLayers: 2, tensors: 383, trainable: 19_044_192 },
  { arch: "ViT-B/16", frames: 64, poolingLayers: 2, tensors: 383, trainable: 19_130_208 },
  { arch: "ViT-B/16", frames: 16, poolingLayers: 4, tensors: 433, trainable: 26_105_184 },
  { arch: "ViT-B/16", frames: 32, poolingLayers: 4, tensors: 433, trainable: 26_154_336 },
  { arch: "ViT-B/16", frames: 64, poolingLayers: 4, tensors: 433, trainable: 26_252_640 },
  { arch: "ViT-L/14", frames: 64, poolingLayers: 2, tensors: 707, trainable: 32_745_312 },
  { arch: "ViT-L/14", frames: 64, poolingLayers: 4, tensors: 757, trainable: 39_867_744 },
];

function publishedModel(
  { arch, frames, poolingLayers }: Pick<Published, "arch" | "frames" | "poolingLayers">,
): Dist {
  return new Dist({
    backbone: VIT_PRESETS[arch],
    frames,
    ratio: 2,
    classes: 174,
    branch: {
      width: 384,
      temporalWidth: 96,
      kernel: 3,
      temporalRatio: 1,
      mlpRatio: 1,
      temporalMlpRatio: 0.25,
    },
    stemFrames: 5,
    poolingLayers,
    selected: null,
    text: {
      vocabulary: 49408,
      context: 77,
      width: 512,
      heads: 8,
      layers: 12,
      embedDim: arch === "ViT-L/14" ? 768 : 512,
    },
    tokens: null,
  });
}

for (const { tensors, trainable, ...sizes } of PUBLISHED) {
  Deno.test(`DiST on ${sizes.arch} with ${sizes.frames / 2}+${sizes.frames} frames and ${sizes.poolingLayers} pooling layers has the published tensors`, () => {
    const { weights } = publishedModel(sizes);
    assert.equal(weights.of("trained").length, tensors);
    assert.equal(weights.count("trained"), trainable);
    assert.equal(weights.of("statistic").length + weights.counters.length, 0);
  });
}

Deno.test("DiST on ViT-B/16 has the published names, shapes and optimiser groups", () => {
  const { weights } = publishedModel(PUBLISHED[0]);
  const shapes: Record<string, readonly number[]> = {
    "temporal_stem.weight": [96, 3, 5, 16, 16],
    "input_linears.11.weight": [384, 768],
    "integration2temporal_nets.0.linear_fuse.weight": [96, 384],
    "temporal2integration_nets.3.cls_token": [1, 1, 8, 384],
    "temporal2integration_nets.3.linear_fuse.weight": [384, 96, 2, 1, 1],
    "temporal_nets.5.temporal_net.c_fc1.weight": [96, 96, 3, 1, 1],
    "temporal_nets.5.temporal_net.c_fc2.weight": [96, 96, 1, 3, 3],
    "temporal_nets.5.ln.bias": [96],
    "integration_nets.2.ffn.c_proj.weight": [384, 384],
    "integration_nets.2.temporal_ffn.c_fc1.weight": [96, 384, 1, 1, 1],
    "integration_nets.2.temporal_ffn.c_fc2.weight": [96, 96, 3, 1, 1],
    "integration_nets.2.temporal_ffn.c_proj.weight": [384, 96, 1, 1, 1],
    "integration_nets.2.ln_temporal.weight": [384],
    "adapooling_nets.1.positional_embedding": [1, 8, 384],
    "adapooling_nets.1.temporal_transformer.attn.in_proj_weight": [1152, 384],
    "adapooling_nets.1.output_map_spatial_cls_token.c_fc.weight": [1536, 384],
    aggregated_spatial_cls_token: [1, 1, 384],
    "proj_spatial_cls_token.weight": [384, 768],
    proj: [384, 512],
  };
  for (const [name, shape] of Object.entries(shapes)) {
    assert.deepEqual(weights.get(`dist_net.${name}`)?.shape, shape, name);
  }
  const groups: Record<string, [tensors: number, scalars: number]> = {};
  for (const { group, shape } of weights.of("trained")) {
    const sums = groups[group] ??= [0, 0];
    sums[0]++;
    sums[1] += sizeOf(shape);
  }
  assert.deepEqual(groups, {
    tokens: [16, 43_776],
    pooling: [16, 7_077_888],
    pooling_bias: [32, 19_968],
    branches: [123, 11_808_768],
    branches_bias: [196, 50_784],
  });
});

Deno.test("the initial values of DiST have the published distributions", () => {
  const { weights } = publishedModel(PUBLISHED[0]);
  const drawn = (name: string) => {
    const { init, shape } = weights.get(`dist_net.${name}`)!;
    return init(sizeOf(shape), createPrng(1));
  };
  const deviation = (values: Float32Array) =>
    Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
  const assertShare = (actual: number, expected: number) =>
    assert.ok(Math.abs(actual / expected - 1) < 0.02, `${actual} for ${expected}`);
  assertShare(deviation(drawn("temporal_stem.weight")), 0.02);
  assertShare(deviation(drawn("adapooling_nets.0.positional_embedding")), 0.02);
  assertShare(deviation(drawn("proj")), 384 ** -0.5);
  const xavier = drawn("adapooling_nets.0.spatial_transformer.attn.in_proj_weight");
  assertShare(Math.max(...xavier.subarray(0, 50_000)), 0.0625);
  assertShare(deviation(xavier), 0.0625 / Math.sqrt(3));
  assert.deepEqual([...new Set(drawn("temporal_stem.bias"))], [0]);
  assert.deepEqual([...new Set(drawn("integration_nets.0.ln_temporal.weight"))], [1]);
});

/** Names and shapes of a checkpoint of the originals, in one of their forms. */
function checkpoint(rename: (name: string) => string) {
  const { weights } = publishedModel({ arch: "ViT-L/14", frames: 32, poolingLayers: 3 });
  const shapes = new Map(
    weights.of("trained").map(({ name, shape }) => [rename(name), shape] as const),
  );
  return { names: () => shapes.keys(), shapeOf: (name: string) => shapes.get(name) };
}

/** Names of the authors' early code. */
function early(name: string): string {
  return name.replace("dist_net.", "ladder_net.").replace("input_linears", "input_map_feat_nets")
    .replace("integration2temporal_nets", "s2t_fuse_nets").replace(
      "temporal2integration_nets",
      "t2s_fuse_nets",
    )
    .replace(".integration_nets", ".spatial_nets").replace("adapooling_nets", "final_temporal_nets");
}

for (
  const [form, rename] of Object.entries({
    "with their prefix": (name: string) => `backbone.base_encoder.${name}`,
    "without it": (name: string) => name,
    "under the early names": (name: string) => `backbone.base_encoder.${early(name)}`,
    "under the early names without the prefix": early,
  })
) {
  Deno.test(`a checkpoint of DiST is recognised ${form}`, () => {
    const { system, backbone, sideDim, holdsTrained } = identify(checkpoint(rename));
    assert.deepEqual([system, backbone, sideDim, holdsTrained], ["DiST", "ViT-L/14", 384, true]);
  });
}

Deno.test("a checkpoint tells the sizes of its network", () => {
  assert.deepEqual(dist.files.keysIn!(checkpoint((name) => name)), {
    "data.num_segments": 32,
    "data.frame_ratio": 2,
    "network.side_dim": 384,
    "network.temporal_dim": 96,
    "network.pooling_layers": 3,
    "network.stem_frames": 5,
    "network.temporal_kernel": 3,
    "network.temporal_mlp_ratio": 1,
    "network.integration_mlp_ratio": 1,
    "network.integration_temporal_mlp_ratio": 0.25,
  });
  assert.equal(dist.files.keysIn!({ names: () => [], shapeOf: () => undefined }), null);
});

Deno.test("a recipe that the network is not made for is refused by its key", () => {
  const recipe = "system: dist\ndata: { num_classes: 3, num_segments: 4 }";
  for (
    const [override, message] of [
      ["data.frame_ratio=3", /data\.num_segments must be a multiple of data\.frame_ratio \(3\)/],
      [
        "network.selected_layers=[3, 1]",
        /network\.selected_layers must be ascending numbers of the backbone's 12 blocks/,
      ],
      ["network.selected_layers=[12]", /network\.selected_layers must be ascending numbers/],
      ["network.stem_frames=4", /network\.stem_frames must be odd/],
      ["network.temporal_kernel=2", /network\.temporal_kernel must be odd/],
      ["network.integration_temporal_mlp_ratio=0.001", /must leave at least one hidden channel of 320/],
      ["network.arch=EVA02-CLIP-L-14", /network\.arch must be a CLIP tower when system is dist/],
    ] as const
  ) {
    assert.throws(() => parseConfig(recipe, { overrides: [override] }), message, override);
  }
  const { config } = parseConfig(recipe);
  assert.deepEqual([config.data.family, config.solver.type, config.solver.optimizer], [
    "dist",
    "running_cosine",
    "adamw",
  ]);
});
