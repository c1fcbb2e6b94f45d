/** The EVA tower that a recorded case describes in the original's own option names. */

import { DataError } from "../../lib/errors.ts";
import type { EvaConfig } from "./block.ts";

/** The original's options of an image tower, as far as they say something here; the others keep its defaults. */
interface VisionOptions {
  image_size: number;
  patch_size: number;
  width: number;
  head_width: number;
  layers: number;
  mlp_ratio: number;
  postnorm?: boolean;
  subln?: boolean;
  naiveswiglu?: boolean;
  rope?: boolean;
  pt_hw_seq_len?: number;
  intp_freq?: boolean;
  qkv_bias?: boolean;
  ls_init_value?: number | null;
  drop_path_rate?: number;
  patch_dropout?: number;
}

/**
 * Sizes and options of the tower.
 *
 * @throws {DataError} when the case uses an option that no published tower has.
 */
export function evaOfCase(options: VisionOptions, label: string): EvaConfig {
  const { image_size: imageSize, patch_size: patchSize, width, layers } = options;
  const grid = Math.floor(imageSize / patchSize);
  const pretrainedGrid = options.pt_hw_seq_len ?? 16;
  const requirements: [boolean, string, string, unknown][] = [
    [options.qkv_bias ?? true, "qkv_bias", "true", options.qkv_bias],
    [(options.ls_init_value ?? null) === null, "ls_init_value", "null", options.ls_init_value],
    [(options.drop_path_rate ?? 0) === 0, "drop_path_rate", "0", options.drop_path_rate],
    [(options.patch_dropout ?? 0) === 0, "patch_dropout", "0", options.patch_dropout],
    [
      !options.rope || (options.intp_freq ?? false) || grid === pretrainedGrid,
      "intp_freq",
      `true for a grid other than pt_hw_seq_len (${pretrainedGrid})`,
      options.intp_freq,
    ],
  ];
  for (const [holds, key, must, value] of requirements) {
    if (holds) continue;
    throw new DataError(
      `Cannot replay case "${label}": vision_cfg.${key} must be ${must}, current value is ${value}`,
    );
  }
  return {
    imageSize,
    patchSize,
    width,
    layers,
    heads: Math.floor(width / options.head_width),
    hidden: Math.floor(width * options.mlp_ratio),
    norm: options.postnorm ? "post" : "pre",
    subNorm: options.subln ?? false,
    mlp: options.naiveswiglu ? "swiglu" : "gelu",
    ropeSpan: options.rope ? pretrainedGrid : null,
  };
}
