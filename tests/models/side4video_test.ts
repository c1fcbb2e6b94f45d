/** Side4Video's weights: names, shapes, counts and groups of the published models, and their initial values. */

import assert from "node:assert/strict";
import { sizeOf } from "../../gpu/graph.ts";
import { createPrng } from "../../lib/random.ts";
import { VIT_PRESETS } from "../../models/clip/tower.ts";
import { Side4Video } from "../../models/side4video.ts";
import { patchesOf } from "../../models/tower.ts";
import { flatOrder } from "../../train/runtime/programs.ts";
import { TINY_OPTIMIZER, tinyModel } from "../_util/tiny_model.ts";

interface Published {
  arch: string;
  sideDim: number;
  tensors: number;
  /** Trainable scalars for 400 and for 174 classes. */
  trainable: readonly [number, number];
  frozen: number;
  batchNorm: number;
}

/**
 * Counts of the published models. The published frozen count has no `ln_post` and no `proj`: the original class deletes
 * them, and ours does not declare them.
 */
const PUBLISHED: readonly Published[] = [
  {
    arch: "ViT-B/32",
    sideDim: 320,
    tensors: 297,
    trainable: [23_350_032, 23_277_486],
    frozen: 87_454_464,
    batchNorm: 16_640,
  },
  {
    arch: "ViT-B/16",
    sideDim: 320,
    tensors: 297,
    trainable: [21_185_232, 21_112_686],
    frozen: 85_797_888,
    batchNorm: 16_640,
  },
  {
    arch: "ViT-L/14",
    sideDim: 512,
    tensors: 585,
    trainable: [102_224_784, 102_108_846],
    frozen: 303_177_728,
    batchNorm: 51_200,
  },
];

function publishedModel(
  arch: string,
  options: { sideDim: number; classes?: number; frames?: number },
): Side4Video {
  const { sideDim, classes = 400, frames = 8 } = options;
  return new Side4Video({ backbone: VIT_PRESETS[arch], frames, sideDim, classes });
}

for (const { arch, sideDim, tensors, trainable, frozen, batchNorm } of PUBLISHED) {
  Deno.test(`${arch} has the published numbers of parameters`, () => {
    [400, 174].forEach((classes, i) => {
      const { weights } = publishedModel(arch, { sideDim, classes });
      assert.equal(weights.count("trained"), trainable[i], `${classes} classes`);
      assert.equal(weights.of("trained").length, tensors);
      assert.equal(weights.count("frozen"), frozen);
    });
  });

  Deno.test(`${arch} has the published optimiser groups`, () => {
    const { weights } = publishedModel(arch, { sideDim });
    const sizes: Record<string, number> = { side: 0, head: 0, batch_norm: 0 };
    for (const { group, shape } of weights.of("trained")) sizes[group] += sizeOf(shape);
    assert.equal(sizes.batch_norm, batchNorm);
    assert.equal(sizes.head, 400 * (sideDim + 1));
    assert.equal(sizes.side, trainable[0] - batchNorm - sizes.head);
    // The published rule goes by names; ours by structure. They must agree.
    for (const { name, group } of weights.of("trained")) {
      const expected = name.includes("bn") && name.includes("side")
        ? "batch_norm"
        : name.includes("visual")
        ? "side"
        : "head";
      assert.equal(group, expected, name);
    }
    // Running statistics and batch counters: two vectors and one whole number each.
    const norms = 2 + 2 * VIT_PRESETS[arch].layers;
    assert.equal(weights.count("statistic"), 2 * norms * sideDim);
    assert.equal(weights.counters.length, norms);
  });

  Deno.test(`${arch} has every tensor of the original under its name and shape`, () => {
    const { weights } = publishedModel(arch, { sideDim });
    const expected = new Map([
      ...trainedShapes(arch, sideDim, 400),
      ...frozenShapes(arch),
      ...statisticShapes(arch, sideDim),
    ]);
    const actual = new Map(weights.list.map(({ name, shape }) => [name, [...shape]]));
    assert.deepEqual(new Set(actual.keys()), new Set(expected.keys()));
    for (const [name, shape] of expected) assert.deepEqual(actual.get(name), shape, name);
    assert.deepEqual(
      weights.counters.toSorted(),
      [...expected.keys()].filter((name) => name.endsWith(".running_mean"))
        .map((name) => name.replace("running_mean", "num_batches_tracked")).toSorted(),
    );
    // Trainable is what has "side" in its name, and the classifier.
    for (const { name, kind } of weights.list) {
      if (kind === "statistic") continue;
      assert.equal(kind === "trained", name.includes("side") || name.startsWith("fc."), name);
    }
  });
}

