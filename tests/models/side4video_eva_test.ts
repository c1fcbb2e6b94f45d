/** Side4Video on EVA towers: names, shapes, counts and groups of the published models, initial values, storage types. */

import assert from "node:assert/strict";
import { Graph, resident, sizeOf, type Tensor } from "../../gpu/graph.ts";
import { runGraph } from "../../gpu/run.ts";
import { createPrng } from "../../lib/random.ts";
import type { EvaConfig } from "../../models/eva/block.ts";
import { EVA_PRESETS, evaTower } from "../../models/eva/tower.ts";
import { checkAccount, isIgnored, type WeightSource } from "../../models/params.ts";
import { Side4VideoEva } from "../../models/side4video_eva.ts";
import { patchesOf } from "../../models/tower.ts";
import { explainBackbone } from "../../models/towers.ts";
import { engineTest } from "../_util/engine.ts";

const BIG_E = "EVA02-CLIP-bigE-14", LARGE = "EVA02-CLIP-L-14", SIDE_DIM = 576;
/** What the original's count of frozen parameters holds besides ours: the norm and the head behind the last block. */
const UNUSED_SCALARS = 2 * 1792 + 1024 * 1792 + 1024;

function publishedModel(arch: string, options: { classes?: number; sideDim?: number } = {}): Side4VideoEva {
  const { classes = 400, sideDim = SIDE_DIM } = options;
  return new Side4VideoEva({ backbone: EVA_PRESETS[arch], frames: 8, sideDim, classes });
}

Deno.test("ViT-E/14 has the published numbers of parameters", () => {
  for (const [classes, trainable] of [[400, 183_504_208], [174, 183_373_806]]) {
    const { weights } = publishedModel(BIG_E, { classes });
    assert.equal(weights.count("trained"), trainable, `${classes} classes`);
    assert.equal(weights.of("trained").length, 903);
    assert.equal(weights.count("frozen") + UNUSED_SCALARS, 4_350_556_928);
  }
});

Deno.test("ViT-E/14 has the published optimiser groups and statistics", () => {
  const { weights } = publishedModel(BIG_E);
  const sizes: Record<string, number> = { side: 0, head: 0, batch_norm: 0 };
  for (const { group, shape } of weights.of("trained")) sizes[group] += sizeOf(shape);
  assert.equal(sizes.batch_norm, 74_880);
  assert.equal(sizes.head, 400 * (SIDE_DIM + 1));
  // The published rule goes by names; ours by structure. They must agree.
  for (const { name, group } of weights.of("trained")) {
    const expected = name.includes("bn") && name.includes("side")
      ? "batch_norm"
      : name.includes("visual")
      ? "side"
      : "head";
    assert.equal(group, expected, name);
  }
  assert.equal(weights.count("statistic") + weights.counters.length, 74_945);
});

type Shapes = [string, number[]][];

function affine(prefix: string, width: number): Shapes {
  return [[`${prefix}.weight`, [width]], [`${prefix}.bias`, [width]]];
}

function layer(prefix: string, shape: number[]): Shapes {
  return [[`${prefix}.weight`, shape], [`${prefix}.bias`, [shape[0]]]];
}

function sideShapes(config: EvaConfig, d: number, classes: number): Shapes {
  const { patchSize: p, width: W } = config;
  const norm = (prefix: string): Shapes => [
    ...affine(prefix, d),
    [`${prefix}.running_mean`, [d]],
    [`${prefix}.running_var`, [d]],
  ];
  const shapes: Shapes = [
    ...layer("visual.side_conv1", [d, 3, 3, p, p]),
    ...norm("visual.side_pre_bn3d"),
    ["visual.side_spatial_position_embeddings", [patchesOf(config), d]],
    ...layer("fc", [classes, d]),
  ];
  for (let k = 0; k < config.layers / 2; k++) {
    const block = `visual.side_blocks.${k}`;
    shapes.push(
      ...layer(`visual.side_linears.${k}`, [d, W]),
      ...affine(`visual.side_lns.${k}`, d),
      ...norm(`${block}.bn_1`),
      ...norm(`${block}.bn_2`),
      ...affine(`${block}.ln_1`, d),
      ...layer(`${block}.conv.0`, [d, d, 1, 1, 1]),
      ...layer(`${block}.conv.1`, [d, 1, 3, 1, 1]),
      ...layer(`${block}.conv.2`, [d, d, 1, 1, 1]),
      ...["q_proj", "k_proj", "v_proj", "proj"].flatMap((name) => layer(`${block}.attn.${name}`, [d, d])),
      ...layer(`${block}.mlp.0`, [4 * d, d]),
      ...layer(`${block}.mlp.2`, [d, 4 * d]),
    );
  }
  return shapes;
}

