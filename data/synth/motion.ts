/** How a shape moves from frame to frame, such that no single frame tells which way. */
import type { Pose } from "./shapes.ts";

/** The motions there are, in words. */
export const MOTIONS = {
  left: "moves left",
  right: "moves right",
  up: "moves up",
  down: "moves down",
  grow: "grows",
  shrink: "shrinks",
  clockwise: "turns clockwise",
  anticlockwise: "turns anticlockwise",
  still: "stands still",
  up_left: "moves up and left",
  up_right: "moves up and right",
  down_left: "moves down and left",
  down_right: "moves down and right",
} as const;

export type Motion = keyof typeof MOTIONS;

/** How fast a motion is, in words. */
export const PACES = ["slowly", "quickly"] as const;

export type Pace = (typeof PACES)[number];

/** A motion in words, with its pace: "moves slowly left". */
export function wordsOf(motion: Motion, pace: Pace | null): string {
  const [verb, ...rest] = MOTIONS[motion].split(" ");
  return [verb, ...pace === null ? [] : [pace], ...rest].join(" ");
}

/** Steps to the right and down of what moves along a diagonal, of length 1. */
const DIAGONALS: Partial<Record<Motion, readonly [right: number, down: number]>> = {
  up_left: [-Math.SQRT1_2, -Math.SQRT1_2],
  up_right: [Math.SQRT1_2, -Math.SQRT1_2],
  down_left: [-Math.SQRT1_2, Math.SQRT1_2],
  down_right: [Math.SQRT1_2, Math.SQRT1_2],
};

/** Whether a motion is a turn: a disc does not show it. */
export function isTurn(motion: Motion): boolean {
  return motion === "clockwise" || motion === "anticlockwise";
}

/** A motion and where it starts. */
export interface Course {
  readonly motion: Motion;
  /** The pose of frame 0; x and y in pixels, the angle in radians. */
  readonly start: { x: number; y: number; logRadius: number; angle: number };
  /** In pixels a frame; the rim's where the shape turns. */
  readonly speed: number;
  /** Least and greatest logarithm of the radius in pixels. */
  readonly logRadii: readonly [number, number];
}

/** The pose in frame `t`, from 0. The range of sizes is a torus as the picture is, so that no size tells the direction. */
export function poseAt(t: number, { motion, start, speed, logRadii }: Course): Pose {
  const sign = motion === "right" || motion === "down" || motion === "grow" || motion === "clockwise"
    ? 1
    : -1;
  const distance = sign * speed * t, [least, greatest] = logRadii;
  const radius = Math.exp(start.logRadius), typicalRadius = Math.exp((least + greatest) / 2);
  const pose = { x: start.x, y: start.y, radius, angle: start.angle };
  switch (motion) {
    case "left":
    case "right":
      return { ...pose, x: start.x + distance };
    case "up":
    case "down":
      return { ...pose, y: start.y + distance };
    case "grow":
    case "shrink": { // a quarter of the speed
      const span = greatest - least, grown = start.logRadius - least + distance / (4 * typicalRadius);
      return {
        ...pose,
        radius: span > 0 ? Math.exp(least + (grown - span * Math.floor(grown / span))) : radius,
      };
    }
    case "clockwise":
    case "anticlockwise":
      return { ...pose, angle: start.angle + distance / typicalRadius };
    case "still":
      return pose;
    default: {
      const [right, down] = DIAGONALS[motion]!;
      return { ...pose, x: start.x + right * speed * t, y: start.y + down * speed * t };
    }
  }
}
