/** Every system at a tiny size, as recipes, and sessions on them with weights that are all at work. */
import { LocalDevice } from "../../../train/runtime/device/device.ts";
import type { Gpu } from "../../../gpu/device.ts";
import { sizeOf } from "../../../gpu/graph.ts";
import { createPrng } from "../../../lib/random.ts";
import { createModel } from "../../../models/mod.ts";
import { SYSTEMS } from "../../../models/registry.ts";
import { type Config, parseConfig } from "../../../train/recipe/config.ts";
import { modelSpec } from "../../../train/recipe/model.ts";
import { Session } from "../../../train/runtime/session.ts";
import { evaluationOptions } from "../../../train/tasks/session_options.ts";
import { sentencesQuery } from "../../../train/export/check.ts";

const TOKENS = [...Array(28).keys(), 49406, 49407];
const TEXT =
  `text: { width: 32, heads: 2, layers: 2, context: 9, vocabulary: null }, embed_dim: 16, tokens: [${TOKENS.join()}]`;
const LISTS = "data.train_list=none.jsonl data.val_list=none.jsonl data.max_words=7".split(" ");

/** What a recipe of a system says besides the tower and the number of frames. */
const OWN: Readonly<Record<string, { network?: string; keys?: readonly string[] }>> = {
  "dist": {
    network: TEXT,
    keys: ["network.temporal_dim=8", "network.pooling_layers=1", "network.stem_frames=3"],
  },
  "side4video_retrieval": { network: TEXT, keys: LISTS },
  "clip": { network: TEXT, keys: LISTS },
};

/** A tiny recipe. @param eva Keys of an EVA tower; null: one of CLIP. */
export function tinyRecipe(
  system: string,
  { eva = null, keys = [] }: { eva?: string | null; keys?: string[] } = {},
): Config {
  const { network = "", keys: own = [] } = OWN[system] ?? {}, isPlain = system === "clip";
  const recipe = `
name: tiny
system: ${system}
precision: f32
data: { num_segments: 4, batch_size: 2${isPlain || own === LISTS ? "" : ", num_classes: 5, dataset: none"} }
network:
  arch: custom
  backbone: { image_size: 16, patch_size: 8, width: 32, layers: 2, heads: 2${eva ? `, eva: ${eva}` : ""} }
  ${isPlain ? "" : "side_dim: 64"}
`;
  const overrides = [
    ...own,
    ...keys,
    ...network === "" ? [] : network.split(/, (?=embed_dim|tokens)/).map((pair) => {
      const at = pair.indexOf(":");
      return `network.${pair.slice(0, at)}=${pair.slice(at + 2)}`;
    }),
  ];
  return parseConfig(recipe, { source: "tiny.yaml", overrides }).config;
}

/** Kinds of towers that differ in what they compute: published options of EVA's, and the exact GELU of CLIP's. */
export const EVA_TOWERS = {
  "EVA with post-norms": "{ hidden: 48, norm: post }",
  "EVA with rotations and SwiGLU": "{ hidden: 48, mlp: swiglu, sub_norm: true, rope_span: 16 }",
};

/** All recipes that are exported. */
export function exportedRecipes(): [name: string, config: Config][] {
  const plain = SYSTEMS.map(({ id }): [string, Config] => [id, tinyRecipe(id)]);
  const onEva = Object.entries(EVA_TOWERS).map(([name, eva]): [string, Config] => [
    `${SYSTEMS[0].id}, ${name}`,
    tinyRecipe(SYSTEMS[0].id, { eva }),
  ]);
  return [...plain, ...onEva];
}

/** A session that evaluates one clip at once, whose weights are all random: norms and statistics, too. */
export async function randomSession(gpu: Gpu, config: Config): Promise<Session> {
  const model = createModel(modelSpec(config)), device = new LocalDevice(gpu), { limits } = device.info;
  const queries = model.text ? [sentencesQuery(model)] : undefined;
  const options = evaluationOptions(config, { clips: 1, largestFrame: { width: 16, height: 16 }, queries });
  const session = await Session.open(device, model, { ...options, limits });
  const prng = createPrng(config.seed, 0x72);
  for (const { name, shape, kind } of model.weights.list) {
    const isVariance = name.endsWith("running_var"), spread = shape.length >= 2 ? 0.15 : 0.3;
    const values = Float32Array.from(
      { length: sizeOf(shape) },
      () =>
        isVariance ? 0.5 + prng.uniform() : spread * prng.normal() +
          (kind !== "statistic" && name.endsWith("weight") && shape.length === 1 ? 1 : 0),
    );
    await session.write(name, values);
  }
  return session;
}
