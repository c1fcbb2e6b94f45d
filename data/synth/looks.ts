/** Shapes and colours that have a name. */
import type { Colour, Shape } from "./shapes.ts";

/** Shapes in words. */
export const SHAPE_NAMES = {
  disc: "circle",
  square: "square",
  triangle: "triangle",
  cross: "cross",
} as const satisfies Record<Shape, string>;

export const SHAPES = Object.keys(SHAPE_NAMES) as Shape[];

/** Colours that have a name. */
export const PALETTE = {
  red: [215, 40, 40],
  orange: [240, 140, 30],
  yellow: [240, 220, 60],
  green: [40, 165, 60],
  blue: [40, 80, 215],
  purple: [140, 50, 175],
  white: [235, 235, 235],
  grey: [128, 128, 128],
  black: [20, 20, 20],
} as const satisfies Record<string, Colour>;

export type ColourName = keyof typeof PALETTE;

export const COLOURS = Object.keys(PALETTE) as ColourName[];

/** A shape in a colour. */
export interface Look {
  readonly shape: Shape;
  readonly colour: ColourName;
}

/** Looks of captioned clips: few, so that clips of one look meet in a batch and their motion has to be told. A disc does not show a turn. */
export const CLIP_SHAPES: readonly Shape[] = ["square", "triangle", "cross"];
export const CLIP_COLOURS: readonly ColourName[] = ["red", "yellow", "green", "blue"];

/**
 * Whether pictures keep a look for validation. The looks of captioned clips are not, so that a network which was trained on pictures knows
 * them; of the others every second one along the table of shapes and colours is, about a third of all. Each shape and colour is trained.
 */
export function isHeldOut({ shape, colour }: Look): boolean {
  if (CLIP_SHAPES.includes(shape) && CLIP_COLOURS.includes(colour)) return false;
  return (SHAPES.indexOf(shape) + COLOURS.indexOf(colour)) % 2 === 0;
}
