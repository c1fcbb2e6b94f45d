/** TDS-CLIP's weights: names, shapes, counts, groups and initial values of the published models; its plan; its input. */

import assert from "node:assert/strict";
import { Graph, resident, sizeOf, type Tensor } from "../../gpu/graph.ts";
import { createPrng } from "../../lib/random.ts";
import { runGraph } from "../../gpu/run.ts";
import { VIT_PRESETS } from "../../models/clip/tower.ts";
import { Side4Video } from "../../models/side4video.ts";
import { TdsClip } from "../../models/tds_clip.ts";
import { planSession } from "../../train/runtime/session_plan.ts";
import { engineTest } from "../_util/engine.ts";
import { NO_ADAPTER, ROOMY, tinySession } from "../_util/tiny_model.ts";
import { PLAIN_GPU } from "../../gpu/tuning/family.ts";

interface Published {
  arch: string;
  D: number;
  /** Entries of a checkpoint: parameters, running statistics, batch counters. */
  entries: number;
  parameters: number;
  norms: number;
  /** Trainable scalars for 400 and for 174 classes. */
  trainable: readonly [number, number];
  frozen: number;
  /** Trained tensors by optimiser group: side, batch norms. The classifier has two. */
  groups: readonly [number, number];
}

const PUBLISHED: readonly Published[] = [
  {
    arch: "ViT-B/16",
    D: 320,
    entries: 675,
    parameters: 522,
    norms: 51,
    trainable: [24_297_072, 24_224_526],
    frozen: 85_797_888,
    groups: [269, 102],
  },
  {
    arch: "ViT-L/14",
    D: 512,
    entries: 1323,
    parameters: 1026,
    norms: 99,
    trainable: [106_651_536, 106_535_598],
    frozen: 303_177_728,
    groups: [533, 198],
  },
];

function publishedModel(arch: string, options: { D: number; classes?: number; smeScale?: number }): TdsClip {
  const { D, classes = 400, smeScale = 0.5 } = options;
  return new TdsClip({ backbone: VIT_PRESETS[arch], frames: 8, sideDim: D, classes, smeScale });
}

for (const { arch, D, entries, parameters, norms, trainable, frozen, groups } of PUBLISHED) {
  Deno.test(`TDS-CLIP on ${arch} has the published ${entries} tensors and counts of parameters`, () => {
    [400, 174].forEach((classes, i) => {
      const { weights } = publishedModel(arch, { D, classes });
      assert.equal(weights.count("trained"), trainable[i], `${classes} classes`);
      assert.equal(weights.count("frozen"), frozen);
      assert.equal(weights.of("trained").length + weights.of("frozen").length, parameters);
      assert.equal(weights.counters.length, norms);
      assert.equal(weights.of("statistic").length, 2 * norms);
      assert.equal(weights.list.length + weights.counters.length, entries);
    });
  });

  Deno.test(`TDS-CLIP on ${arch} has the published optimiser groups`, () => {
    const { weights } = publishedModel(arch, { D });
    const sizes: Record<string, number> = { side: 0, head: 0, batch_norm: 0 };
    for (const { name, group } of weights.of("trained")) {
      sizes[group]++;
      // The published rule goes by names; ours by structure. They must agree.
      const isNorm = name.includes("bn") && name.includes("side");
      assert.equal(group, isNorm ? "batch_norm" : name.includes("visual") ? "side" : "head", name);
    }
    assert.deepEqual(sizes, { side: groups[0], head: 2, batch_norm: groups[1] });
  });

  Deno.test(`TDS-CLIP on ${arch} is Side4Video plus the difference stem and the gates, under the original names`, () => {
    const tds = publishedModel(arch, { D }).weights;
    const { backbone } = publishedModel(arch, { D }).config;
    const side = new Side4Video({ backbone, frames: 8, sideDim: D, classes: 400 }).weights;
    const shapes = (weights: typeof tds) =>
      new Map(weights.list.map(({ name, shape, kind }) => [name, `${kind} ${shape}`]));
    const ours = shapes(tds);
    for (const [name, shape] of shapes(side)) assert.equal(ours.get(name), shape, name);
    const known = new Set(side.list.map(({ name }) => name)), r = D / 16, p = backbone.patchSize;
    const expected = new Map<string, string>();
    const norm = (prefix: string, width: number) => {
      for (const part of ["weight", "bias"]) expected.set(`${prefix}.${part}`, `trained ${width}`);
      for (const part of ["running_mean", "running_var"]) {
        expected.set(`${prefix}.${part}`, `statistic ${width}`);
      }
    };
    expected.set("visual.side_conv1_c5.weight", `trained ${D},12,3,${p},${p}`);
    expected.set("visual.side_conv1_c5.bias", `trained ${D}`);
    norm("visual.side_pre_bn3d_c5", D);
    for (let i = 0; i < backbone.layers; i++) {
      const gate = `visual.transformer.side_transformer.${i}.mse`;
      expected.set(`${gate}.conv1.weight`, `trained ${r},${D},1,1`);
      expected.set(`${gate}.conv2.weight`, `trained ${D},${r},1,1`);
      norm(`${gate}.bn1`, r);
      norm(`${gate}.bn2`, D);
    }
    assert.deepEqual(
      new Map([...ours].filter(([name]) => !known.has(name)).sort()),
      new Map([...expected].sort()),
    );
    const counters = new Set(side.counters);
    assert.deepEqual(
      tds.counters.filter((name) => !counters.has(name)).sort(),
      [...expected.keys()].filter((name) => name.endsWith(".running_mean"))
        .map((name) => name.replace("running_mean", "num_batches_tracked")).sort(),
    );
  });
}

