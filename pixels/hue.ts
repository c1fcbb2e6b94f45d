/**
 * Pillow's 8-bit HSV (https://github.com/python-pillow/Pillow, `Convert.c`), bit for bit: turning the hue of a colour. The
 * definition is `shiftHue`; the GPU (`gpu/frames/hue.wgsl`) computes the same in integers, with the bits of `hueBits` where
 * Pillow's floats fall short.
 */
import { LEVELS } from "./pixel_tables.ts";

/** Levels of hue in a third of the circle; the whole is 0 … 254. */
const THIRD = 85;
/** Largest exact hue beside a pure channel, in levels: a sixth of the circle, rounded down. */
const SIXTH = 42;
/** Words of `hueBits`. */
export const HUE_WORDS = 3 * THIRD * LEVELS / 32;
/** `255 · 255`: products of two shares in units of 1/255. */
const UNIT = 255 * 255;

/**
 * Level of the hue, 0 to 254.
 *
 * @param channel The largest channel, the first of several: 0 red, 1 green, 2 blue.
 * @param difference The channel after it less the one before it, around the circle.
 * @param chroma Largest less smallest channel, at least 1.
 */
export function hueLevel(channel: number, difference: number, chroma: number): number {
  const near = Math.fround((chroma - Math.abs(difference)) / chroma);
  const sixths = Math.fround(2 * channel + Math.sign(difference) * (1 - near));
  return Math.trunc(Math.fround((sixths / 6 + 1) % 1) * 255);
}

/** `share / (255 · 255)` of a value, rounded to the nearest: no share lies in the middle. */
function shareOf(value: number, share: number): number {
  return Math.floor((2 * value * share + UNIT) / (2 * UNIT));
}

/**
 * Converts a colour to 8-bit hue, saturation and value, adds to the hue modulo 256 and converts back. What the 8 bits lose on
 * the way stays lost, also where `shift` is 0.
 *
 * @returns Red, green and blue.
 */
export function shiftHue(rgb: ArrayLike<number>, shift: number): [number, number, number] {
  const { 0: red, 1: green, 2: blue } = rgb;
  const value = Math.max(red, green, blue), chroma = value - Math.min(red, green, blue);
  const saturation = value === 0 ? 0 : Math.floor(255 * chroma / value);
  if (saturation === 0) return [value, value, value];
  const channel = red === value ? 0 : green === value ? 1 : 2;
  const difference = [green - blue, blue - red, red - green][channel];
  const sixths = 6 * ((hueLevel(channel, difference, chroma) + shift) % LEVELS);
  const sector = Math.floor(sixths / 255), along = sixths % 255;
  const low = shareOf(value, UNIT - 255 * saturation);
  const falling = shareOf(value, UNIT - saturation * along);
  const rising = shareOf(value, UNIT - saturation * (255 - along));
  switch (sector % 6) {
    case 0:
      return [value, rising, low];
    case 1:
      return [falling, value, low];
    case 2:
      return [low, value, rising];
    case 3:
      return [low, falling, value];
    case 4:
      return [rising, low, value];
    default:
      return [value, low, falling];
  }
}

/**
 * Where `hueLevel` falls one short of exact arithmetic. `85 (channel + difference / (2 chroma))` is a whole number at
 * `85 channel + step`, step −42 … 42; there the float expression may come out just below it. One bit for every channel,
 * step (less −42) and chroma 0 … 255, in this order.
 */
export function hueBits(): Uint32Array {
  const bits = new Uint32Array(HUE_WORDS);
  for (let channel = 0; channel < 3; channel++) {
    for (let step = -SIXTH; step <= SIXTH; step++) {
      for (let chroma = 1; chroma < LEVELS; chroma++) {
        const difference = 2 * chroma * step / THIRD;
        if (!Number.isInteger(difference)) continue;
        const exact = (THIRD * channel + step + 255) % 255;
        const bit = (channel * THIRD + step + SIXTH) * LEVELS + chroma;
        if (hueLevel(channel, difference, chroma) !== exact) bits[bit >>> 5] |= 1 << (bit & 31);
      }
    }
  }
  return bits;
}
