/**
 * Colour jitter on 8-bit pictures, as torchvision's `ColorJitter` does it to Pillow's
 * (https://github.com/pytorch/vision): brightness, contrast, saturation and hue, each by a random factor and in random order.
 * Draws the operations of one clip as data.
 */
import type { PixelOp } from "../../pixels/clip_transform.ts";
import type { Prng } from "../../lib/random.ts";

/** How much colour jitter does. */
export interface ColourJitterPolicy {
  /** Probability that a clip is changed. */
  readonly probability: number;
  /** Factors lie between 1 less so much (not below 0) and 1 and so much; 0: the operation is left out. */
  readonly brightness: number;
  readonly contrast: number;
  readonly saturation: number;
  /** Share of the circle by which the hue turns at most, in both directions, 0 to 0.5; 0: it is left out. */
  readonly hue: number;
}

/** Ranges of the published DiST recipes. */
export const PUBLISHED_COLOUR_JITTER: ColourJitterPolicy = {
  probability: 1,
  brightness: 0.4,
  contrast: 0.4,
  saturation: 0.2,
  hue: 0.1,
};

/** One operation that a policy asks for. */
interface JitterOperation {
  readonly range: number;
  /** @param u Uniform in 0 … 1. */
  readonly create: (u: number) => PixelOp;
}

function factorBetween(range: number, u: number): number {
  const lowest = Math.max(0, 1 - range);
  return lowest + (1 + range - lowest) * u;
}

/** The operations of a policy that can change anything. */
function operationsOf({ brightness, contrast, saturation, hue }: ColourJitterPolicy): JitterOperation[] {
  const enhance = (kind: "brightness" | "contrast" | "color", range: number): JitterOperation => ({
    range,
    create: (u) => ({ kind, factor: factorBetween(range, u) }),
  });
  // The share of 255 levels is cut off and wraps, as a byte does.
  const turn: JitterOperation = {
    range: hue,
    create: (u) => ({ kind: "hue", shift: Math.trunc((2 * u - 1) * hue * 255) & 255 }),
  };
  return [
    enhance("brightness", brightness),
    enhance("contrast", contrast),
    enhance("color", saturation),
    turn,
  ].filter(({ range }) => range > 0);
}

/** Operations of a clip, at most. */
export function colourJitterOperations(policy: ColourJitterPolicy): number {
  return policy.probability > 0 ? operationsOf(policy).length : 0;
}

/**
 * Draws the operations of one clip: whether it is changed (where that is not certain), then the order, then the factor of
 * each operation in the order brightness, contrast, saturation, hue. A policy that changes nothing draws nothing.
 */
export function sampleColourJitter(
  policy: ColourJitterPolicy,
  prng: Pick<Prng, "uniform" | "integer">,
): PixelOp[] {
  if (colourJitterOperations(policy) === 0) return [];
  if (policy.probability < 1 && prng.uniform() >= policy.probability) return [];
  const operations = operationsOf(policy);
  const order = operations.map((_, i) => i);
  for (let i = order.length - 1; i > 0; i--) {
    const j = prng.integer(i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  const drawn = operations.map(({ create }) => create(prng.uniform()));
  return order.map((i) => drawn[i]);
}
