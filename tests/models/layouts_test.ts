/** The layouts of the field's libraries, made from one tower: each gives its weights back, whatever stands before its names. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { type OpenWeights, openWeights } from "../../data/checkpoint/open.ts";
import { DataError } from "../../lib/errors.ts";
import { fitTower } from "../../models/backbone_file.ts";
import { EVA_PRESETS } from "../../models/eva/tower.ts";
import { describeIdentity, identify } from "../../models/identify.ts";
import { resizePositions } from "../../models/parts/position_grid.ts";
import { loadTower, type Renamed, REPORTED, REPORTED_SIZES, rewrite } from "../_util/reported_checkpoints.ts";

type Rename = (name: string, values: Float32Array, shape: readonly number[]) => Renamed[];

const plain = await loadTower(`${REPORTED}plain.pt`);

function transposed(values: Float32Array, [rows, columns]: readonly number[]): Float32Array {
  return Float32Array.from(values, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]);
}

const block = /^visual\.transformer\.resblocks\.(\d+)\./;

/** transformers' names. */
function transformers(name: string, values: Float32Array, shape: readonly number[]): Renamed[] {
  const ours = name.replace(block, "vision_model.encoder.layers.$1.");
  if (/attn\.in_proj_/.test(name)) {
    const part = values.length / 3;
    return ["q", "k", "v"].map((one, i) => ({
      name: ours.replace("attn.in_proj_", `self_attn.${one}_proj.`),
      shape: [shape[0] / 3, ...shape.slice(1)],
      data: values.slice(i * part, (i + 1) * part),
    }));
  }
  if (name === "visual.proj") {
    return [{
      name: "visual_projection.weight",
      shape: [...shape].reverse(),
      data: transposed(values, shape),
    }];
  }
  return [{
    name: ours.replace("attn.out_proj", "self_attn.out_proj").replace(/\.ln_([12])\./, ".layer_norm$1.")
      .replace("mlp.c_fc", "mlp.fc1").replace("mlp.c_proj", "mlp.fc2")
      .replace("visual.class_embedding", "vision_model.embeddings.class_embedding")
      .replace("visual.positional_embedding", "vision_model.embeddings.position_embedding.weight")
      .replace("visual.conv1", "vision_model.embeddings.patch_embedding")
      .replace("visual.ln_pre", "vision_model.pre_layrnorm")
      .replace("visual.ln_post", "vision_model.post_layernorm"),
  }];
}

/** timm's names. */
function timm(name: string, values: Float32Array, shape: readonly number[]): Renamed[] {
  if (name === "visual.proj") {
    return [{ name: "head.weight", shape: [...shape].reverse(), data: transposed(values, shape) }];
  }
  const ours = name.replace(block, "blocks.$1.").replace("attn.in_proj_", "attn.qkv.")
    .replace("attn.out_proj", "attn.proj").replace(/\.ln_([12])\./, ".norm$1.").replace("mlp.c_fc", "mlp.fc1")
    .replace("mlp.c_proj", "mlp.fc2").replace("visual.conv1", "patch_embed.proj")
    .replace("visual.ln_pre", "norm_pre").replace("visual.ln_post", "norm");
  if (ours === "visual.class_embedding") return [{ name: "cls_token", shape: [1, 1, ...shape] }];
  if (ours === "visual.positional_embedding") return [{ name: "pos_embed", shape: [1, ...shape] }];
  return [{ name: ours }];
}

const before = (prefix: string, rename: Rename): Rename => (...tensor) =>
  rename(...tensor).map((one) => ({ ...one, name: prefix + one.name }));
const same: Rename = (name) => [{ name }];
/** One more tensor, beside the first. */
const beside = (name: string, rename: Rename): Rename => (ours, values, shape) => [
  ...(ours === "visual.class_embedding" ? [{ name }] : []),
  ...rename(ours, values, shape),
];

const LAYOUTS: [what: string, rename: Rename, layout: string][] = [
  [
    "transformers' CLIPModel with its buffer of positions",
    beside(
      "vision_model.embeddings.position_ids",
      beside("text_model.encoder.layers.0.self_attn.q_proj.bias", beside("logit_scale", transformers)),
    ),
    "Hugging Face CLIP",
  ],
  [
    "transformers' CLIPVisionModel",
    (name, ...rest) => name === "visual.proj" ? [] : transformers(name, ...rest),
    "Hugging Face CLIP",
  ],
  [
    "a vision transformer of transformers alone",
    (name, ...rest) =>
      name === "visual.proj"
        ? []
        : transformers(name, ...rest).map((one) => ({ ...one, name: one.name.replace("vision_model.", "") })),
    "Hugging Face CLIP, the tower alone",
  ],
  ["open_clip's towers of timm", (...tensor) =>
    timm(...tensor).map((one) => ({
      ...one,
      name: one.name === "head.weight" ? "visual.head.proj.weight" : `visual.trunk.${one.name}`,
    })), "open_clip with timm's names"],
  ["timm's tower alone", timm, "timm, the tower alone"],
  [
    "open_clip with its text tower behind a name",
    beside(
      "text.transformer.resblocks.0.ln_1.bias",
      beside("text.positional_embedding", beside("text.ln_final.weight", same)),
    ),
    "OpenAI",
  ],
  ["a tower alone", (name) => [{ name: name.slice("visual.".length) }], "OpenAI, the tower alone"],
  ["three wrappers in one another", before("module._orig_mod.module.", same), "OpenAI"],
  [
    "Lightning around a compiled transformers model",
    before("model._orig_mod.", transformers),
    "Hugging Face CLIP",
  ],
  ["a network's own name before it", before("net.encoder.", same), "OpenAI"],
  ["transformers' names in another network", before("model.clip.", transformers), "Hugging Face CLIP"],
];

