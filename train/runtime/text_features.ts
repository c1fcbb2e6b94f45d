/** A text tower alone on a device: the features of a few texts, which are made once and read from then on. */

import { bytesOf, Graph, resident } from "../../gpu/graph.ts";
import { Layout } from "../../gpu/layout.ts";
import { align, planGraph } from "../../gpu/plan.ts";
import { TextTower } from "../../models/clip/text.ts";
import { type Weight, Weights } from "../../models/params.ts";
import type { TextConfig, TowerSizes } from "../../models/tower.ts";
import type { Device } from "./device/device.ts";
import { DeviceModel } from "./device_model.ts";

/** Texts that are read at once. */
const AT_ONCE = 32;

/** Texts as tokens. */
export interface TokenisedTexts {
  /** Token ids [K L], a row for each text. */
  readonly ids: Uint32Array;
  /** Place of the end token of each. */
  readonly ends: Uint32Array;
}

/** A tower to read texts with. */
export interface TextReader {
  readonly tower: TextConfig;
  /** The image tower beside it, for its place among the weights of a file. */
  readonly backbone: TowerSizes;
}

/** Where the weights of a text tower come from: values by weight; or null, drawn from a seed. */
export type TextWeights = { readonly seed: number } | ((weight: Weight) => Promise<Float32Array>);

/**
 * Reads texts.
 *
 * @param device Free to be loaded; it holds the tower afterwards.
 * @returns Features [K E] as the tower gives them, not normalised
 */
export async function readTexts(
  device: Device,
  { tower: config, backbone }: TextReader,
  { ids, ends }: TokenisedTexts,
  source: TextWeights,
): Promise<Float32Array<ArrayBuffer>> {
  const count = ends.length,
    words = ids.length / count,
    rows = Math.min(AT_ONCE, count),
    { embedDim } = config;
  const { limits } = device.info, layout = new Layout(limits);
  const { weights, tower } = declareTextTower(config);
  const g = new Graph({ maxTensorBytes: Math.min(limits.maxBindingBytes, limits.maxBufferBytes) });
  const inputs = {
    ids: resident("input", "ids", [rows, words], "u32"),
    ends: resident("input", "ends", [rows], "u32"),
  };
  const features = g.output("features", tower.sentences(g, tower.run(g, inputs.ids), inputs.ends)); // [rows E]
  const plan = planGraph(g, { limits });
  layout.allocate("frozen_weights", weights.of("frozen").map(({ tensor }) => tensor));
  layout.allocate("inputs", Object.values(inputs));
  layout.allocateArena([plan]);
  const model = { weights, config: { backbone, frames: 1 } };
  const parts = { layout, plans: { texts: plan }, readbackBytes: align(bytesOf(features)), frames: null };
  const loaded = await DeviceModel.load(device, model, parts);
  if (typeof source === "function") {
    for (const weight of weights.of("frozen")) await loaded.write(weight.tensor, await source(weight));
  } else await loaded.initialise(source.seed, ["frozen"]);
  const all = new Float32Array(count * embedDim);
  for (let first = 0; first < count; first += rows) {
    // The last ones may be read twice: a program has one size.
    const start = Math.min(first, count - rows);
    const commands = [
      loaded.writeCommand(inputs.ids, ids.slice(start * words, (start + rows) * words)),
      loaded.writeCommand(inputs.ends, ends.slice(start, start + rows)),
      { do: "run", program: "texts" } as const,
      { do: "read", from: loaded.addressOf(features, "texts"), bytes: bytesOf(features) } as const,
    ];
    const [bytes] = await device.submit(commands);
    all.set(new Float32Array(bytes.buffer, bytes.byteOffset, rows * embedDim), start * embedDim);
  }
  return all;
}

/** A frozen text tower with its weights. */
export function declareTextTower(config: TextConfig): { weights: Weights; tower: TextTower } {
  const weights = new Weights();
  return { weights, tower: new TextTower(weights, config) };
}
