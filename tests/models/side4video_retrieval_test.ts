/** Side4Video for retrieval: counts, names, groups and initial values of the published networks, and what they compute at first. */

import assert from "node:assert/strict";
import { Graph, resident, sizeOf, type Tensor } from "../../gpu/graph.ts";
import { createPrng } from "../../lib/random.ts";
import { ClipModel } from "../../models/clip_system.ts";
import { VIT_PRESETS } from "../../models/clip/tower.ts";
import { EVA_PRESETS } from "../../models/eva/tower.ts";
import { originalName } from "../../models/parts/file_names.ts";
import {
  type RetrievalSizes,
  Side4VideoRetrieval,
  side4videoRetrieval,
} from "../../models/side4video_retrieval.ts";
import type { TextSizes, TowerSizes } from "../../models/tower.ts";
import { towerOf } from "../../models/towers.ts";
import type { VideoModel } from "../../models/video_model.ts";
import { parseConfig } from "../../train/recipe/config.ts";
import { elementsOf, type Memory, runReference } from "../_util/reference_engine.ts";

const CASE = new URL("../fixtures/side4video-retrieval/tiny-eva.json", import.meta.url);
const PRESETS: Readonly<Record<string, TowerSizes>> = { ...VIT_PRESETS, ...EVA_PRESETS };

function published(arch: string, changes: Partial<RetrievalSizes> = {}): Side4VideoRetrieval {
  const backbone = PRESETS[arch], tower = towerOf(backbone);
  const text = tower.text(backbone, tower.texts[arch]);
  return new Side4VideoRetrieval({
    backbone,
    text,
    frames: 12,
    words: 32,
    sideDim: 320,
    interaction: "wti",
    trainsText: true,
    tokens: null,
    ...changes,
  });
}

/** Scalars of the weights whose names here match. */
function count({ weights }: VideoModel, pattern: RegExp): number {
  return weights.list.filter(({ name, kind }) => kind !== "statistic" && pattern.test(name))
    .reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}

const TEXT = /^(text\.|transformer|token_embedding|positional|ln_final|text_projection|logit_scale)/;

for (
  const [arch, side, text, weighers] of [
    ["ViT-B/32", 23_467_712, 63_428_097, 526_338],
    ["ViT-B/16", 21_302_912, 63_428_097, 526_338],
    ["ViT-L/14", 43_464_832, 123_650_305, 1_182_722],
    ["EVA02-CLIP-bigE-14", 65_692_480, null, 2_101_250],
  ] as const
) {
  Deno.test(`the network on ${arch} has the published numbers of weights`, () => {
    const model = published(arch);
    assert.equal(count(model, /side_/), side);
    assert.equal(count(model, /_weight_fc\./), weighers);
    if (text !== null) assert.equal(count(model, TEXT), text);
  });
}

Deno.test("a checkpoint of the network on ViT-B has the original's 684 entries", () => {
  const { weights } = published("ViT-B/16");
  const own = [...weights.list.map(({ name }) => name), ...weights.counters];
  const names = own.map((name) => originalName(side4videoRetrieval.files, name));
  assert.equal(new Set(names).size, 684);
  assert.equal(names.filter((name) => name.startsWith("clip.")).length, 676);
  assert.equal(weights.counters.length, 26);
  assert.deepEqual(names.filter((name) => !name.startsWith("clip.")).length, 8);
  assert.ok(names.includes("clip.visual.transformer.side_transformer.11.pw_conv2.weight"));
});

Deno.test("the groups are those that the original makes of names", () => {
  for (const model of [published("ViT-B/16"), published("EVA02-CLIP-bigE-14")]) {
    for (const { name, group } of model.weights.of("trained")) {
      const original = originalName(side4videoRetrieval.files, name);
      const isClip = original.includes("clip.") && !original.includes("side");
      assert.equal(group, `${isClip ? "clip" : "side"}${original.includes("bias") ? "_bias" : ""}`, name);
    }
  }
});

Deno.test("what is trained and in which groups is what a recorded case says", async () => {
  const { config, trainable, optimizer_groups } = JSON.parse(await Deno.readTextFile(CASE));
  const model = new Side4VideoRetrieval(side4videoRetrieval.cases[0].sizes(config, "tiny-eva"));
  const inFiles = (group?: string) =>
    model.weights.of("trained").filter((weight) => group === undefined || weight.group === group)
      .map(({ name }) => originalName(side4videoRetrieval.files, name)).sort();
  assert.deepEqual(inFiles(), [...trainable].sort());
  const trained = new Set<string>(trainable);
  ["clip", "side", "clip_bias", "side_bias"].forEach((group, i) => {
    const recorded: string[] = optimizer_groups[i].parameters;
    assert.deepEqual(inFiles(group), recorded.filter((name) => trained.has(name)).sort(), group);
  });
});