function towerShapes(arch: string): Shapes {
  const config = EVA_PRESETS[arch], { patchSize: p, width: W, layers, hidden } = config;
  const shapes: Shapes = [
    ["visual.cls_token", [1, 1, W]],
    ["visual.pos_embed", [1, patchesOf(config) + 1, W]],
    ...layer("visual.patch_embed.proj", [W, 3, p, p]),
  ];
  for (let i = 0; i < layers; i++) {
    const block = `visual.blocks.${i}`;
    shapes.push(
      ...affine(`${block}.norm1`, W),
      ...affine(`${block}.norm2`, W),
      [`${block}.attn.q_bias`, [W]],
      [`${block}.attn.v_bias`, [W]],
      ...layer(`${block}.attn.proj`, [W, W]),
    );
    if (arch === BIG_E) {
      shapes.push(
        [`${block}.attn.qkv.weight`, [3 * W, W]],
        ...layer(`${block}.mlp.fc1`, [hidden, W]),
        ...layer(`${block}.mlp.fc2`, [W, hidden]),
      );
    } else {
      shapes.push(
        ...["q", "k", "v"].map((name): [string, number[]] => [`${block}.attn.${name}_proj.weight`, [W, W]]),
        ...affine(`${block}.attn.inner_attn_ln`, W),
        ...layer(`${block}.mlp.w1`, [hidden, W]),
        ...layer(`${block}.mlp.w2`, [hidden, W]),
        ...affine(`${block}.mlp.ffn_ln`, hidden),
        ...layer(`${block}.mlp.w3`, [W, hidden]),
      );
    }
  }
  return shapes;
}

for (const arch of [BIG_E, LARGE]) {
  Deno.test(`${arch} has every tensor of the original under its name and shape`, () => {
    const { weights } = publishedModel(arch);
    const expected = new Map([...sideShapes(EVA_PRESETS[arch], SIDE_DIM, 400), ...towerShapes(arch)]);
    const actual = new Map(weights.list.map(({ name, shape }) => [name, [...shape]]));
    assert.deepEqual(new Set(actual.keys()), new Set(expected.keys()));
    for (const [name, shape] of expected) assert.deepEqual(actual.get(name), shape, name);
    assert.deepEqual(
      weights.counters.toSorted(),
      [...expected.keys()].filter((name) => name.endsWith(".running_mean"))
        .map((name) => name.replace("running_mean", "num_batches_tracked")).toSorted(),
    );
    for (const { name, kind } of weights.list) {
      if (kind === "statistic") continue;
      assert.equal(kind === "trained", name.includes("side") || name.startsWith("fc."), name);
    }
  });
}

Deno.test("published towers have their published sizes", () => {
  assert.equal(EVA_PRESETS[BIG_E].width / EVA_PRESETS[BIG_E].heads, 112);
  assert.equal(EVA_PRESETS[BIG_E].hidden, Math.floor(1792 * 8.571428571428571));
  assert.equal(EVA_PRESETS[LARGE].hidden, Math.floor(1024 * 2.6667));
  assert.equal(patchesOf(EVA_PRESETS["EVA02-CLIP-L-14-336"]), 24 * 24);
});