Deno.test("the initial values of what TDS-CLIP adds have the published distributions", () => {
  const { weights } = publishedModel("ViT-B/16", { D: 320 });
  const draw = (name: string) => {
    const weight = weights.get(name)!;
    return weight.init(sizeOf(weight.shape), createPrng(5));
  };
  const gate = "visual.transformer.side_transformer.7.mse";
  for (
    const [name, bound] of [
      ["visual.side_conv1_c5.weight", 0.010417],
      ["visual.side_conv1_c5.bias", 0.010417],
      ["visual.side_conv1.weight", 0.020833],
      [`${gate}.conv1.weight`, 0.055902],
      [`${gate}.conv2.weight`, 0.223607],
    ] as const
  ) {
    const largest = draw(name).reduce((max, x) => Math.max(max, Math.abs(x)), 0);
    assert.ok(largest <= bound * 1.0001 && largest > bound * 0.95, `${name}: ${largest}, expected ${bound}`);
  }
  for (const norm of [`${gate}.bn1`, `${gate}.bn2`, "visual.side_pre_bn3d_c5"]) {
    assert.ok(
      draw(`${norm}.weight`).every((x) => x === 1) && draw(`${norm}.running_var`).every((x) => x === 1),
    );
    assert.ok(
      draw(`${norm}.bias`).every((x) => x === 0) && draw(`${norm}.running_mean`).every((x) => x === 0),
    );
  }
});

Deno.test("a side width that the gate cannot reduce by sixteen is refused", () => {
  assert.throws(
    () => publishedModel("ViT-B/16", { D: 72 }),
    /^RangeError: Cannot build TDS-CLIP: side_dim must be a multiple of 16, current value is 72$/,
  );
});

Deno.test("with recomputation ViT-B/16 at 32 clips needs at most 1.3 times the memory of Side4Video", () => {
  const environment = {
    ...PLAIN_GPU,
    features: new Set(["shader-f16", "subgroups"]),
  };
  const sizes = { backbone: VIT_PRESETS["ViT-B/16"], frames: 8, sideDim: 320, classes: 400 };
  const options = tinySession({
    trainClips: [32],
    evalClips: 32,
    recompute: true,
    largestFrame: { width: 456, height: 256 },
    limits: { maxBindingBytes: 2 ** 31 - 2 ** 20, maxBufferBytes: 2 ** 31 - 2 ** 20 },
  });
  const bytes = (model: Side4Video | TdsClip) => planSession(model, options, environment).memory.total;
  const side = bytes(new Side4Video(sizes, { backboneDtype: "f16" }));
  const tds = bytes(new TdsClip({ ...sizes, smeScale: 0.5 }, { backboneDtype: "f16" }));
  assert.ok(tds <= 1.3 * side, `${tds} bytes against ${side}`);
});

const SIZES = {
  backbone: { imageSize: 16, patchSize: 8, width: 32, layers: 1, heads: 2 },
  frames: 2,
  sideDim: 64,
};

