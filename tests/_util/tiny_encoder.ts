/** An encoder without batch statistics in the way, for tests of what a step does with micro-batches and with single weights. */

import assert from "node:assert/strict";
import type { Gpu } from "../../gpu/device.ts";
import {
  batchNorm,
  crossEntropy,
  gelu,
  l2Normalize,
  linear,
  matmul,
  meanTokens,
  reshape,
} from "../../gpu/ops/mod.ts";
import { normal, Weights } from "../../models/params.ts";
import { declareBatchNorm } from "../../models/parts/declare.ts";
import { declareTower, towerOf } from "../../models/towers.ts";
import { collectActivations, type VideoModel } from "../../models/video_model.ts";
import { LocalDevice } from "../../train/runtime/device/device.ts";
import type { Objective } from "../../train/runtime/objective.ts";
import { Session } from "../../train/runtime/session.ts";
import type { SessionOptions, TrainBatch } from "../../train/runtime/session_plan.ts";
import { tinySession } from "./tiny_model.ts";
import { rgbClip, SEED } from "./tiny_session.ts";

const BACKBONE = { imageSize: 16, patchSize: 8, width: 32, layers: 1, heads: 2 };
const FRAMES = 2, HIDDEN = 16;
/** D, channels of an embedding. */
const WIDTH = 8;

/** What an encoder has besides its two layers. */
export interface EncoderOptions {
  /** A batch norm "norm" behind them. */
  norm?: boolean;
  /** A trained weight "unread" that no node reads. */
  unread?: boolean;
}

/** Two linear layers, "first" and "second", on the mean of the tower's output: `embedding` [B D]. A loss may read "pair" [D D]. */
export function tinyEncoder(options: EncoderOptions = {}): VideoModel {
  const weights = new Weights({ group: "side" });
  const tower = declareTower(weights, BACKBONE, { dtype: "f32", taps: "tower" });
  const first = weights.trained("first", [HIDDEN, BACKBONE.width], normal(0.2));
  const second = weights.trained("second", [WIDTH, HIDDEN], normal(0.5));
  const norm = options.norm ? declareBatchNorm(weights, "norm", WIDTH) : null;
  weights.inGroup("head", () => weights.trained("pair", [WIDTH, WIDTH], normal(0.5)));
  if (options.unread) weights.trained("unread", [3], normal(1));
  return {
    config: { backbone: BACKBONE, frames: FRAMES },
    weights,
    taps: "tower",
    tapped: [BACKBONE.layers - 1],
    unusedInBackbone: towerOf(BACKBONE).unused(BACKBONE),
    forward: (g, { frames }, { mode }) => {
      const { activations, keep } = collectActivations();
      const tap = [...tower.outputs(g, frames, keep)].at(-1)!; // [B*T N C]
      const tokens = reshape(g, tap, [tap.shape[0] / FRAMES, -1, BACKBONE.width]); // [B T*N C]
      const mean = meanTokens(g, tokens); // [B C]
      const hidden = g.region("hidden", () => gelu(g, linear(g, mean, first))); // [B hidden]
      const h = linear(g, hidden, second); // [B D]
      return { outputs: { embedding: norm ? batchNorm(g, h, norm, { mode }) : h }, activations };
    },
    recordTaps: (g, pictures) => [...tower.outputs(g, pictures)],
  };
}

/** Among all clips of the batch, each is to be nearest to its partner. The loss has a trained weight of its own. */
function contrast({ weights }: VideoModel, over: Objective["over"]): Objective {
  return {
    over,
    reads: ["embedding"],
    record: (g, { outputs: { embedding }, inputs: { partners } }) => {
      const e = l2Normalize(g, embedding), other = linear(g, e, weights.get("pair")!.tensor); // [B D]
      const similar = matmul(g, e, other, { transposeB: true }); // [B B]
      return { loss: crossEntropy(g, similar, { labels: partners, smoothing: 0 }).loss };
    },
  };
}

/** Options of a contrast over so many clips. */
export function contrastOptions(
  model: VideoModel,
  changes: Partial<SessionOptions> & { over?: Objective["over"] } = {},
): SessionOptions {
  const { over = "batch", ...rest } = changes;
  return tinySession({
    inputs: { partners: { shape: [], dtype: "u32" } },
    objective: contrast(model, over),
    collects: ["embedding"],
    trainClips: [6],
    largestFrame: { width: 40, height: 24 },
    ...rest,
  });
}

/** Decoded clips, each with the next as its partner. */
export function contrastBatch(model: VideoModel, clips: number, first = 0): TrainBatch {
  return {
    clips: Array.from({ length: clips }, (_, i) => rgbClip(model, first + i)),
    inputs: { partners: Uint32Array.from({ length: clips }, (_, i) => (i + 1) % clips) },
  };
}

/** Options of a session on the encoder that differ from the plain ones. */
export type ContrastChanges = Parameters<typeof contrastOptions>[1] & { encoder?: EncoderOptions };

/** Opens a session on the encoder with seeded weights, and frees its memory afterwards. */
export async function withContrast<R>(
  gpu: Gpu,
  { encoder, ...changes }: ContrastChanges,
  body: (session: Session, model: VideoModel) => Promise<R>,
): Promise<R> {
  const model = tinyEncoder(encoder);
  await using session = await Session.open(new LocalDevice(gpu), model, contrastOptions(model, changes));
  assert.equal(session.allocatedBytes, session.memory.total);
  await session.initialise(SEED);
  return await body(session, model);
}