Deno.test("a text tower that is not trained keeps all but its last norm and projection", () => {
  const model = published("ViT-B/32", { trainsText: false });
  const text = model.weights.list.filter(({ name }) => TEXT.test(name));
  assert.deepEqual(text.filter(({ kind }) => kind === "trained").map(({ name }) => name).sort(), [
    "ln_final.bias",
    "ln_final.weight",
    "logit_scale",
    "text_projection",
  ]);
  assert.ok(text.every(({ pretrained }) => pretrained));
});

/** Standard deviation of a weight's initial values. */
function deviation({ weights }: VideoModel, name: string): number {
  const { init, shape } = weights.get(name)!, values = init(Math.min(40_000, sizeOf(shape)), createPrng(1));
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
}

Deno.test("initial values are the original's: CLIP's beside CLIP, PyTorch's beside EVA-CLIP, and no correction", () => {
  const d = 320, uniform = (fanIn: number) => (3 * fanIn) ** -0.5;
  const block = "visual.transformer.side_transformer.3";
  const expected: [VideoModel, Record<string, number>][] = [
    [published("ViT-B/16"), {
      "visual.side_proj": 0,
      "visual.side_conv1.weight": uniform(9 * 16 ** 2),
      "visual.transformer.side_spatial_position_embeddings": 0.01,
      "visual.transformer.side_linears.3.weight": 0.02,
      "visual.transformer.side_linears.3.bias": 0,
      [`${block}.pw_conv1.weight`]: 0.02,
      [`${block}.pw_conv2.bias`]: uniform(d),
      [`${block}.dw_conv1.weight`]: d ** -0.5,
      [`${block}.dw_conv1.bias`]: uniform(3),
      [`${block}.attn.in_proj_weight`]: d ** -0.5,
      [`${block}.attn.out_proj.weight`]: 0.02,
      [`${block}.mlp.fc1.weight`]: 0.02,
      [`${block}.mlp.fc2.bias`]: 0,
      "text_weight_fc.0.weight": 0.02,
      "video_weight_fc.2.bias": 0,
    }],
    [published("EVA02-CLIP-bigE-14"), {
      "visual.side_proj": 0,
      "visual.side_spatial_position_embeddings": 0.02,
      "visual.side_linears.3.weight": uniform(1792),
      "visual.side_blocks.3.conv.0.weight": uniform(d),
      "visual.side_blocks.3.mlp.2.weight": uniform(4 * d),
      "text_weight_fc.0.weight": uniform(1024),
    }],
  ];
  for (const [model, deviations] of expected) {
    for (const [name, value] of Object.entries(deviations)) {
      const found = deviation(model, name);
      assert.ok(Math.abs(found - value) <= 0.15 * value, `${name}: ${found} for ${value}`);
    }
  }
});

const TINY_TEXT: TextSizes = { vocabulary: 9, context: 6, width: 8, heads: 2, layers: 1, embedDim: 5 };
const TINY_CLIP: TowerSizes = { imageSize: 4, patchSize: 2, width: 8, layers: 3, heads: 2 };
const TINY_EVA = {
  ...TINY_CLIP,
  hidden: 12,
  norm: "pre" as const,
  subNorm: false,
  mlp: "gelu" as const,
  ropeSpan: null,
};

function tiny(backbone: TowerSizes, changes: Partial<RetrievalSizes> = {}): RetrievalSizes {
  return {
    backbone,
    text: towerOf(backbone).text(backbone, TINY_TEXT),
    frames: 2,
    words: 5,
    sideDim: 8,
    interaction: "wti",
    trainsText: true,
    tokens: null,
    ...changes,
  };
}

/** Initial values of a model's weights, by name where others have some of the same. */
function memoryOf({ weights }: VideoModel): Memory {
  const memory: Memory = new Map();
  for (const { name, tensor, init, shape } of weights.list) {
    const seed = [...name].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 65521, 7);
    memory.set(tensor, Float64Array.from(init(sizeOf(shape), createPrng(seed))));
  }
  return memory;
}

function random(seed: number, shape: readonly number[]): Float64Array {
  const prng = createPrng(seed);
  return Float64Array.from({ length: sizeOf(shape) }, () => prng.normal());
}

