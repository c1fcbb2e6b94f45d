/** The layouts of the field's libraries with their text towers: each gives both towers back; and what is said of a file without one. */
import assert from "node:assert/strict";
import { sizeOf } from "../../gpu/graph.ts";
import { DataError } from "../../lib/errors.ts";
import { fitTower } from "../../models/backbone_file.ts";
import { clipSizesIn } from "../../models/clip_system.ts";
import { createModel } from "../../models/create.ts";
import { huggingFaceConfig, inLayout } from "../../models/layout_out.ts";
import { checkAccount, type WeightSource } from "../../models/params.ts";
import type { TextSizes, TowerSizes } from "../../models/tower.ts";
import { explainBackbone, towerOf } from "../../models/towers.ts";

const TEXT: TextSizes = { vocabulary: 6, context: 5, width: 64, heads: 1, layers: 2, embedDim: 3 };
const CLIP: TowerSizes = { imageSize: 4, patchSize: 2, width: 64, layers: 1, heads: 1 };
const EVA: TowerSizes = {
  ...CLIP,
  ...{ hidden: 5, norm: "post" as const, subNorm: false, mlp: "gelu" as const, ropeSpan: null },
};

interface Stored {
  shape: readonly number[];
  values: Float32Array;
}

function modelOf(backbone: TowerSizes) {
  return createModel({
    system: "clip",
    backboneDtype: "f32",
    sizes: {
      backbone,
      text: towerOf(backbone).text(backbone, TEXT),
      frames: 1,
      words: 5,
      tokens: null,
      trains: false,
    },
  });
}

/** A file of both towers under the names used here: every value is its own. */
function plainFile(backbone: TowerSizes): Map<string, Stored> {
  let next = 0;
  return new Map(
    modelOf(backbone).weights.list.map(({ name, shape }) => [
      name,
      { shape, values: Float32Array.from({ length: sizeOf(shape) }, () => next++) },
    ]),
  );
}

function sourceOf(tensors: ReadonlyMap<string, Stored>): WeightSource {
  return {
    label: "file.pt",
    names: () => tensors.keys(),
    shapeOf: (name) => tensors.get(name)?.shape,
    readF32: (name) => Promise.resolve(tensors.get(name)!.values),
  };
}

function renamed(
  tensors: ReadonlyMap<string, Stored>,
  rename: (name: string, stored: Stored) => [string, Stored][],
): Map<string, Stored> {
  return new Map([...tensors].flatMap(([name, stored]) => rename(name, stored)));
}

function transposed({ shape: [rows, columns], values }: Stored): Stored {
  return {
    shape: [columns, rows],
    values: values.map((_, i) => values[(i % rows) * columns + Math.floor(i / rows)]),
  };
}

/** transformers' CLIPModel. */
function transformers(name: string, stored: Stored): [string, Stored][] {
  if (name === "visual.proj") return [["visual_projection.weight", transposed(stored)]];
  if (name === "text_projection") return [["text_projection.weight", transposed(stored)]];
  if (name === "logit_scale") return [[name, stored]];
  const side = name.startsWith("visual.") ? "vision_model." : "text_model.";
  const ours = side + name.replace(/^visual\./, "").replace("transformer.resblocks.", "encoder.layers.")
    .replace("attn.out_proj", "self_attn.out_proj").replace(/\.ln_([12])\./, ".layer_norm$1.")
    .replace("mlp.c_fc", "mlp.fc1").replace("mlp.c_proj", "mlp.fc2")
    .replace(/^class_embedding/, "embeddings.class_embedding")
    .replace(/^positional_embedding/, "embeddings.position_embedding.weight")
    .replace(/^token_embedding/, "embeddings.token_embedding").replace(/^conv1/, "embeddings.patch_embedding")
    .replace(/^ln_pre/, "pre_layrnorm").replace(/^ln_post/, "post_layernorm")
    .replace(/^ln_final/, "final_layer_norm");
  if (!ours.includes("attn.in_proj_")) return [[ours, stored]];
  const { shape, values } = stored, part = values.length / 3;
  return ["q", "k", "v"].map((one, i) => [
    ours.replace("attn.in_proj_", `self_attn.${one}_proj.`),
    { shape: [shape[0] / 3, ...shape.slice(1)], values: values.slice(i * part, (i + 1) * part) },
  ]);
}

const isText = (name: string) => !name.startsWith("visual.") && name !== "logit_scale";

const LAYOUTS: [what: string, TowerSizes, (name: string, stored: Stored) => [string, Stored][]][] = [
  ["OpenAI's", CLIP, (name, stored) => [[name, stored]]],
  ["transformers' CLIPModel", CLIP, transformers],
  [
    "open_clip's custom text towers",
    CLIP,
    (name, stored) => [[isText(name) ? `text.${name}` : name, stored]],
  ],
  ["a wrapper's", CLIP, (name, stored) => [[`module.${name}`, stored]]],
  ["EVA-CLIP's", EVA, (name, stored) => [[name, stored]]],
  ['EVA-CLIP\'s without "text."', EVA, (name, stored) => [[name.replace(/^text\./, ""), stored]]],
  [
    "EVA-CLIP's with the scale beside the text",
    EVA,
    (name, stored) => [[name.replace(/^logit/, "text.logit"), stored]],
  ],
];

