/** Flags and checks that `eval` and `predict` share: the model, and how many views of a clip it sees. */
import { chosenViews, type Views } from "../../train/evaluation/evaluate.ts";
import type { OptionSpec } from "./args.ts";

/** Flags of the model and its views. */
export const MODEL_OPTIONS = {
  config: { type: "string", placeholder: "CONFIG", help: "recipe, for a checkpoint that holds none" },
  "test-crops": { type: "integer", choices: [1, 3, 5, 10], help: "crops of a frame" },
  "test-clips": { type: "integer", min: 1, help: "clips in time" },
} as const satisfies Record<string, OptionSpec>;

/** The views that the flags ask for; null without them. */
export function viewsOfFlags(values: { "test-crops"?: number; "test-clips"?: number }): Views | null {
  return chosenViews({
    crops: values["test-crops"] as Views["crops"] | undefined,
    clips: values["test-clips"],
  });
}

/** Views in words: `3 crops x 2 clips`. */
export function describeViews(views: Views | null): string {
  if (!views) return "one view a clip";
  const count = (n: number, word: string) => `${n} ${word}${n === 1 ? "" : "s"}`;
  return `${count(views.crops, "crop")} x ${count(views.clips, "clip")}`;
}