type Shapes = [string, number[]][];

function trainedShapes(arch: string, d: number, classes: number): Shapes {
  const { patchSize: p, width: W, layers } = VIT_PRESETS[arch], N = patchesOf(VIT_PRESETS[arch]);
  const shapes: Shapes = [
    ["visual.side_conv1.weight", [d, 3, 3, p, p]],
    ["visual.side_conv1.bias", [d]],
    ["visual.transformer.side_spatial_position_embeddings", [N, d]],
    ["fc.weight", [classes, d]],
    ["fc.bias", [classes]],
  ];
  for (const norm of ["visual.side_pre_bn3d", "visual.side_post_bn"]) shapes.push(...affine(norm, d));
  for (let k = 0; k < layers; k++) {
    const block = `visual.transformer.side_transformer.${k}`;
    shapes.push(
      ...affine(`visual.transformer.side_lns.${k}`, W),
      [`visual.transformer.side_linears.${k}.weight`, [d, W]],
      [`visual.transformer.side_linears.${k}.bias`, [d]],
      ...["bn_1", "bn_2", "ln_1"].flatMap((norm) => affine(`${block}.${norm}`, d)),
      [`${block}.conv.0.weight`, [d, d, 1, 1, 1]],
      [`${block}.conv.0.bias`, [d]],
      [`${block}.conv.1.weight`, [d, 1, 3, 1, 1]],
      [`${block}.conv.1.bias`, [d]],
      [`${block}.conv.2.weight`, [d, d, 1, 1, 1]],
      [`${block}.conv.2.bias`, [d]],
      [`${block}.attn.in_proj_weight`, [3 * d, d]],
      [`${block}.attn.in_proj_bias`, [3 * d]],
      [`${block}.attn.out_proj.weight`, [d, d]],
      [`${block}.attn.out_proj.bias`, [d]],
      [`${block}.mlp.fc1.weight`, [4 * d, d]],
      [`${block}.mlp.fc1.bias`, [4 * d]],
      [`${block}.mlp.fc2.weight`, [d, 4 * d]],
      [`${block}.mlp.fc2.bias`, [d]],
    );
  }
  return shapes;
}

function frozenShapes(arch: string): Shapes {
  const { patchSize: p, width: W, layers } = VIT_PRESETS[arch], N = patchesOf(VIT_PRESETS[arch]);
  const shapes: Shapes = [
    ["visual.class_embedding", [W]],
    ["visual.positional_embedding", [N + 1, W]],
    ["visual.conv1.weight", [W, 3, p, p]],
    ...affine("visual.ln_pre", W),
  ];
  for (let i = 0; i < layers; i++) {
    const block = `visual.transformer.resblocks.${i}`;
    shapes.push(
      ...affine(`${block}.ln_1`, W),
      ...affine(`${block}.ln_2`, W),
      [`${block}.attn.in_proj_weight`, [3 * W, W]],
      [`${block}.attn.in_proj_bias`, [3 * W]],
      [`${block}.attn.out_proj.weight`, [W, W]],
      [`${block}.attn.out_proj.bias`, [W]],
      [`${block}.mlp.c_fc.weight`, [4 * W, W]],
      [`${block}.mlp.c_fc.bias`, [4 * W]],
      [`${block}.mlp.c_proj.weight`, [W, 4 * W]],
      [`${block}.mlp.c_proj.bias`, [W]],
    );
  }
  return shapes;
}