for (const [what, backbone, rename] of LAYOUTS) {
  Deno.test(`both towers are found in a file of ${what} layout`, async () => {
    const plain = plainFile(backbone), model = modelOf(backbone);
    const { source } = fitTower(sourceOf(renamed(plain, rename)), backbone);
    checkAccount(model.weights.list, source, { ignore: model.unusedInBackbone });
    for (const [name, { values }] of plain) assert.deepEqual(await source.readF32(name), values, name);
  });
}

/** A file of 16-bit numbers, so that bytes and values are not the same. */
function rawSourceOf(tensors: ReadonlyMap<string, Stored>) {
  const values = (name: string) => tensors.get(name)!.values;
  return {
    ...sourceOf(tensors),
    dtypeOf: (name: string) => tensors.has(name) ? "U16" : undefined,
    readRaw: (name: string) => Promise.resolve(new Uint8Array(Uint16Array.from(values(name)).buffer)),
  };
}

for (const [what, backbone, rename] of LAYOUTS.filter(([, backbone]) => backbone === CLIP)) {
  Deno.test(`a CLIP in ${what} layout is written in others, byte for byte`, async () => {
    const plain = plainFile(backbone), stored = rawSourceOf(renamed(plain, rename));
    for (
      const [layout, expected] of [["openai", plain], ["huggingface", renamed(plain, transformers)]] as const
    ) {
      const laid = inLayout(stored, layout), wanted = rawSourceOf(expected);
      assert.deepEqual([...laid.names()].sort(), [...expected.keys()].sort());
      for (const name of expected.keys()) {
        assert.deepEqual([...laid.shapeOf(name)!], [...wanted.shapeOf(name)!], name);
        assert.deepEqual(await laid.readRaw(name), await wanted.readRaw(name), name);
        assert.deepEqual(await laid.readF32(name), await wanted.readF32(name), name);
        assert.equal(laid.dtypeOf(name), "U16");
      }
    }
  });
}

Deno.test("what is no CLIP is not written as one", () => {
  const refused = (file: ReadonlyMap<string, Stored>, message: RegExp) =>
    assert.throws(() => inLayout(rawSourceOf(file), "huggingface"), (error: Error) => {
      assert.ok(error instanceof DataError);
      assert.match(error.message, message);
      return true;
    });
  refused(plainFile(EVA), /^Cannot convert "file.pt" to another layout: tensor "visual\.\S+" is no CLIP's$/);
  refused(
    new Map([["fc.weight", { shape: [1], values: new Float32Array(1) }]]),
    /it must hold one CLIP, it holds none/,
  );
  const beside = new Map([...plainFile(CLIP), ["fc.weight", { shape: [1], values: new Float32Array(1) }]]);
  refused(beside, /tensor "fc\.weight" is no CLIP's$/);
});

Deno.test("transformers' configuration has the sizes of both towers", () => {
  const config = huggingFaceConfig(sourceOf(plainFile(CLIP)), { activation: "gelu" });
  assert.partialDeepStrictEqual(config, {
    model_type: "clip",
    projection_dim: 3,
    text_config: {
      hidden_size: 64,
      num_hidden_layers: 2,
      num_attention_heads: 1,
      vocab_size: 6,
      max_position_embeddings: 5,
      hidden_act: "gelu",
    },
    vision_config: {
      hidden_size: 64,
      num_hidden_layers: 1,
      patch_size: 2,
      image_size: 4,
      intermediate_size: 256,
    },
  });
});

Deno.test("the sizes of both towers are told by a file of CLIP", () => {
  const file = sourceOf(renamed(plainFile(CLIP), transformers));
  assert.deepEqual(clipSizesIn(file, { frames: 4, words: 32 }), {
    backbone: CLIP,
    text: { ...TEXT, activation: undefined },
    frames: 4,
    words: 5,
    tokens: null,
    trains: false,
  });
  const tower = renamed(plainFile(CLIP), (name, stored) => isText(name) ? [] : [[name, stored]]);
  assert.equal(clipSizesIn(sourceOf(tower), { frames: 4, words: 32 }), null);
});

Deno.test("a file without a text tower is refused with that as the cause", () => {
  const tower = renamed(plainFile(CLIP), (name, stored) => isText(name) ? [] : [[name, stored]]);
  const { source } = fitTower(sourceOf(tower), CLIP), { weights, unusedInBackbone: ignore } = modelOf(CLIP);
  assert.throws(
    () =>
      checkAccount(weights.list, source, {
        ignore,
        explain: (file) => explainBackbone(file, { text: true }),
      }),
    (error: Error) => {
      assert.ok(error instanceof DataError);
      assert.match(
        error.message,
        /^Cannot load "file\.pt": tensor "token_embedding\.weight" \[6,64\] is missing; /,
      );
      assert.match(error.message, /, without a text tower, which retrieval needs$/);
      return true;
    },
  );
});
