/** A file of a tiny network for retrieval, made without training. */
import { encodeSafetensors } from "../../data/checkpoint/safetensors.ts";
import { clipTokenizer, tokensOf } from "../../data/text/tokenizer.ts";
import { createModel } from "../../models/mod.ts";
import { originalName } from "../../models/parts/file_names.ts";
import { systemOf } from "../../models/registry.ts";
import { keptWeights } from "../../train/files/load_weights.ts";
import { initialState, metadataOf } from "../../train/files/run_state.ts";
import { parseConfig } from "../../train/recipe/config.ts";
import { modelSpec } from "../../train/recipe/model.ts";
import { captionsRecipe } from "../cli/_tiny_captions.ts";

const SENTENCES = ["something moves left"];

/** Writes it as a run does that was trained beside `clip.safetensors`, with weights of nothing. @param metadata More than a run of earlier versions wrote. */
export async function writeRetrieval(
  path: string,
  metadata: Readonly<Record<string, string>>,
): Promise<void> {
  const recipe = captionsRecipe(tokensOf(await clipTokenizer(), SENTENCES));
  const { config } = parseConfig(recipe, { overrides: ["network.weights=/elsewhere/clip.safetensors"] });
  const model = createModel(modelSpec(config)), { files } = systemOf(config.system);
  const tensors = keptWeights(model).map(({ name, shape }) => {
    const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
    return { name: originalName(files, name), dtype: "F32", shape, data } as const;
  });
  const own = metadataOf({ config, labels: [], state: initialState(0) });
  await Deno.writeFile(
    path,
    await new Blob([...encodeSafetensors(tensors, { ...own, ...metadata })] as Uint8Array<ArrayBuffer>[])
      .bytes(),
  );
}
