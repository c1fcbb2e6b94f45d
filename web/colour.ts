/**
 * Decoded pictures as RGB, as ffmpeg's `scale` filter gives `rgb24`, which the command line and the loaders of published networks read
 * videos with: the matrix that the video names, BT.601 where it names none; limited range unless it says full; chroma of the pixel that
 * it stands for, without blending; and where luma and chroma have eight bits, its integer arithmetic (libswscale's on x86). What browsers
 * convert themselves, they convert by guesses and rules of their own.
 */

/** How luma and chroma become colours. */
export interface ColourRule {
  readonly matrix: keyof typeof MATRICES;
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

/** Red from V, blue from U, green from U and V of limited range, in 65536ths: libswscale's table (H.264, table E-5). */
const MATRICES = {
  bt601: [104597, 132201, 25675, 53279],
  bt709: [117489, 138438, 13975, 34925],
  bt2020: [110013, 140363, 12277, 42626],
} as const;

/** The rule of what a file says of its colours. */
export function colourRule(
  told: { readonly matrix?: string | null; readonly fullRange?: boolean | null },
): ColourRule {
  const { matrix, fullRange } = told;
  return {
    matrix: matrix === "bt709" ? "bt709" : matrix?.startsWith("bt2020") ? "bt2020" : "bt601",
    fullRange: fullRange === true,
  };
}

/** Places of red, green and blue in packed formats of four bytes. */
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
  const packed = PACKED[picture.format];
  if (packed) return unpack(picture, packed);
  const [, sampling, depth = "8"] = /^I(420|422|444)A?(?:P(10|12))?$/.exec(picture.format) ??
    /^NV(12)$/.exec(picture.format) ?? [];
  if (sampling === undefined) {
    throw new RangeError(
      `Cannot read a picture: its format must be one of I420, I422, I444, NV12 and RGB, current value is ${picture.format}`,
    );
  }
  const shifts = { x: sampling === "444" ? 0 : 1, y: sampling === "444" || sampling === "422" ? 0 : 1 };
  return convert(picture, rule, { bits: Number(depth), pairs: picture.format === "NV12", shifts });
}

function unpack(
  { width, height, data, layout: [{ offset, stride }] }: Planes,
  [r, g, b]: readonly [number, number, number],
): Uint8Array<ArrayBuffer> {
  const rgb = new Uint8Array(width * height * 3);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0, at = offset + y * stride; x < width; x++, at += 4) {
      rgb[to++] = data[at + r];
      rgb[to++] = data[at + g];
      rgb[to++] = data[at + b];
    }
  }
  return rgb;
}

/** What values of luma and chroma contribute, by value: libswscale's products, cut off below the point and not rounded. */
function contributions({ matrix, fullRange }: ColourRule, bits: number) {
  const scale = 2 ** (bits - 8), count = 256 * scale, [redV, blueU, greenU, greenV] = MATRICES[matrix];
  // In 65536ths of a step, as its tables are made.
  const luma = fullRange ? 65536 : Math.floor(65536 * 255 / 219), black = fullRange ? 0 : 16;
  const chroma = (coefficient: number) => fullRange ? Math.trunc(coefficient * 224 / 255) : coefficient;
  const table = (coefficient: number, zero: number) => {
    const factor = Math.floor((coefficient * 2 ** 13 + 2 ** 15) / 2 ** 16);
    return Int16Array.from(
      { length: count },
      (_, value) => Math.floor((value / scale - zero) * 8 * factor / 2 ** 16),
    );
  };
  return {
    luma: table(luma, black),
    red: table(chroma(redV), 128),
    blue: table(chroma(blueU), 128),
    greenU: table(chroma(-greenU), 128),
    greenV: table(chroma(-greenV), 128),
  };
}

/** The tables of the last rule: all frames of a video have one. */
let lately: { key: string; tables: ReturnType<typeof contributions> } | null = null;

function convert(
  { width, height, data, layout }: Planes,
  rule: ColourRule,
  how: { bits: number; pairs: boolean; shifts: { x: number; y: number } },
): Uint8Array<ArrayBuffer> {
  const { bits, pairs, shifts } = how, key = JSON.stringify([rule, bits]);
  if (lately?.key !== key) lately = { key, tables: contributions(rule, bits) };
  const { luma, red, blue, greenU, greenV } = lately.tables;
  const bytes = bits === 8 ? 1 : 2, step = pairs ? 2 : 1, [first, second, third = second] = layout;
  const samples = bits === 8 ? data : new Uint16Array(data.buffer, data.byteOffset, data.byteLength >> 1);
  const rgb = new Uint8ClampedArray(width * height * 3);
  for (let y = 0, to = 0; y < height; y++) {
    const row = (first.offset + y * first.stride) / bytes, down = y >> shifts.y;
    const us = (second.offset + down * second.stride) / bytes;
    const vs = (third.offset + down * third.stride) / bytes + (pairs ? 1 : 0);
    for (let x = 0; x < width; x++, to += 3) {
      const across = (x >> shifts.x) * step, u = samples[us + across], v = samples[vs + across];
      const level = luma[samples[row + x]];
      rgb[to] = level + red[v];
      rgb[to + 1] = level + greenU[u] + greenV[v];
      rgb[to + 2] = level + blue[u];
    }
  }
  return new Uint8Array(rgb.buffer);
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
      turned.set(rgb.subarray(3 * (fromY * width + fromX), 3 * (fromY * width + fromX) + 3), to);
    }
  }
  return { width: w, height: h, rgb: turned };
}
