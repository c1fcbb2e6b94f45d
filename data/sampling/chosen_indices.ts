/**
 * The frames of a clip by the rule that a recipe chooses: the rules of recognition, which give T frames of every clip, or a strategy of
 * retrieval, which may give fewer; the rest of T is padding then. All frame indices count from 1.
 */
import {
  type IntegerSource,
  type SamplingOptions,
  trainIndices,
  validationIndices,
} from "./frame_indices.ts";
import { retrievalIndices, type RetrievalSampling } from "./retrieval_indices.ts";

/** "segments": the rules of recognition (`rule`, `dense`); a number: a strategy of retrieval. */
export type FrameRule = "segments" | RetrievalSampling["strategy"];

export interface ChosenSampling extends SamplingOptions {
  by: FrameRule;
  /** Which frames stay where a strategy gives more than T. */
  slice: RetrievalSampling["slice"];
}

/** An evaluation draws nothing: what a strategy would draw from a range is the middle of it. */
const MIDDLES: IntegerSource = { integer: (n) => Math.floor(n / 2) };

/** Frame indices for training: T of 1 … `frames`, or fewer by a strategy. */
export function chosenTrainIndices(frames: number, options: ChosenSampling, draws: IntegerSource): number[] {
  return options.by === "segments"
    ? trainIndices(frames, options, draws)
    : strategyIndices(frames, options, options.by, draws);
}

/** Frame indices of the one view of an evaluation, the same every time: T of 1 … `frames`, or fewer by a strategy. */
export function chosenEvalIndices(frames: number, options: ChosenSampling): number[] {
  return options.by === "segments"
    ? validationIndices(frames, { ...options, dense: false })
    : strategyIndices(frames, options, options.by, MIDDLES);
}

function strategyIndices(
  frames: number,
  { segments: maxFrames, slice }: ChosenSampling,
  strategy: RetrievalSampling["strategy"],
  draws: IntegerSource,
): number[] {
  return retrievalIndices(frames, { maxFrames, strategy, slice }, draws);
}
