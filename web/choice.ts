/** Window and stride as they are chosen in the page, and whether they can be. */
import { type ClipTimes, defaultStride, leastSpacing } from "../train/evaluation/timeline.ts";
import type { ChoiceBound, WindowChoice } from "./protocol.ts";

/** The shortest window of a camera, in seconds: some of its pictures. */
export const LEAST_LIVE = 0.2;
/** Rounding of time stamps, in seconds. */
const ROUNDING = 1e-6;

/** The seconds that the window must have for a video, or, where a stride is chosen, the stride; null: they can be laid. */
export function leastOf(choice: WindowChoice, times: ClipTimes): ChoiceBound | null {
  if (choice === null || times.seconds <= choice.window) return null;
  const least = leastSpacing(times);
  if (choice.stride >= least - ROUNDING) return null;
  return choice.stride === defaultStride(choice.window)
    ? { field: "window", seconds: 2 * least }
    : { field: "stride", seconds: least };
}

/** The bound in words. */
export function boundText({ field, seconds }: ChoiceBound): string {
  const least = `${Math.ceil(1000 * seconds - 1e-3) / 1000} s`;
  return field === "window"
    ? `Window: at least ${least}, two frames of the video, or give a stride`
    : `Stride: at least ${least}, a frame of the video`;
}
