/** What a model keeps of the texts of its classes: made on a device from tokens, written into a session. */

import { DataError } from "../../lib/errors.ts";
import { checkAccount, type WeightSource } from "../../models/params.ts";
import type { ClassTexts, VideoModel } from "../../models/video_model.ts";
import type { Device } from "../runtime/device/device.ts";
import type { Session } from "../runtime/session.ts";
import { declareTextTower, readTexts, type TokenisedTexts } from "../runtime/text_features.ts";
import { readUsable } from "./load_weights.ts";

/** Values of a model's constants by name. */
export type ClassTextValues = ReadonlyMap<string, Float32Array>;

/** Writes what was read into a session. */
export async function writeClassTexts(
  session: Pick<Session, "write">,
  texts: ClassTextValues | null,
): Promise<void> {
  for (const [name, values] of texts ?? []) await session.write(name, values.slice());
}

/** The logarithm of the factor on cosines of a model that was never trained, as CLIP's own begins. */
const UNTRAINED_SCALE = Math.log(1 / 0.07);

/** Features and scale, from a file or, where there is none, as a seed draws them. */
export async function valuesOf(
  device: Device,
  { classTexts: { tower, features, scale }, backbone }: {
    classTexts: ClassTexts;
    backbone: VideoModel["config"]["backbone"];
  },
  { tokenised, source, seed, signal }: {
    tokenised: TokenisedTexts;
    source: WeightSource | null;
    seed: number;
    signal?: AbortSignal;
  },
): Promise<ClassTextValues> {
  if (source === null) {
    return new Map([
      [features, await readTexts(device, { tower, backbone }, tokenised, { seed })],
      [scale, Float32Array.of(UNTRAINED_SCALE)],
    ]);
  }
  const refuse = (message: string) => new DataError(message);
  const read = (name: string) => {
    signal?.throwIfAborted();
    return readUsable(source, name, { dtype: "f32", refuse });
  };
  // What else is in the file, others look at.
  checkAccount(declareTextTower(tower).weights.list, source, {
    ignore: [...source.names()],
    explain: () =>
      "the names of the classes are compared as texts, which takes the text tower of network.weights",
  });
  return new Map([
    [features, await readTexts(device, { tower, backbone }, tokenised, ({ name }) => read(name))],
    [scale, await read(scale)],
  ]);
}
