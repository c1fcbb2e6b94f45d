/** What an exported file says of itself: what goes in, how it is made of a video, and what comes out. */

import { systemOf } from "../../models/registry.ts";
import { FLOAT_FAMILY } from "../../models/system.ts";
import type { VideoModel } from "../../models/video_model.ts";
import { CLIP_STATISTICS } from "../../pixels/normalise.ts";
import { evaluationSampler, pictureWindow } from "../feed/sampling.ts";
import { type Config, transformRecipe } from "../recipe/config.ts";
import { clipShape, type GraphOptions } from "./graphs.ts";

/** Frames of the clip for which the metadata spell out which are read. */
const EXAMPLE_FRAMES = 100;

/** Metadata of the graph of clips: every value a string, of JSON where it is more than a word. */
export function clipMetadata(
  { config, labels, model, weights }: {
    config: Config;
    labels: readonly string[];
    model: VideoModel;
    weights: string;
  },
  options: GraphOptions,
): Record<string, string> {
  return {
    ...commonMetadata(config, { weights, dtype: options.dtype }),
    ...labels.length > 0 && { class_names: JSON.stringify(labels) },
    preprocessing: JSON.stringify(preprocessing(config, model, options)),
    sampling: JSON.stringify(sampling(config)),
  };
}

/** Metadata of the graph of sentences. */
export function sentenceMetadata(
  { config, model, weights }: { config: Config; model: VideoModel; weights: string },
  { dtype }: GraphOptions,
): Record<string, string> {
  const { words, vocabulary, tokens } = model.text!;
  return {
    ...commonMetadata(config, { weights, dtype }),
    tokens: JSON.stringify({
      tokenizer: "CLIP byte-pair encoding",
      length: words,
      vocabulary,
      ...tokens && { held: tokens },
      form: "start, words, end, then zeros",
    }),
  };
}

function commonMetadata(config: Config, { weights, dtype }: { weights: string; dtype: string }) {
  const { id, title, task } = systemOf(config.system), { arch, backbone } = config.network;
  return {
    system: id,
    title,
    task,
    name: config.name,
    backbone: arch === "custom" ? JSON.stringify(backbone) : arch,
    weights: weights.replace(/^.*[\\/]/, ""),
    weight_type: dtype,
  };
}

/** From decoded RGB frames to the input, as in validation. */
function preprocessing(config: Config, model: VideoModel, options: GraphOptions) {
  const recipe = transformRecipe(config),
    { resize, size } = recipe,
    isFloat = config.data.family === FLOAT_FAMILY;
  const axes = (model.window ?? 1) === 1 ? "B T" : "B T W";
  return {
    input: options.withPreprocessing ? `uint8 [${axes} H W 3]` : `float32 [${axes} 3 H W]`,
    shape: ["batch", ...clipShape(model, options)],
    colours: "RGB",
    resize: { ...resize, filter: resize.kind === "none" ? null : isFloat ? "bilinear" : "bicubic" },
    crop: { kind: "centre", size },
    scale: 1 / 255,
    ...CLIP_STATISTICS,
    normalised_inside: options.withPreprocessing,
  };
}

/** Which frames of a clip are read, as in validation. */
function sampling(config: Config) {
  const { num_segments: frames, family, dense } = config.data, window = pictureWindow(config);
  const indices = evaluationSampler(config, null)(EXAMPLE_FRAMES).flat();
  return {
    frames,
    rule: systemOf(config.system).recipe.frameRule?.(config, "val").sampling ?? family,
    dense,
    ...window && { pictures_per_frame: window.size, beyond_the_ends: window.edge },
    counted_from: 1,
    example: { frames_of_the_clip: EXAMPLE_FRAMES, read: indices },
  };
}
