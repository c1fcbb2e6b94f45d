/**
 * Captioned pictures (clips of one frame) and captioned clips. Place, turn, size, speed and shades are drawn alike for every sentence
 * that does not speak of them, and the world is a torus, so that no single frame of a clip tells its motion.
 */
import { createPrng, type Prng } from "../../lib/random.ts";
import { type ColourName, PALETTE } from "./looks.ts";
import { poseAt } from "./motion.ts";
import { synthClipFrames, type SynthOptions, type SynthSplit } from "./options.ts";
import { type Scene, scenesOf, sentenceOf } from "./sentences.ts";
import { type Colour, drawColour, drawFrames, paintBackground, type Pose } from "./shapes.ts";

/** What one captioned clip shows: all that the generator drew. */
export interface CaptionedClip {
  readonly scene: Scene;
  readonly caption: string;
  readonly poses: readonly Pose[];
  readonly frames: readonly Uint8Array[];
}

const SPLIT_STREAMS: Record<SynthSplit, number> = { train: 0x6374, val: 0x6376 };
const ORDER_STREAM = 0x636f;

/** How far a channel of a named colour strays, in grey levels. */
const SHADE = 15;
/** Channels of the backgrounds of clips are drawn below this: every colour but black shows before them. */
const DARK_LEVELS = 50;

/**
 * Draws one clip; it depends on the options, the split and its number only. Training clips show any of their split's scenes, the
 * validation clip of each number one of its own, in an order drawn from the seed: no two captions of them are the same.
 */
export function renderCaptionedClip(options: SynthOptions, split: SynthSplit, clip: number): CaptionedClip {
  const { width, height } = options, scenes = scenesOf(options, split);
  const prng = createPrng(options.seed, SPLIT_STREAMS[split], clip);
  const scene = split === "val" ? shuffled(scenes, options.seed)[clip] : scenes[prng.integer(scenes.length)];
  const between = ([low, high]: readonly [number, number]) => low + (high - low) * prng.uniform();
  const drawBackground = () =>
    scene.background === null ? drawColour(prng, { below: DARK_LEVELS }) : shadeOf(scene.background, prng);
  const from = drawBackground(), to = options.background === "gradient" ? drawBackground() : from;
  const colour = shadeOf(scene.colour, prng);
  const ground = paintBackground({ width, height }, { kind: options.background, from, to }, prng);
  const logRadii = options.radius.map((share) => Math.log(share * Math.min(width, height))) as [
    number,
    number,
  ];
  const start = {
    x: width * prng.uniform(),
    y: height * prng.uniform(),
    logRadius: between(scene.size === null ? logRadii : outerThird(logRadii, scene.size === "small")),
    angle: 2 * Math.PI * prng.uniform(),
  };
  const speeds = scene.pace === null ? options.speed : outerThird(options.speed, scene.pace === "slowly");
  const course = { motion: scene.motion ?? "still", start, speed: between(speeds), logRadii };
  const poses = Array.from({ length: synthClipFrames(options, clip) }, (_, t) => poseAt(t, course));
  const frames = drawFrames(ground, { width, height }, { shape: scene.shape, colour, poses });
  return { scene, caption: sentenceOf(scene), poses, frames };
}

function shuffled(scenes: readonly Scene[], seed: number): Scene[] {
  const prng = createPrng(seed, ORDER_STREAM), order = [...scenes];
  for (let i = order.length - 1; i > 0; i--) {
    const j = prng.integer(i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/** The lowest or the highest third of a range, of which a word speaks: between the two nobody could say which it is. */
function outerThird([least, greatest]: readonly [number, number], isLow: boolean): [number, number] {
  const third = (greatest - least) / 3;
  return isLow ? [least, least + third] : [greatest - third, greatest];
}

function shadeOf(name: ColourName, prng: Prng): Colour {
  const stray = (level: number) => Math.max(0, Math.min(255, level + prng.integer(2 * SHADE + 1) - SHADE));
  const [red, green, blue] = PALETTE[name];
  return [stray(red), stray(green), stray(blue)];
}
