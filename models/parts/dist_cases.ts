/** Recorded reference cases of DiST: the sizes that they describe, and the originals' layouts. */

import { permute } from "../../lib/permute.ts";
import type { RecordedActivation, SystemRecipe } from "../system.ts";

// deno-lint-ignore no-explicit-any -- JSON of a case
type CaseConfig = any;

/** The published rule of heads. */
function headsOf(width: number): number {
  return Math.max(1, Math.floor(width / 64));
}

/** The sections of a recipe for the model of a case. */
export function distCaseRecipe(
  { model, batch, num_classes }: CaseConfig,
  _label: string,
): Pick<SystemRecipe, "data" | "network"> {
  const { image_size, patch_size, width, layers, heads = headsOf(width), text } = model;
  return {
    data: {
      num_segments: model.frames,
      num_classes,
      batch_size: batch,
      num_sample: 1,
      balance: "none",
      frame_ratio: model.alpha,
    },
    network: {
      arch: "custom",
      backbone: { image_size, patch_size, width, layers, heads },
      side_dim: model.integration_dim,
      sync_bn: true,
      text: {
        width: text.width,
        heads: text.heads ?? headsOf(text.width),
        layers: text.layers,
        context: text.context,
        vocabulary: text.vocab,
      },
      embed_dim: model.embed_dim,
      tokens: null,
      temporal_dim: model.temporal_dim,
      pooling_layers: model.ada_pooling_layers,
      selected_layers: model.selected_layers ?? null,
      stem_frames: model.t_patch_size ?? 5,
      temporal_kernel: model.temporal_kernel_size ?? 3,
      temporal_mlp_ratio: model.temporal_conv_mlp_ratio ?? 1,
      integration_mlp_ratio: model.integration_mlp_ratio ?? 1,
      integration_temporal_mlp_ratio: model.integration_temporal_mlp_ratio ?? 0.25,
    },
  };
}

/** States of the temporal encoder are `[B c T h w]` there and `[B T P c]` here; tokens `[N F C]` and `[F N C]`; queries have an axis more. */
export function distToRecorded(
  name: string,
  values: Float32Array,
  { shape }: RecordedActivation,
): Float32Array {
  if (shape.length === 5) {
    const [B, c, T, h, w] = shape;
    return permute(values, [B, T, h * w, c], [0, 3, 1, 2]);
  }
  if (shape.length !== 3 || name === "act.ln_pre" || name.startsWith("act.adapooling.")) return values;
  const [N, F, C] = shape;
  return permute(values, [F, N, C], [1, 0, 2]);
}

/** Tokens that enter the first block are recorded of all frames; here the tower reads every α-th. */
export function distComputed(
  name: string,
  values: Float32Array,
  { shape, config }: RecordedActivation,
): Float32Array {
  if (name !== "act.ln_pre") return values;
  const { alpha } = config.model, frame = values.length / shape[0];
  return Float32Array.from(
    { length: values.length / alpha },
    (_, i) => values[Math.floor(i / frame) * alpha * frame + i % frame],
  );
}
