/** How the prepared pictures of an entry are stored: as the levels that they were made of, or as floats where there are none. */

import { FLOAT_FAMILY } from "../../models/system.ts";
import { picturesOf, type VideoModel } from "../../models/mod.ts";
import type { Config } from "../recipe/config.ts";

/** "U8": pictures before normalisation, `[pictures S S 3]`; "F32": the network's input as it is, `[pictures 3 S S]`. */
export type PictureForm = "U8" | "F32";

/** The form without loss: transforms of floats give values between the levels. */
export function pictureForm({ data }: Pick<Config, "data">): PictureForm {
  return data.family === FLOAT_FAMILY ? "F32" : "U8";
}

/** Shape of a clip's pictures in an entry. */
export function pictureShape(model: VideoModel, form: PictureForm): [number, number, number, number] {
  const size = model.config.backbone.imageSize, pictures = picturesOf(model);
  return form === "F32" ? [pictures, 3, size, size] : [pictures, size, size, 3];
}

/** Bytes of a value. */
export function pictureValueBytes(form: PictureForm): number {
  return form === "F32" ? 4 : 1;
}

/** Keys of the family of floats that determine its pictures, with their values; none in the others. */
export function floatKeys({ data }: Pick<Config, "data">): Record<string, unknown> {
  if (pictureForm({ data }) === "U8") return {};
  const { frame_rule, frame_interval, target_fps, minus_interval, crop_scale, crop_ratio } = data;
  const isRandom = data.crop === "random_resized";
  return {
    "data.frame_rule": frame_rule,
    "data.frame_interval": frame_rule === "interval" ? frame_interval : null,
    "data.target_fps": frame_rule === "interval" ? target_fps : null,
    "data.minus_interval": frame_rule === "interval" ? minus_interval : null,
    "data.test_side": data.test_side,
    "data.crop_scale": isRandom ? crop_scale : null,
    "data.crop_ratio": isRandom ? crop_ratio : null,
  };
}