Deno.test("initial values of an EVA side network have the published distributions", () => {
  const { weights } = publishedModel(LARGE);
  const draw = (name: string) => {
    const weight = weights.get(name)!;
    return weight.init(sizeOf(weight.shape), createPrng(3));
  };
  const deviation = (name: string) => {
    const values = draw(name);
    return Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
  };
  const close = (name: string, expected: number) =>
    assert.ok(Math.abs(deviation(name) / expected - 1) < 0.05, `${name}: ${deviation(name)}, ${expected}`);
  const block = "visual.side_blocks.4", D = SIDE_DIM;
  close("visual.side_spatial_position_embeddings", 0.02);
  const bounds: [string, number][] = [
    ["visual.side_conv1.weight", 1 / (3 * 14)],
    ["visual.side_linears.3.weight", 1024 ** -0.5],
    [`${block}.conv.0.weight`, D ** -0.5],
    [`${block}.conv.1.weight`, 3 ** -0.5],
    [`${block}.attn.q_proj.weight`, D ** -0.5],
    [`${block}.attn.proj.bias`, D ** -0.5],
    [`${block}.mlp.0.weight`, D ** -0.5],
    [`${block}.mlp.2.weight`, 0.5 * D ** -0.5],
    ["fc.weight", D ** -0.5],
  ];
  for (const [name, bound] of bounds) {
    assert.ok(draw(name).every((x) => Math.abs(x) <= bound), name);
    close(name, bound / Math.sqrt(3));
  }
  for (const name of [`${block}.bn_1.weight`, `${block}.bn_2.running_var`, `${block}.ln_1.weight`]) {
    assert.ok(draw(name).every((x) => x === 1), name);
  }
});

/** A source that knows shapes only. */
function sourceOf(shapes: Iterable<[string, number[]]>): WeightSource {
  const map = new Map(shapes);
  return {
    label: "weights.pt",
    names: () => map.keys(),
    shapeOf: (name) => map.get(name),
    readF32: () => Promise.reject(new Error("not needed")),
  };
}

Deno.test("what an EVA file looks like is told by its preset's name", () => {
  for (const arch of [BIG_E, LARGE]) {
    assert.equal(explainBackbone(sourceOf(towerShapes(arch))), `the file looks like ${arch}`);
  }
  const large = new Map(towerShapes(LARGE)).set("visual.pos_embed", [1, 577, 1024]);
  assert.equal(evaTower.explain(sourceOf(large)), "the file looks like EVA02-CLIP-L-14-336");
  assert.match(
    evaTower.explain(sourceOf(large.set("visual.pos_embed", [1, 10, 1024]))),
    /width 1024, patch 14, 24 layers/,
  );
  assert.equal(evaTower.explain(sourceOf([])), "the file has no EVA-CLIP image tower");
});

Deno.test("an EVA file's text tower, head and position tables are ignored, anything else is not", () => {
  const frozen = publishedModel(LARGE).weights.of("frozen"), ignore = evaTower.unused(EVA_PRESETS[LARGE]);
  const extra: Shapes = [
    ["visual.norm.weight", [1024]],
    ["visual.head.weight", [768, 1024]],
    ["visual.rope.freqs_cos", [256, 64]],
    ["visual.blocks.23.attn.rope.freqs_sin", [256, 64]],
    ["text.transformer.resblocks.0.ln_1.weight", [768]],
    ["logit_scale", []],
  ];
  const check = (more: Shapes) =>
    checkAccount(frozen, sourceOf([...towerShapes(LARGE), ...more]), { ignore, explain: explainBackbone });
  check(extra);
  assert.throws(
    () => check([["visual.blocks.0.attn.gamma", [1024]]]),
    /"visual.blocks.0.attn.gamma" is not known/,
  );
  assert.ok(!isIgnored("visual.blocks.0.attn.rope.freqs_cos", evaTower.unused(EVA_PRESETS[BIG_E])));
});