function tinyTds(smeScale = 0.5): TdsClip {
  return new TdsClip({ ...SIZES, classes: 3, smeScale });
}

/** Seeded values of every weight, and pictures of one clip [T*5 3 H W]. */
function tinyValues(model: TdsClip) {
  const values = new Map<Tensor, Float32Array>();
  model.weights.list.forEach(({ tensor, init, shape }, i) => {
    values.set(tensor, init(sizeOf(shape), createPrng(11, i)));
  });
  const count = 2 * 2 * 5 * 3 * 16 * 16, prng = createPrng(12);
  return { values, pictures: Float32Array.from({ length: count }, () => prng.normal()) };
}

engineTest(
  "the tower sees the middle picture of a window alone, and the side network the others too",
  async (gpu) => {
    const model = tinyTds(), { values, pictures } = tinyValues(model);
    const run = async (changed: number | null) => {
      const g = new Graph(), input = resident("input", "pictures", [2 * 2 * 5, 3, 16, 16]);
      const { activations, outputs } = model.forward(g, { frames: input }, { mode: "eval" });
      for (const name of ["ln_pre", "side_pre_bn3d", "side_pre_bn3d_c5"]) {
        g.output(
          name,
          activations.get(name)!,
        );
      }
      g.output("logits", outputs.logits);
      const own = pictures.slice();
      // One picture of every window is another one.
      if (changed !== null) {
        const picture = 3 * 16 * 16;
        for (let f = 0; f < 4; f++) own.subarray((f * 5 + changed) * picture).subarray(0, picture).fill(0.3);
      }
      return await runGraph(gpu, g, new Map<Tensor, Float32Array>([...values, [input, own]]));
    };
    const plain = await run(null);
    for (const changed of [0, 1, 2, 3, 4]) {
      const results = await run(changed);
      const same = (name: string) =>
        assert.deepEqual(results.get(name), plain.get(name), `${name}, picture ${changed}`);
      const differs = (name: string) =>
        assert.notDeepEqual(results.get(name), plain.get(name), `${name}, picture ${changed}`);
      for (const name of ["ln_pre", "side_pre_bn3d"]) changed === 2 ? differs(name) : same(name);
      differs("side_pre_bn3d_c5");
      differs("logits");
    }
  },
);

engineTest(
  "windows without motion leave the difference stem at its bias, and a scale of 0 leaves it out",
  async (gpu) => {
    const still = async (smeScale: number, moving: boolean) => {
      const model = tinyTds(smeScale), { values, pictures } = tinyValues(model);
      const g = new Graph(), input = resident("input", "pictures", [2 * 2 * 5, 3, 16, 16]);
      const { activations, outputs } = model.forward(g, { frames: input }, { mode: "eval" });
      g.output("motion", activations.get("side_pre_bn3d_c5")!);
      g.output("logits", outputs.logits);
      const own = pictures.slice(), picture = 3 * 16 * 16;
      for (let f = 0; f < 4 && !moving; f++) {
        for (let j = 0; j < 5; j++) {
          own.copyWithin(
            (f * 5 + j) * picture,
            (f * 5 + 2) * picture,
            (f * 5 + 3) * picture,
          );
        }
      }
      const results = await runGraph(gpu, g, new Map<Tensor, Float32Array>([...values, [input, own]]));
      return { results, bias: values.get(model.weights.get("visual.side_conv1_c5.bias")!.tensor)! };
    };
    const { results, bias } = await still(0.5, false);
    results.get("motion")!.forEach((value, i) => assert.ok(Math.abs(value - bias[i % 64]) < 1e-5));
    const without = (await still(0, true)).results.get("logits"),
      again = (await still(0, false)).results.get("logits");
    assert.deepEqual(without, again, "a scale of 0 must not see the neighbours");
    assert.notDeepEqual(
      (await still(1, true)).results.get("logits"),
      (await still(0.5, true)).results.get("logits"),
    );
  },
);

Deno.test("the input of a clip holds five pictures a frame", () => {
  const model = tinyTds();
  assert.equal(model.window, 5);
  const { programs } = planSession(model, tinySession({ limits: ROOMY }), NO_ADAPTER);
  assert.deepEqual(programs.frames.shape, [2 * 2 * 5, 3, 16, 16]);
});
