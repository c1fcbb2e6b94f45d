/** Recorded reference cases of Side4Video for retrieval: the sizes that they describe, as sections of a recipe. */

import { DataError } from "../../lib/errors.ts";
import { evaOfCase } from "../eva/case.ts";
import type { RecordedActivation, SystemRecipe } from "../system.ts";
import { channelsFirst, tokenFirst } from "./cases.ts";

// deno-lint-ignore no-explicit-any -- JSON of a case
type CaseConfig = any;

/**
 * The sections of a recipe for the model of a case.
 *
 * @throws {DataError} when the case uses an option that is not built.
 */
export function retrievalCaseRecipe(
  config: CaseConfig,
  label: string,
): Pick<SystemRecipe, "data" | "network"> {
  const { model, text, batch } = config;
  const requirements: [boolean, string, string, unknown][] = [
    [!config.cdcr, "cdcr", "false", config.cdcr],
    [(config.sim_header ?? "meanP") === "meanP", "sim_header", "meanP", config.sim_header],
    [config.freeze_vit ?? true, "freeze_vit", "true", config.freeze_vit],
  ];
  for (const [holds, key, must, value] of requirements) {
    if (holds) continue;
    throw new DataError(`Cannot replay case "${label}": ${key} must be ${must}, current value is ${value}`);
  }
  return {
    data: {
      num_segments: model.frames,
      num_classes: 0,
      batch_size: batch,
      num_sample: 1,
      max_words: config.max_words ?? text.words,
    },
    network: {
      arch: "custom",
      backbone: backboneOf(config, label),
      side_dim: model.side_dim,
      sync_bn: true,
      interaction: config.interaction === "wti" ? "wti" : "mean",
      text_tower: config.freeze_text ? "freeze" : "train",
      text: {
        width: text.width,
        heads: text.heads ?? headsOf(text.width),
        layers: text.layers,
        context: text.context,
        vocabulary: text.vocab,
      },
      embed_dim: model.embed_dim,
      tokens: null,
      dual_softmax: null,
    },
  };
}

/** The published rule of CLIP's towers. */
function headsOf(width: number): number {
  return Math.max(1, Math.floor(width / 64));
}

function backboneOf({ model }: CaseConfig, label: string): SystemRecipe["network"]["backbone"] {
  if (model.vision_cfg === undefined) {
    const { image_size, patch_size, width, layers, heads = headsOf(width) } = model;
    return { image_size, patch_size, width, layers, heads };
  }
  const { imageSize, patchSize, width, layers, heads, hidden, norm, subNorm, mlp, ropeSpan } = evaOfCase(
    model.vision_cfg,
    label,
  );
  const eva = { hidden, norm, sub_norm: subNorm, mlp, rope_span: ropeSpan };
  return { image_size: imageSize, patch_size: patchSize, width, layers, heads, eva };
}

/** The originals' layouts: CLIP's blocks are token-first, those of EVA-CLIP's image tower are not. */
export function retrievalToRecorded(
  name: string,
  values: Float32Array,
  recorded: RecordedActivation,
): Float32Array {
  const isTokenFirst = recorded.config.model.vision_cfg === undefined || name.startsWith("act.text.");
  return (isTokenFirst ? tokenFirst : channelsFirst)(name, values, recorded);
}
