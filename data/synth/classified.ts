/**
 * Clips with a class, of which only the motion tells it.
 *
 * Every clip shows one shape on a background. Kind, colour, size, turn, place, speed and background are drawn
 * from the same distributions whatever the class, and the world is a torus (the shape's size, where it changes, is one
 * too), so each single frame of each class has exactly the same distribution: it tells nothing. Training and validation
 * clips come from different random streams.
 */
import { createPrng } from "../../lib/random.ts";
import { isTurn, type Motion, poseAt } from "./motion.ts";
import { synthClipFrames, type SynthOptions, type SynthSplit } from "./options.ts";
import { type Colour, drawColour, drawFrames, paintBackground, type Pose, type Shape } from "./shapes.ts";

/** What one clip shows: all that the generator drew. */
export interface SynthClip {
  readonly label: number;
  readonly motion: Motion;
  readonly shape: Shape;
  readonly colour: Colour;
  readonly poses: readonly Pose[];
  readonly frames: readonly Uint8Array[];
}

const SPLIT_STREAMS: Record<SynthSplit, number> = { train: 0x7472, val: 0x7661 };

/** Least distance in RGB between the shape and its background. */
const MIN_CONTRAST = 90;
/**
 * Background levels are drawn below this. Dark grounds let a small network leave chance within 50 steps; with levels up to
 * 140 or 255 it stayed there for hundreds (measured with PyTorch, 2026-11-20, on the model of the demo recipe).
 */
const BACKGROUND_LEVELS = 61;

/** Draws one clip; it depends on the options, the split and its number only. */
export function renderSynthClip(options: SynthOptions, split: SynthSplit, clip: number): SynthClip {
  const { width, height, classes } = options;
  const prng = createPrng(options.seed, SPLIT_STREAMS[split], clip);
  const between = ([low, high]: readonly [number, number]) => low + (high - low) * prng.uniform();
  const label = clip % classes.length, motion = classes[label];
  // A disc does not show that it turns; were it left to the other classes, a disc would tell the class.
  const turns = classes.some(isTurn);
  const shapes: Shape[] = turns ? ["square", "triangle", "cross"] : ["disc", "square", "triangle", "cross"];
  const shape = shapes[prng.integer(shapes.length)];
  const from = drawColour(prng, { below: BACKGROUND_LEVELS });
  const to = options.background === "gradient" ? drawColour(prng, { below: BACKGROUND_LEVELS }) : from;
  const middle = from.map((value, c) => (value + to[c]) / 2) as unknown as Colour;
  const colour = drawColour(prng, { others: [from, middle, to], contrast: MIN_CONTRAST });
  const ground = paintBackground({ width, height }, { kind: options.background, from, to }, prng);

  const shortSide = Math.min(width, height);
  const logRadii = options.radius.map((share) => Math.log(share * shortSide)) as [number, number];
  const start = {
    x: width * prng.uniform(),
    y: height * prng.uniform(),
    logRadius: between(logRadii),
    angle: 2 * Math.PI * prng.uniform(),
  };
  const speed = between(options.speed);
  const poses = Array.from(
    { length: synthClipFrames(options, clip) },
    (_, t) => poseAt(t, { motion, start, speed, logRadii }),
  );
  const frames = drawFrames(ground, { width, height }, { shape, colour, poses });
  return { label, motion, shape, colour, poses, frames };
}
