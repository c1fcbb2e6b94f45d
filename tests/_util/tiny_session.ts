/** Sessions on the tiny model, and comparisons of what they hold. */

import assert from "node:assert/strict";
import type { Gpu } from "../../gpu/device.ts";
import { createPrng } from "../../lib/random.ts";
import type { Side4Video } from "../../models/side4video.ts";
import { Session } from "../../train/runtime/session.ts";
import type { SessionClip, SessionOptions } from "../../train/runtime/session_plan.ts";
import type { GroupRates } from "../../train/runtime/update_rules.ts";
import { LocalDevice } from "../../train/runtime/device/device.ts";
import type { BatchMix } from "../../pixels/batch_mix.ts";
import type { VideoModel } from "../../models/video_model.ts";
import { tinyModel, tinySession, type TinySizes, tinyTraining } from "./tiny_model.ts";

/** Seed of the weights. */
export const SEED = 7;

/** A clip with its label. */
export type LabelledClip = SessionClip & { label: number };

/** A session as tests of classifiers speak to it: labels in, logits out. */
export class TinySession {
  readonly inner: Session;
  readonly device: LocalDevice;

  constructor(inner: Session, device: LocalDevice) {
    this.inner = inner;
    this.device = device;
  }

  get memory() {
    return this.inner.memory;
  }

  get allocatedBytes() {
    return this.inner.allocatedBytes;
  }

  get steps() {
    return this.inner.steps;
  }

  get launches() {
    return this.inner.launches;
  }

  initialise(seed: number) {
    return this.inner.initialise(seed);
  }

  write(...args: Parameters<Session["write"]>) {
    return this.inner.write(...args);
  }

  read(...args: Parameters<Session["read"]>) {
    return this.inner.read(...args);
  }

  readLosses() {
    return this.inner.readLosses();
  }

  readOutputs(...args: Parameters<Session["readOutputs"]>) {
    return this.inner.readOutputs(...args);
  }

  /** @param given Targets `[clips K]` and how the clips are mixed, in a session that mixes or weighs. */
  step(
    clips: readonly LabelledClip[],
    rates: GroupRates,
    given: { targets?: Float32Array; mix?: BatchMix | null } = {},
  ) {
    const { targets, mix } = given, labels = Uint32Array.from(clips, ({ label }) => label);
    return this.inner.step({ clips, inputs: { labels, ...targets && { targets } }, mix }, rates);
  }

  stepOnFrames(frames: Float32Array, labels: readonly number[], rates: GroupRates) {
    const inputs = { labels: Uint32Array.from(labels) };
    return this.inner.stepOnFrames(frames, { clips: labels.length, inputs }, rates);
  }

  async evaluate(clips: readonly SessionClip[]): Promise<Float32Array> {
    return (await this.inner.evaluate(clips)).logits;
  }

  async evaluateFrames(frames: Float32Array, clips: number): Promise<Float32Array> {
    return (await this.inner.evaluateFrames(frames, clips)).logits;
  }
}

/** Opens a session on a model, on this thread. */
export async function openTiny(gpu: Gpu, model: VideoModel, options: SessionOptions): Promise<TinySession> {
  const device = new LocalDevice(gpu);
  return new TinySession(await Session.open(device, model, options), device);
}

/** Opens a session on a tiny model with seeded weights, and frees its memory afterwards. */
export async function withSession<R>(
  gpu: Gpu,
  options: Partial<SessionOptions> & { sizes?: TinySizes; seed?: number; weighs?: boolean },
  body: (session: TinySession, model: Side4Video) => Promise<R>,
): Promise<R> {
  const { sizes, seed = SEED, weighs, ...rest } = options, { mixes } = rest;
  const model = tinyModel(sizes), { inputs, objective } = tinyTraining({ mixes, weighs, ...sizes });
  try {
    const session = await openTiny(gpu, model, tinySession({ inputs, objective, ...rest }));
    await session.initialise(seed);
    return await body(session, model);
  } finally {
    gpu.memory[Symbol.dispose](); // the device itself is shared by all tests
  }
}

/** Names of the trained weights. */
export function trainedNames(model: Pick<VideoModel, "weights">): string[] {
  return model.weights.of("trained").map(({ name }) => name);
}

/** Names of the running statistics. */
export function statisticNames(model: Pick<VideoModel, "weights">): string[] {
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
export function rgbClip(model: Pick<VideoModel, "config">, seed: number): LabelledClip {
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
