/**
 * Changes of colour that DiST makes to training clips (https://github.com/alibaba-mmai-research/DiST), on floats in 0 … 1. A part
 * of what `data/transforms/float_transforms.ts` defines.
 */
import { type FloatColour, LUMINANCE } from "../../pixels/float_transform.ts";
import type { FloatClip } from "./float_clip.ts";

/** Replaces the colours of every pixel. @param change Red, green and blue before and after, and the frame's number. */
function mapPixels(
  clip: FloatClip,
  change: (red: number, green: number, blue: number, frame: number) => readonly [number, number, number],
): FloatClip {
  const pixels = clip.width * clip.height, data = new Float32Array(clip.data.length);
  for (let start = 0; start < data.length; start += 3 * pixels) {
    for (let red = start; red < start + pixels; red++) {
      const green = red + pixels, blue = green + pixels;
      [data[red], data[green], data[blue]] = change(
        clip.data[red],
        clip.data[green],
        clip.data[blue],
        start / (3 * pixels),
      );
    }
  }
  return { ...clip, data };
}

function luminance(red: number, green: number, blue: number): number {
  return LUMINANCE[0] * red + LUMINANCE[1] * green + LUMINANCE[2] * blue;
}

/** Luminance in all three channels. */
export function greyFloat(clip: FloatClip): FloatClip {
  return mapPixels(clip, (red, green, blue) => {
    const grey = luminance(red, green, blue);
    return [grey, grey, grey];
  });
}

/** Mean luminance of each frame. */
function meanLuminances(clip: FloatClip): number[] {
  const pixels = clip.width * clip.height, grey = greyFloat(clip).data;
  return Array.from({ length: grey.length / (3 * pixels) }, (_, frame) => {
    const start = frame * 3 * pixels;
    return grey.subarray(start, start + pixels).reduce((sum, value) => sum + value, 0) / pixels;
  });
}

function clamp01(value: number): number {
  return Math.min(1, Math.max(0, value));
}

/** Turns the hue of a colour in HSV by a share of the circle; largest and smallest channel stay what they are. */
function turned(red: number, green: number, blue: number, turn: number): [number, number, number] {
  const value = Math.max(red, green, blue), chroma = value - Math.min(red, green, blue);
  if (chroma === 0) return [red, green, blue];
  const sixths = red === value
    ? (green - blue) / chroma
    : green === value
    ? 2 + (blue - red) / chroma
    : 4 + (red - green) / chroma;
  const channel = (offset: number) => {
    const along = sixths + 6 * turn + offset, k = along - 6 * Math.floor(along / 6);
    return value - chroma * clamp01(Math.min(k, 4 - k));
  };
  return [channel(5), channel(3), channel(1)];
}

/** Carries out one change. */
export function applyFloatColour(clip: FloatClip, colour: FloatColour): FloatClip {
  if (colour.kind === "hue") {
    return mapPixels(clip, (red, green, blue) => turned(red, green, blue, colour.turn));
  }
  const { kind, factor } = colour;
  const means = kind === "contrast" ? meanLuminances(clip) : [];
  return mapPixels(clip, (red, green, blue, frame) => {
    const other = kind === "brightness"
      ? 0
      : kind === "contrast"
      ? means[frame]
      : luminance(red, green, blue);
    const blend = (value: number) => clamp01(factor * value + (1 - factor) * other);
    return [blend(red), blend(green), blend(blue)];
  });
}
