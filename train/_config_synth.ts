/** `data.synth`: options of the synthetic set, as `sidenet synth` has them. */
import { z } from "zod";

const count = () => z.number().int().positive();

export const SYNTH_OPTIONS_SCHEMA = z.strictObject({
  kinds: z.array(z.string()).min(2).default(["left", "right", "up", "down"]).describe(
    "motions, one class each",
  ),
  train_clips: count().default(4000),
  val_clips: count().default(400),
  frames: count().default(8),
  size: count().default(32).describe("side of a frame in pixels"),
  seed: z.number().int().nonnegative().default(1),
});

/** Classes of the set that these options make. */
export function countSynthClasses(options: z.output<typeof SYNTH_OPTIONS_SCHEMA>): number {
  return options.kinds.length;
}
