/** The texts of a case's classes: recorded as tokens, and read by the text tower in its state. */

import type { Gpu } from "../../gpu/device.ts";
import { endPositions } from "../../models/clip/text.ts";
import type { WeightSource } from "../../models/params.ts";
import { underOwnNames } from "../../models/parts/file_names.ts";
import type { System } from "../../models/system.ts";
import type { VideoModel } from "../../models/video_model.ts";
import { type ClassTextValues, valuesOf } from "../files/class_text_values.ts";
import { LocalDevice } from "../runtime/device/device.ts";
import type { ReferenceCase } from "./reference.ts";

/** Where the start weights lie in a case. */
const STATE = "state.";

/** The constants that a model keeps of its classes' texts; null where it keeps none. Loads the GPU with the text tower, and frees it. */
export async function readCaseTexts(
  gpu: Gpu,
  reference: ReferenceCase,
  { model, system }: { model: VideoModel; system: System },
): Promise<ClassTextValues | null> {
  const { classTexts, config: { backbone } } = model;
  if (!classTexts) return null;
  const [, words] = reference.shapeOf("input.texts");
  const ids = Uint32Array.from(await reference.read("input.texts"));
  const source = underOwnNames(stateOf(reference), system.files);
  const texts = { tokenised: { ids, ends: endPositions(ids, words) }, source, seed: 0 };
  await using device = new LocalDevice(gpu);
  return await valuesOf(device, { classTexts, backbone }, texts);
}

/** The start weights of a case. */
function stateOf(reference: ReferenceCase): WeightSource {
  const names = reference.names(STATE).map((name) => name.slice(STATE.length)), held = new Set(names);
  return {
    label: reference.description.case,
    names: () => names,
    shapeOf: (name) => held.has(name) ? reference.shapeOf(STATE + name) : undefined,
    readF32: (name) => reference.read(STATE + name),
  };
}
