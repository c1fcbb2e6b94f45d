/** Sessions on the tiny model, and comparisons of what they hold. */

import assert from "node:assert/strict";
import type { Gpu } from "../../gpu/device.ts";
import { createPrng } from "../../lib/random.ts";
import type { Side4Video } from "../../models/side4video.ts";
import { Session } from "../../train/runtime/session.ts";
import type { SessionOptions, TrainClip } from "../../train/runtime/session_plan.ts";
import { tinyModel, tinySession, type TinySizes } from "./tiny_model.ts";

/** Seed of the weights. */
export const SEED = 7;

/** Opens a session on a tiny model with seeded weights, and frees its memory afterwards. */
export async function withSession<R>(
  gpu: Gpu,
  options: Partial<SessionOptions> & { sizes?: TinySizes; seed?: number },
  body: (session: Session, model: Side4Video) => Promise<R>,
): Promise<R> {
  const { sizes, seed = SEED, ...rest } = options;
  const model = tinyModel(sizes);
  const session = await Session.open(gpu, model, tinySession(rest));
  try {
    session.initialise(seed);
    return await body(session, model);
  } finally {
    gpu.memory[Symbol.dispose](); // the device itself is shared by all tests
  }
}

/** Names of the trained weights. */
export function trainedNames(model: Side4Video): string[] {
  return model.weights.of("trained").map(({ name }) => name);
}

/** Names of the running statistics. */
export function statisticNames(model: Side4Video): string[] {
  return model.weights.of("statistic").map(({ name }) => name);
}

/** Largest absolute value. */
export function maxOf(values: Float32Array): number {
  return values.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
}

/** Compares tensors with expected elements, relative to each tensor's largest expected value. */
export function assertAllClose(
  actual: ReadonlyMap<string, Float32Array>,
  expected: (name: string, i: number) => number,
  tolerance: number,
): void {
  for (const [name, values] of actual) {
    const largest = values.reduce((max, _, i) => Math.max(max, Math.abs(expected(name, i))), 1e-12);
    values.forEach((value, i) => {
      const error = Math.abs(value - expected(name, i)) / largest;
      assert.ok(
        error <= tolerance,
        `${name}[${i}] is ${value}, expected ${expected(name, i)} (${error} of the largest)`,
      );
    });
  }
}

/** A clip of decoded frames, 40 x 24 pixels, with a transform that crops, scales and mirrors. */
export function rgbClip(model: Side4Video, seed: number): TrainClip {
  const width = 40, height = 24, size = model.config.backbone.imageSize, prng = createPrng(seed, 0x726762);
  return {
    frames: Uint8Array.from({ length: model.config.frames * width * height * 3 }, () => prng.integer(256)),
    width,
    height,
    transform: {
      resize: null,
      crop: { x: 3, y: 2, width: 22, height: 20 },
      resizeCrop: { width: size, height: size, filter: "bilinear" },
      flip: seed % 2 === 0,
    },
    label: seed % 4,
  };
}