async function inFolder(body: (path: (name: string) => string, source: OpenWeights) => Promise<void>) {
  const folder = await Deno.makeTempDir();
  try {
    await using source = await openWeights(`${REPORTED}plain.pt`);
    await body((name) => join(folder, name), source);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

for (const [what, rename, layout] of LAYOUTS) {
  Deno.test(`${what}: the tower is found and its weights are the same`, () =>
    inFolder(async (path, source) => {
      const file = path("x.safetensors");
      await rewrite(source, file, rename);
      const loaded = await loadTower(file);
      assert.equal(loaded.layout, layout);
      assert.deepEqual(loaded.values, plain.values);
      await using weights = await openWeights(file);
      const identity = identify(weights);
      assert.deepEqual([identity.system, identity.layout, identity.holdsBackbone], ["CLIP", layout, true]);
      assert.match(describeIdentity(identity), /^CLIP ViT of width 8, patch 4, 1 layers, image 16/);
    }));
}

Deno.test("a dict that no list knows, and a network in it", async () => {
  await inFolder(async (path, source) => {
    const file = path("x.safetensors");
    await rewrite(source, file, before("net/module.", same));
    assert.deepEqual((await loadTower(file)).values, plain.values);
    await rewrite(source, file, (...tensor) => [
      ...before("student/", same)(...tensor),
      ...before("teacher/", same)(...tensor),
    ]);
    await assert.rejects(loadTower(file), /holds 2, behind "student\/", "teacher\/"; .* convert --from$/);
  });
});

const REFUSED: [what: string, rename: Rename, message: RegExp][] = [
  [
    "a student and its teacher",
    (...tensor) => [...before("student.", same)(...tensor), ...before("teacher.", same)(...tensor)],
    /must hold one image tower, it holds 2, behind "student\.", "teacher\."; take one out with sidenet convert --strip/,
  ],
  [
    "a scale of layers, which changes what the tower gives",
    beside("visual.transformer.resblocks.0.ls_1.gamma", same),
    /"visual\.transformer\.resblocks\.0\.ls_1\.gamma" is not known to this model/,
  ],
  [
    "keys without queries",
    (...tensor) => transformers(...tensor).filter(({ name }) => !name.includes("q_proj.weight")),
    /"visual\.transformer\.resblocks\.0\.attn\.in_proj_weight" \[24,8\] is missing/,
  ],
  [
    "no class token",
    (name, values, shape) =>
      name === "visual.positional_embedding"
        ? [{ name, shape: [16, 8], data: values.subarray(8) }]
        : [{ name, shape, data: values }],
    /"visual\.positional_embedding" must have 17 places, .* current shape is \[16,8\]: it has the 16 places of a grid and none for/,
  ],
  [
    "positions in one row",
    (name, values, shape) =>
      name === "visual.positional_embedding"
        ? [{ name, shape: [12, 8], data: values.subarray(0, 96) }]
        : [{ name, shape, data: values }],
    /current shape is \[12,8\]: its 12 places are no square grid and a class token/,
  ],
];

for (const [what, rename, message] of REFUSED) {
  Deno.test(`a file with ${what} is refused`, () =>
    inFolder(async (path, source) => {
      await rewrite(source, path("x.safetensors"), rename);
      await assert.rejects(
        loadTower(path("x.safetensors")),
        (error) => error instanceof DataError && message.test(error.message),
      );
    }));
}

Deno.test("a tower for larger pictures takes a smaller table", () =>
  inFolder(async (_, source) => {
    const loaded = await loadTower(source.label, { ...REPORTED_SIZES, imageSize: 24 });
    assert.equal(loaded.values.get("visual.positional_embedding")!.length, (1 + 36) * 8);
    assert.match(loaded.remarks.join(), /grid of 4 x 4 and are resized to 6 x 6/);
  }));

Deno.test("an EVA tower takes a table of another grid too, as its authors resize it", async () => {
  const sizes = { ...EVA_PRESETS["EVA02-CLIP-L-14"], width: 8 },
    table = Float32Array.from({ length: 10 * 8 }, Math.sin);
  const shapes = new Map([["visual.patch_embed.proj.weight", [8, 3, 14, 14]], ["visual.pos_embed", [
    1,
    10,
    8,
  ]]]);
  const { source, layout, remarks } = fitTower({
    label: "eva.pt",
    names: () => shapes.keys(),
    shapeOf: (name) => shapes.get(name),
    readF32: () => Promise.resolve(table),
  }, sizes);
  assert.equal(layout, "EVA-CLIP");
  assert.match(remarks.join(), /grid of 3 x 3 and are resized to 16 x 16/);
  assert.deepEqual(source.shapeOf("visual.pos_embed"), [1, 257, 8]);
  assert.deepEqual(
    await source.readF32("visual.pos_embed"),
    resizePositions(table, { leading: 1, from: 3, to: 16, width: 8, antialias: false }),
  );
});