for (
  const [what, backbone] of [["CLIP", TINY_CLIP], [
    "EVA-CLIP, whose last block has no side layer",
    TINY_EVA,
  ]] as const
) {
  Deno.test(`before training the frames are embedded as without the side network: ${what}`, () => {
    const frames = resident("input", "frames", [4, 3, 4, 4]), pictures = random(5, frames.shape);
    const sizes = tiny(backbone);
    const embedded = [new Side4VideoRetrieval(sizes), new ClipModel({ ...sizes, trains: false })].map(
      (model) => {
        const g = new Graph(), { outputs } = model.forward(g, { frames }, { mode: "eval" });
        return elementsOf(runReference(g.nodes, memoryOf(model).set(frames, pictures)), outputs.frames);
      },
    );
    assert.ok(embedded[0].some((value) => Math.abs(value) > 0.01));
    embedded[0].forEach((value, i) => assert.ok(Math.abs(value - embedded[1][i]) < 1e-9));
  });
}

/** Scores as the specification writes them, from unnormalised features. */
function plainScores(
  from: { words: Float64Array; frames: Float64Array; wordMask: number[][]; frameMask: number[][]; E: number },
  weigher: (side: "text" | "video", x: readonly number[]) => number,
): number[] {
  const { words, frames, wordMask, frameMask, E } = from, L = wordMask[0].length, T = frameMask[0].length;
  const row = (values: Float64Array, i: number) => [...values.subarray(i * E, (i + 1) * E)];
  const unit = (x: number[]) => x.map((value) => value / Math.hypot(...x));
  const softmax = (x: number[], mask: number[]) => {
    const e = x.map((value, i) => mask[i] ? Math.exp(value) : 0), sum = e.reduce((a, b) => a + b);
    return e.map((value) => value / sum);
  };
  return wordMask.flatMap((m, a) =>
    frameMask.map((n, b) => {
      const t = m.map((_, l) => row(words, a * L + l)), v = n.map((_, τ) => row(frames, b * T + τ));
      const alpha = softmax(t.map((x) => weigher("text", x)), m);
      const beta = softmax(v.map((x) => weigher("video", x)), n);
      const S = t.map((x, l) =>
        v.map((y, τ) => m[l] * n[τ] * unit(x).reduce((sum, value, i) => sum + value * unit(y)[i], 0))
      );
      const toVideo = alpha.reduce(
        (sum, weight, l) => sum + weight * Math.max(...S[l].filter((_, τ) => n[τ] === 1)),
        0,
      );
      const toText = beta.reduce((sum, weight, τ) => sum + weight * Math.max(...S.map((s) => s[τ])), 0);
      return (toVideo + toText) / 2;
    })
  );
}

Deno.test("the token-wise interaction is the specification's, with padded words and frames", () => {
  const sizes = tiny(TINY_CLIP), model = new Side4VideoRetrieval(sizes), E = sizes.text.embedDim;
  const wordMask = [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 0, 0, 0]], frameMask = [[1, 1], [1, 0]];
  const input = (name: string, shape: number[]) => resident("input", name, shape);
  const words = input("words", [3, 5, E]), frames = input("frames", [2, 2, E]);
  const word_mask = input("word_mask", [3, 5]), frame_mask = input("frame_mask", [2, 2]);
  const memory = memoryOf(model);
  for (const name of ["text_weight_fc", "video_weight_fc"]) { // larger than at first, so that weights differ
    for (const [i, part] of ["0.weight", "0.bias", "2.weight", "2.bias"].entries()) {
      const { tensor, shape } = model.weights.get(`${name}.${part}`)!;
      memory.set(tensor, random(i + name.length, shape));
    }
  }
  const values = { words: random(1, words.shape), frames: random(2, frames.shape) };
  memory.set(words, values.words).set(frames, values.frames);
  memory.set(word_mask, Float64Array.from(wordMask.flat())).set(
    frame_mask,
    Float64Array.from(frameMask.flat()),
  );
  const scale = model.weights.get("logit_scale")!.tensor;
  memory.set(scale, Float64Array.of(0.7));
  const get = (name: string) => memory.get(model.weights.get(name)!.tensor as Tensor)!;
  const weigher = (side: "text" | "video", x: readonly number[]) => {
    const name = `${side}_weight_fc`,
      [w0, b0, w2, b2] = ["0.weight", "0.bias", "2.weight", "2.bias"].map((part) => get(`${name}.${part}`));
    return [...b0].reduce((sum, bias, i) => {
      const hidden = x.reduce((all, value, j) => all + w0[i * E + j] * value, bias);
      return sum + w2[i] * Math.max(0, hidden);
    }, b2[0]);
  };
  const expected = plainScores({ ...values, wordMask, frameMask, E }, weigher);
  for (const [mode, factor] of [["eval", 1], ["train", Math.exp(0.7)]] as const) {
    const g = new Graph();
    const scores = model.text.compare(g, {
      outputs: { words, frames },
      inputs: { word_mask, frame_mask },
    }, { mode });
    const found = elementsOf(runReference(g.nodes, new Map(memory)), scores);
    expected.forEach((value, i) => assert.ok(Math.abs(found[i] - factor * value) < 1e-9, `${mode} ${i}`));
  }
});

