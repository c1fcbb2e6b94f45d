/** How the cases of a task are recorded: what a batch of one brings, and what an evaluation of it gives. */

import type { VideoModel } from "../../models/video_model.ts";
import type { BatchInputs, InputValues } from "../runtime/objective.ts";
import type { Query } from "../runtime/query.ts";
import type { Session } from "../runtime/session.ts";
import type { ReferenceCase } from "./case.ts";

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
    return { clips, frames: await reference.read("input.frames"), inputs: values };
  },
  evaluate: (session, { frames, clips }) => session.evaluateFrames(frames, clips),
};