const TINY: Omit<EvaConfig, "norm" | "subNorm" | "mlp" | "ropeSpan"> = {
  imageSize: 16,
  patchSize: 8,
  width: 32,
  layers: 3,
  heads: 2,
  hidden: 42,
};
const OPTIONS: Record<string, Pick<EvaConfig, "norm" | "subNorm" | "mlp" | "ropeSpan">> = {
  "bigE": { norm: "post", subNorm: false, mlp: "gelu", ropeSpan: null },
  "L": { norm: "pre", subNorm: true, mlp: "swiglu", ropeSpan: 16 },
};

function tinyEva(
  options: keyof typeof OPTIONS,
  changes: { backboneDtype?: "f32" | "f16"; sideDim?: number; width?: number } = {},
): Side4VideoEva {
  const { sideDim = 64, width = TINY.width, backboneDtype } = changes;
  return new Side4VideoEva({
    backbone: { ...TINY, ...OPTIONS[options], width },
    frames: 3,
    sideDim,
    classes: 4,
  }, { backboneDtype });
}

Deno.test("the last block of an odd number has no side layer", () => {
  const { weights } = tinyEva("bigE");
  assert.ok(weights.get("visual.side_blocks.0.ln_1.weight"));
  assert.equal(weights.get("visual.side_blocks.1.ln_1.weight"), undefined);
  assert.ok(weights.get("visual.blocks.2.norm1.weight"));
});

Deno.test("frozen matrices of an EVA tower are stored in the backbone's type, tables and trained weights in f32", () => {
  for (const name of ["bigE", "L"]) {
    for (const weight of tinyEva(name, { backboneDtype: "f16" }).weights.list) {
      const table = ["visual.pos_embed", "visual.cls_token"].includes(weight.name);
      const half = weight.kind === "frozen" && weight.shape.length >= 2 && !table;
      assert.equal(weight.tensor.dtype, half ? "f16" : "f32", weight.name);
    }
  }
});

Deno.test("a side width or a tower width that does not divide into heads is refused", () => {
  assert.throws(
    () => tinyEva("bigE", { sideDim: 200 }),
    /side_dim must be a multiple of side_dim \/\/ 64.* 200/,
  );
  assert.throws(() => tinyEva("bigE", { width: 33 }), /width must be a multiple of heads.* 33 and 2/);
});

for (const name of ["bigE", "L"]) {
  engineTest(`a tower with the options of ${name} gives nearly the same in f16 as in f32`, async (gpu) => {
    const given: Record<string, Float32Array> = {};
    for (const backboneDtype of ["f32", "f16"] as const) {
      const model = tinyEva(name, { backboneDtype }), g = new Graph();
      const frames = resident("input", "frames", [6, 3, 16, 16]);
      const { outputs, activations } = model.forward(g, { frames }, { mode: "eval" });
      g.output("logits", outputs.logits);
      const stream = g.output("stream", activations.get("backbone.2")!);
      assert.equal(stream.dtype, "f32", "the residual stream is exact");
      const values = new Map<Tensor, Float32Array>();
      model.weights.list.forEach((weight, i) => {
        const prng = createPrng(5, i), initial = weight.init(sizeOf(weight.shape), prng);
        // Off their initial values, which would leave branches and biases near nothing.
        values.set(
          weight.tensor,
          initial.map((x) => x + (weight.kind === "statistic" ? 0 : 0.2 * prng.normal())),
        );
      });
      const prng = createPrng(6);
      values.set(frames, Float32Array.from({ length: 6 * 3 * 256 }, () => prng.normal()));
      const results = await runGraph(gpu, g, values);
      given[backboneDtype] = Float32Array.from([...results.get("logits")!, ...results.get("stream")!]);
    }
    const largest = given.f32.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
    const error = given.f32.reduce((max, x, i) => Math.max(max, Math.abs(x - given.f16[i])), 0) / largest;
    assert.ok(error > 1e-6 && error < 5e-3, `largest error is ${error} of ${largest}`);
  });
}