function statisticShapes(arch: string, d: number): Shapes {
  const norms = ["visual.side_pre_bn3d", "visual.side_post_bn"];
  for (let k = 0; k < VIT_PRESETS[arch].layers; k++) {
    norms.push(...["bn_1", "bn_2"].map((norm) => `visual.transformer.side_transformer.${k}.${norm}`));
  }
  return norms.flatMap((norm): Shapes => [[`${norm}.running_mean`, [d]], [`${norm}.running_var`, [d]]]);
}

function affine(prefix: string, width: number): Shapes {
  return [[`${prefix}.weight`, [width]], [`${prefix}.bias`, [width]]];
}

Deno.test("the number of frames shapes no weight", () => {
  const shapes = (frames: number) =>
    publishedModel("ViT-B/16", { sideDim: 320, frames }).weights.list.map(({ name, shape }) =>
      `${name} ${shape}`
    );
  assert.deepEqual(shapes(16), shapes(8));
});

Deno.test("frozen matrices are stored in the backbone's type, vectors, positions and trained weights in f32", () => {
  const { weights } = tinyModel({ backboneDtype: "f16" });
  for (const { name, shape, kind, tensor } of weights.list) {
    const half = kind === "frozen" && shape.length >= 2 && name !== "visual.positional_embedding";
    assert.equal(tensor.dtype, half ? "f16" : "f32", name);
  }
});

Deno.test("the optimiser's flat order keeps every group in one piece and loses no weight", () => {
  const model = tinyModel();
  const { trained: order, kept } = flatOrder(model, TINY_OPTIMIZER);
  assert.deepEqual(new Set(order), new Set(model.weights.of("trained")));
  assert.deepEqual(kept, []);
  const groups = order.map(({ group }) => group).filter((group, i, all) => group !== all[i - 1]);
  assert.deepEqual(groups, ["side", "head", "batch_norm"]);
});

Deno.test("initial values have the published distributions", () => {
  const { weights } = publishedModel("ViT-B/16", { sideDim: 320 });
  const draw = (name: string) => {
    const weight = weights.get(name)!;
    return weight.init(sizeOf(weight.shape), createPrng(3));
  };
  const deviation = (values: Float32Array) =>
    Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
  const close = (name: string, expected: number) => {
    const actual = deviation(draw(name));
    assert.ok(Math.abs(actual / expected - 1) < 0.02, `${name}: ${actual}, expected ${expected}`);
  };
  const D = 320, block = "visual.transformer.side_transformer.4";
  close("visual.transformer.side_spatial_position_embeddings", 0.01);
  close(`${block}.attn.in_proj_weight`, D ** -0.5);
  close(`${block}.attn.out_proj.weight`, (24 * D) ** -0.5);
  close(`${block}.mlp.fc1.weight`, (2 * D) ** -0.5);
  close(`${block}.mlp.fc2.weight`, (24 * D) ** -0.5);
  // PyTorch's default for linear and convolution layers: uniform within one over the root of the fan-in.
  for (
    const [name, fanIn] of [["visual.side_conv1.weight", 3 * 3 * 16 * 16], [
      `${block}.conv.0.weight`,
      D,
    ]] as const
  ) {
    const values = draw(name), bound = fanIn ** -0.5;
    assert.ok(values.every((x) => Math.abs(x) <= bound), name);
    close(name, bound / Math.sqrt(3));
  }
  for (const name of [`${block}.bn_1.weight`, `${block}.bn_2.running_var`, `${block}.ln_1.weight`]) {
    assert.ok(draw(name).every((x) => x === 1), name);
  }
  for (const name of [`${block}.bn_1.bias`, `${block}.bn_2.running_mean`, `${block}.attn.in_proj_bias`]) {
    assert.ok(draw(name).every((x) => x === 0), name);
  }
});

Deno.test("a side width that does not divide into its heads is refused", () => {
  assert.throws(
    () => tinyModel({ sideDim: 200 }),
    /side_dim must be a multiple of side_dim \/\/ 64, current value is 200/,
  );
  assert.throws(
    () => tinyModel({ width: 33 }),
    /width must be a multiple of heads, current values are 33 and 2/,
  );
});
