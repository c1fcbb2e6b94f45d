/** Drawing for the synthetic data set: anti-aliased shapes at sub-pixel places on a torus, on plain or textured ground. */
import type { Prng } from "../../lib/random.ts";

/** Kinds of shape. */
export type Shape = "disc" | "square" | "triangle" | "cross";

/** An RGB colour, 0 … 255. */
export type Colour = readonly [number, number, number];

/** Where and how the shape stands in one frame. */
export interface Pose {
  /** Centre, in pixels from the left and the top edge. */
  readonly x: number;
  readonly y: number;
  /** Nominal radius in pixels. */
  readonly radius: number;
  /** Clockwise turn in radians. */
  readonly angle: number;
}

/** No shape reaches further from its centre than this many nominal radii. */
const REACH = 1.25;

/** Signed distance in pixels from a shape of the given radius, negative inside; (x, y) is relative to the centre. */
function signedDistance(shape: Shape, radius: number, x: number, y: number): number {
  const ax = Math.abs(x), ay = Math.abs(y);
  switch (shape) {
    case "disc":
      return Math.hypot(x, y) - radius;
    case "square":
      return Math.max(ax, ay) - 0.85 * radius;
    case "triangle": // three edges at half the circumradius
      return Math.max(y, -0.5 * y + 0.8660254037844386 * ax) - 0.575 * radius;
    case "cross":
      return Math.min(Math.max(ax - radius, ay - radius / 3), Math.max(ay - radius, ax - radius / 3));
  }
}

/**
 * Draws a shape over a picture, in place. The picture is a torus: what leaves one edge enters at the opposite one, so
 * that every place is as likely as any other whatever the motion.
 */
export function drawShape(
  rgb: Uint8Array,
  size: { width: number; height: number },
  look: { shape: Shape; colour: Colour; pose: Pose },
): void {
  const { width, height } = size, { shape, colour, pose } = look;
  const reach = REACH * pose.radius + 1, cos = Math.cos(pose.angle), sin = Math.sin(pose.angle);
  for (let py = Math.floor(pose.y - reach); py <= pose.y + reach; py++) {
    for (let px = Math.floor(pose.x - reach); px <= pose.x + reach; px++) {
      const dx = px + 0.5 - pose.x, dy = py + 0.5 - pose.y;
      const distance = signedDistance(shape, pose.radius, cos * dx + sin * dy, cos * dy - sin * dx);
      if (distance >= 0.5) continue;
      const coverage = Math.min(1, 0.5 - distance); // share of the pixel inside, for an edge that is straight there
      const at = 3 * (modulo(py, height) * width + modulo(px, width));
      for (let c = 0; c < 3; c++) {
        rgb[at + c] = Math.round(rgb[at + c] + coverage * (colour[c] - rgb[at + c]));
      }
    }
  }
}

/** The frames of a shape that takes one pose after another before the same background. */
export function drawFrames(
  ground: Uint8Array,
  size: { width: number; height: number },
  look: { shape: Shape; colour: Colour; poses: readonly Pose[] },
): Uint8Array[] {
  const { shape, colour, poses } = look;
  return poses.map((pose) => {
    const rgb = ground.slice();
    drawShape(rgb, size, { shape, colour, pose });
    return rgb;
  });
}

/** Kinds of background. All stand still within a clip. */
export type Background = "plain" | "gradient" | "noise";

/** Standard deviation of the background noise, in grey levels. */
const NOISE_LEVELS = 20;

/** Paints a background and returns the picture. */
export function paintBackground(
  size: { width: number; height: number },
  look: { kind: Background; from: Colour; to: Colour },
  prng: Prng,
): Uint8Array {
  const { width, height } = size, { kind, from, to } = look;
  const rgb = new Uint8Array(width * height * 3);
  const angle = kind === "gradient" ? 2 * Math.PI * prng.uniform() : 0;
  const cos = Math.cos(angle), sin = Math.sin(angle), length = Math.abs(cos) * width + Math.abs(sin) * height;
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const share = kind === "gradient"
        ? 0.5 + ((x + 0.5 - width / 2) * cos + (y + 0.5 - height / 2) * sin) / length
        : 0;
      for (let c = 0; c < 3; c++, at++) {
        const noise = kind === "noise" ? NOISE_LEVELS * prng.normal() : 0;
        rgb[at] = Math.max(0, Math.min(255, Math.round(from[c] + share * (to[c] - from[c]) + noise)));
      }
    }
  }
  return rgb;
}

/** A random colour that differs from the given ones by at least `contrast` grey levels (Euclidean distance in RGB). */
export function drawColour(
  prng: Prng,
  options: { below?: number; others?: readonly Colour[]; contrast?: number } = {},
): Colour {
  const { below = 256, others = [], contrast = 0 } = options;
  for (;;) {
    const colour: Colour = [prng.integer(below), prng.integer(below), prng.integer(below)];
    if (others.every((other) => Math.hypot(...colour.map((v, c) => v - other[c])) >= contrast)) return colour;
  }
}

function modulo(a: number, n: number): number {
  return ((a % n) + n) % n;
}