Deno.test("frames that only fill up a short clip do not count in its mean", () => {
  const sizes = tiny(TINY_CLIP, { interaction: "mean" }), model = new Side4VideoRetrieval(sizes), E = 5;
  const sentence = resident("input", "sentence", [2, E]), frames = resident("input", "frames", [1, 2, E]);
  const mask = resident("input", "frame_mask", [1, 2]);
  const values = { sentence: random(3, sentence.shape), frames: random(4, frames.shape) };
  for (const kept of [[1, 1], [1, 0]]) {
    const memory = memoryOf(model).set(sentence, values.sentence).set(frames, values.frames);
    memory.set(mask, Float64Array.from(kept)).set(
      model.weights.get("logit_scale")!.tensor,
      Float64Array.of(0),
    );
    const g = new Graph();
    const scores = model.text.compare(g, { outputs: { sentence, frames }, inputs: { frame_mask: mask } }, {
      mode: "eval",
    });
    const found = elementsOf(runReference(g.nodes, memory), scores);
    const video = Array.from({ length: E }, (_, i) => values.frames[i] + kept[1] * values.frames[E + i]);
    for (const a of [0, 1]) {
      const text = [...values.sentence.subarray(a * E, (a + 1) * E)];
      const dot = text.reduce((sum, value, i) => sum + value * video[i], 0);
      assert.ok(Math.abs(found[a] - dot / Math.hypot(...text) / Math.hypot(...video)) < 1e-9);
    }
  }
});

Deno.test("strategies of retrieval are refused where frames are chosen by other rules", () => {
  const refused = (system: string) => () =>
    parseConfig(`system: ${system}\ndata: {num_classes: 2, eval_sampling: 4}\nnetwork: {}`);
  assert.throws(refused("side4video"), {
    message: /data\.eval_sampling must be segments when system is side4video: .*, current value is 4$/,
  });
  for (const system of ["side4video_retrieval", "clip"]) {
    const { config } = parseConfig(`system: ${system}\ndata: {eval_sampling: 4}\nnetwork: {}`);
    assert.equal((config.data as Record<string, unknown>).eval_sampling, 4);
  }
});

Deno.test("a text tower that does not go with the rest of a recipe is refused by its key", () => {
  const tower = "backbone: {image_size: 8, patch_size: 4, width: 8, layers: 1, heads: 1}, side_dim: 64";
  const text = "text: {width: 8, heads: 2, layers: 1, context: 6}, embed_dim: 4";
  const refusals: [string, string, RegExp][] = [
    [tower, "", /network\.text must be given with a tower that is no preset/],
    [`${tower}, text: {width: 8, heads: 2, layers: 1, context: 40}`, "", /network\.embed_dim must be given/],
    [
      `${tower}, ${text}`,
      "",
      /data\.max_words must be at most 6, the tokens that the text tower has positions for/,
    ],
    [
      `${tower}, ${text.replace("context: 6", "context: 6, vocabulary: 30")}`,
      "max_words: 6",
      /network\.text\.vocabulary must be null or 49408 where network\.tokens does not say .*, current value is 30/,
    ],
    [
      `${tower}, ${text.replace("context: 6", "context: 6, vocabulary: 49409")}`,
      "max_words: 6",
      /network\.text\.vocabulary must be null or 49408 .*, current value is 49409/,
    ],
    [`${tower}, ${text}`, "max_words: 2", /data\.max_words must be at least 3/],
    [
      `${tower}, ${text.replace("heads: 2", "heads: 3")}`,
      "max_words: 6",
      /network\.text\.width must be a multiple/,
    ],
    [
      `${tower}, ${text}, tokens: [1, 4, 2, 49406, 49407]`,
      "max_words: 6",
      /network\.tokens must be numbers in ascending order, current value is "4 before 2"/,
    ],
    [
      `${tower}, ${text}, tokens: [320, 736]`,
      "max_words: 6",
      /network\.tokens must end with 49406 and 49407, .*, current value is "320, 736"/,
    ],
    [
      `${tower}, ${text.replace("context: 6", "context: 6, vocabulary: 9")}, tokens: [49406, 49407]`,
      "max_words: 6",
      /network\.text\.vocabulary must be null or the number of network\.tokens \(2\), current value is 9/,
    ],
  ];
  for (const [network, data, message] of refusals) {
    assert.throws(
      () => parseConfig(`system: side4video_retrieval\ndata: {${data}}\nnetwork: {${network}}`),
      { name: "ConfigError", message },
    );
  }
});
