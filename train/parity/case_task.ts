/** How the cases of a task are recorded: what a batch of one brings, and what an evaluation of it gives. */

import { permute } from "../../lib/permute.ts";
import type { VideoModel } from "../../models/video_model.ts";
import type { BatchInputs, InputValues } from "../runtime/objective.ts";
import type { Query } from "../runtime/query.ts";
import type { Session } from "../runtime/session.ts";
import type { ReferenceCase } from "./reference.ts";

/** The batch of a case. */
export interface CaseBatch {
  readonly clips: number;
  /** [clips*T 3 H W]. */
  readonly frames: Float32Array;
  /** What it brings besides, by name. */
  readonly inputs: Readonly<Record<string, InputValues>>;
}

/** How the cases of a task are recorded. */
export interface CaseTask {
  read(reference: ReferenceCase, batch: { inputs: BatchInputs }): Promise<CaseBatch>;
  /** What a session for the case is asked besides; nothing when absent. */
  queries?(model: VideoModel, clips: number): readonly Query[];
  /** What an evaluation gives, under the names of the case. */
  evaluate(session: Session, batch: CaseBatch): Promise<Record<string, Float32Array>>;
}

/** Cases whose tensors have the names of the task's own inputs and outputs. */
export const PLAIN_CASES: CaseTask = {
  async read(reference, { inputs }) {
    const values: Record<string, InputValues> = {};
    for (const [name, { dtype }] of Object.entries(inputs)) {
      const recorded = await reference.read(`input.${name}`);
      values[name] = dtype === "u32" ? Uint32Array.from(recorded) : recorded;
    }
    const { batch: clips } = reference.description.config;
    return { clips, frames: await framesOf(reference), inputs: values };
  },
  evaluate: (session, { frames, clips }) => session.evaluateFrames(frames, clips),
};

/** Frames of a case's clips [clips*T 3 H W], which some record as videos [clips 3 T H W]. */
async function framesOf(reference: ReferenceCase): Promise<Float32Array> {
  if (!reference.has("input.video")) return await reference.read("input.frames");
  const [clips, channels, T, H, W] = reference.shapeOf("input.video");
  const video = await reference.read("input.video");
  return permute(video, [clips, channels, T, H * W], [0, 2, 1, 3]);
}
