/**
 * The texts of a classifier's classes: their features are made by the text tower of the backbone's file, or of the originals' checkpoint
 * which holds one, before the model is on the GPU. From then on they are constants of the model, kept with its weights.
 */

import { clipTokenizer, frameStrict, subsetTokenizer, type Tokenizer } from "../../data/text/tokenizer.ts";
import { ConfigError, DataError } from "../../lib/errors.ts";
import { shorten } from "../../lib/text.ts";
import { fitTower } from "../../models/backbone_file.ts";
import { createModel } from "../../models/create.ts";
import type { WeightSource } from "../../models/params.ts";
import { underOwnNames } from "../../models/parts/file_names.ts";
import { systemOf } from "../../models/registry.ts";
import { towerOf } from "../../models/towers.ts";
import type { ClassTexts } from "../../models/video_model.ts";
import type { Config } from "../recipe/config.ts";
import { modelSpec } from "../recipe/model.ts";
import { RemoteDevice } from "../runtime/device/remote_device.ts";
import { declareTextTower, type TokenisedTexts } from "../runtime/text_features.ts";
import { openCheckpoint } from "./checkpoint.ts";
import { type ClassTextValues, valuesOf } from "./class_text_values.ts";

export { type ClassTextValues, writeClassTexts } from "./class_text_values.ts";

/**
 * Reads the texts of a recipe's classes on a GPU of their own; null where its network has none.
 *
 * @param options.labels Names of the classes, in their order.
 * @param options.prompts Sentences by class instead of their names; a class has the mean of its sentences', each of length 1.
 * @param options.own A checkpoint that may hold a text tower of its own, which then comes first.
 * @throws {ConfigError} where nothing names the classes, or a text is too long.
 */
export async function readClassTexts(
  config: Config,
  options: {
    labels: readonly string[];
    prompts?: readonly (readonly string[])[];
    own?: WeightSource | null;
    /** Ends it between two tensors of the text tower. */
    signal?: AbortSignal;
  },
): Promise<ClassTextValues | null> {
  const { classTexts, config: { backbone } } = createModel(modelSpec(config));
  if (!classTexts) return null;
  const prompts = options.prompts ??
    textsOf(config, { labels: options.labels, prefix: classTexts.prefix }).map((text) => [text]);
  const tokenised = tokenise(await tokenizerFor(classTexts), prompts.flat(), classTexts.tower.context);
  const own = options.own ? underOwnNames(options.own, systemOf(config.system).files) : null;
  const { weights: path, init } = config.network;
  const hasText = own?.shapeOf(declareTextTower(classTexts.tower).weights.list[0].name) !== undefined;
  if ((path === null || !init) && !hasText && own?.shapeOf(towerOf(backbone).mark)) {
    throw new DataError(
      `Cannot use "${own.label}": the names of the classes are compared as texts, and it holds a backbone without a text tower; ` +
        "give network.weights",
    );
  }
  await using device = await RemoteDevice.open({});
  const read = async (source: WeightSource | null) => {
    const values = await valuesOf(device, { classTexts, backbone }, {
      tokenised,
      source,
      seed: config.seed,
      signal: options.signal,
    });
    const features = values.get(classTexts.features)!;
    return new Map([...values, [
      classTexts.features,
      meanByClass(features, prompts.map(({ length }) => length)),
    ]]);
  };
  if (hasText) return await read(own);
  if (path === null || !init) return await read(null);
  await using file = await openCheckpoint(path);
  return await read(fitTower(file, backbone).source);
}

/** The mean of each class's sentences, of length 1 each; the features themselves where every class has one. */
function meanByClass(features: Float32Array, counts: readonly number[]): Float32Array {
  if (counts.every((count) => count === 1)) return features;
  const dims = features.length / counts.reduce((a, b) => a + b, 0),
    means = new Float32Array(counts.length * dims);
  let next = 0;
  counts.forEach((count, k) => {
    for (let i = 0; i < count; i++, next++) {
      const one = features.subarray(next * dims, (next + 1) * dims), length = Math.hypot(...one);
      one.forEach((value, d) => means[k * dims + d] += value / length / count);
    }
  });
  return means;
}

/** A name as the originals say it (spec dist §4.1): without quotation marks, behind the words before all of them. */
function textsOf(
  { data }: Config,
  { labels, prefix }: { labels: readonly string[]; prefix: string },
): string[] {
  if (data.label_list === null && data.synth === null && labels.every((label, i) => label === String(i))) {
    throw new ConfigError(
      "Cannot compare clips with the texts of their classes: data.label_list must name them, current value is null",
    );
  }
  if (labels.length !== data.num_classes) {
    throw new ConfigError(
      `Cannot compare clips with the texts of their classes: data.label_list must name ${data.num_classes} classes, ` +
        `current count is ${labels.length}`,
    );
  }
  const nameless = labels.findIndex((label) => label.replaceAll('"', "").trim() === "");
  if (nameless >= 0) {
    throw new DataError(
      `Cannot compare clips with the texts of their classes: class ${nameless} must have a name, it is empty`,
    );
  }
  const before = prefix.trim();
  return labels.map((label) =>
    [before, label.replaceAll('"', "").trim()].filter((part) => part !== "").join(" ")
  );
}

async function tokenizerFor({ tokens }: ClassTexts): Promise<Tokenizer> {
  const whole = await clipTokenizer();
  if (tokens === null) return whole;
  return subsetTokenizer(whole, tokens);
}

/** Texts as rows of tokens, all as long as the longest: what stands behind an end changes nothing before it. */
export function tokenise(tokenizer: Tokenizer, texts: readonly string[], context: number): TokenisedTexts {
  for (const text of texts) {
    const unknown = "unknownIn" in tokenizer ? (tokenizer.unknownIn as (text: string) => string[])(text) : [];
    if (unknown.length > 0) {
      throw new ConfigError(
        `Cannot read the class "${shorten(text)}": network.tokens must hold the tokens of its words, "${
          unknown[0]
        }" has others`,
      );
    }
  }
  const all = texts.map((text) => frameStrict(tokenizer, text, { context })),
    length = Math.max(...all.map(({ end }) => end)) + 1;
  const ids = new Uint32Array(texts.length * length);
  all.forEach((sentence, i) => ids.set(sentence.ids.subarray(0, length), i * length));
  return { ids, ends: Uint32Array.from(all, ({ end }) => end) };
}
