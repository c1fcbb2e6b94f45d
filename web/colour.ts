/**
 * Decoded pictures as RGB, by the rules of ffmpeg's `scale` filter to `rgb24`, which the command line reads videos with: the matrix that
 * the video names, BT.601 where it names none; limited range unless it says full; chroma of the pixel it stands for, without blending.
 */

/** How luma and chroma become colours. */
export interface ColourRule {
  readonly matrix: "bt601" | "bt709" | "bt2020";
  readonly fullRange: boolean;
}

/** Planes of a picture as WebCodecs lays them out. */
export interface Planes {
  readonly format: string;
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
  readonly layout: readonly { readonly offset: number; readonly stride: number }[];
}

/** Weights of red and blue in luma. */
const LUMA = { bt601: [0.299, 0.114], bt709: [0.2126, 0.0722], bt2020: [0.2627, 0.0593] } as const;

/** The rule of what a decoder or a file says of a picture's colours. */
export function colourRule(
  told: { readonly matrix?: string | null; readonly fullRange?: boolean | null },
): ColourRule {
  const { matrix, fullRange } = told;
  return {
    matrix: matrix === "bt709" ? "bt709" : matrix?.startsWith("bt2020") ? "bt2020" : "bt601",
    fullRange: fullRange === true,
  };
}

const PACKED: Readonly<Record<string, readonly [red: number, green: number, blue: number]>> = {
  RGBA: [0, 1, 2],
  RGBX: [0, 1, 2],
  BGRA: [2, 1, 0],
  BGRX: [2, 1, 0],
};

/**
 * A picture as packed RGB, [H W 3].
 *
 * @throws {RangeError} for a format that no decoder gives here
 */
export function toRgb(picture: Planes, rule: ColourRule): Uint8Array<ArrayBuffer> {
  const { format, width, height, data, layout } = picture, rgb = new Uint8Array(width * height * 3);
  const packed = PACKED[format];
  if (packed) {
    const [r, g, b] = packed, [{ offset, stride }] = layout;
    for (let y = 0, to = 0; y < height; y++) {
      for (let x = 0, at = offset + y * stride; x < width; x++, at += 4) {
        rgb[to++] = data[at + r];
        rgb[to++] = data[at + g];
        rgb[to++] = data[at + b];
      }
    }
    return rgb;
  }
  const [, sampling, depth = "8"] = /^I(420|422|444)A?(?:P(10|12))?$/.exec(format) ?? [];
  const isPairs = format === "NV12";
  if (sampling === undefined && !isPairs) {
    throw new RangeError(
      `Cannot read a picture: its format must be one of I420, I422, I444, NV12 and RGB, current value is ${format}`,
    );
  }
  const bits = Number(depth),
    samples = bits === 8 ? data : new Uint16Array(data.buffer, data.byteOffset, data.byteLength >> 1);
  const bytes = bits === 8 ? 1 : 2, [luma, first, second = first] = layout;
  const shiftX = sampling === "444" ? 0 : 1, shiftY = sampling === "444" || sampling === "422" ? 0 : 1;
  const step = isPairs ? 2 : 1, apart = isPairs ? 1 : 0;
  const [kr, kb] = LUMA[rule.matrix], kg = 1 - kr - kb, scale = 2 ** (bits - 8);
  const [black, lumaRange, chromaRange] = rule.fullRange
    ? [0, 2 ** bits - 1, 2 ** bits - 1]
    : [16 * scale, 219 * scale, 224 * scale];
  const gain = 255 / lumaRange, half = 2 ** (bits - 1);
  const redGain = 255 * 2 * (1 - kr) / chromaRange, blueGain = 255 * 2 * (1 - kb) / chromaRange;
  const greenFromRed = -redGain * kr / kg, greenFromBlue = -blueGain * kb / kg;
  const clamp = (value: number) => value < 0 ? 0 : value > 255 ? 255 : value + 0.5 | 0;
  for (let y = 0, to = 0; y < height; y++) {
    const row = (luma.offset + y * luma.stride) / bytes;
    const u = (first.offset + (y >> shiftY) * first.stride) / bytes;
    const v = (second.offset + (y >> shiftY) * second.stride) / bytes + apart;
    for (let x = 0; x < width; x++) {
      const level = (samples[row + x] - black) * gain, at = (x >> shiftX) * step;
      const cb = samples[u + at] - half, cr = samples[v + at] - half;
      rgb[to++] = clamp(level + redGain * cr);
      rgb[to++] = clamp(level + greenFromRed * cr + greenFromBlue * cb);
      rgb[to++] = clamp(level + blueGain * cb);
    }
  }
  return rgb;
}

/** A picture turned by quarters, clockwise, as players show it. */
export function rotated(
  picture: { readonly width: number; readonly height: number; readonly rgb: Uint8Array<ArrayBuffer> },
  degrees: number,
): { width: number; height: number; rgb: Uint8Array<ArrayBuffer> } {
  const { width, height, rgb } = picture, quarters = ((Math.round(degrees / 90) % 4) + 4) % 4;
  if (quarters === 0) return picture;
  const [w, h] = quarters === 2 ? [width, height] : [height, width];
  const turned = new Uint8Array(rgb.length);
  for (let y = 0, to = 0; y < h; y++) {
    for (let x = 0; x < w; x++, to += 3) {
      const [fromX, fromY] = quarters === 1
        ? [y, height - 1 - x]
        : quarters === 2
        ? [width - 1 - x, height - 1 - y]
        : [width - 1 - y, x];
      const at = 3 * (fromY * width + fromX);
      turned[to] = rgb[at];
      turned[to + 1] = rgb[at + 1];
      turned[to + 2] = rgb[at + 2];
    }
  }
  return { width: w, height: h, rgb: turned };
}
