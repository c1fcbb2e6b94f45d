/**
 * Pictures of any kind that frames come in, to 8-bit RGB as Pillow's `convert("RGB")` gives it: transparency is dropped and not
 * blended, palettes and CMYK are resolved, colour profiles and orientation tags are ignored, as the originals' loader does. Of
 * 16-bit samples the high byte is taken (of 16-bit grey, too, where Pillow would saturate at 255 and leave white frames).
 *
 * A picture's kind is read off its first bytes, whatever its name.
 */
import sharp from "sharp";
import { decodeJpeg, jpegSize, type Picture, spreadGrey, undecodable } from "./jpeg.ts";
import { cmykToRgb } from "./cmyk.ts";
import { MOST_FRAME_PIXELS, requireFrameSize } from "./limits.ts";

interface Kind {
  name: string;
  /** Whether it can be a frame. */
  readable: boolean;
  recognises(bytes: Uint8Array): boolean;
}

const starts = (...start: number[]) => (bytes: Uint8Array) => start.every((byte, i) => bytes[i] === byte);
const holds = (at: number, ...texts: string[]) => (bytes: Uint8Array) =>
  texts.some((text) => [...text].every((character, i) => bytes[at + i] === character.charCodeAt(0)));

const KINDS: readonly Kind[] = [
  { name: "JPEG", readable: true, recognises: starts(0xff, 0xd8, 0xff) },
  { name: "PNG", readable: true, recognises: starts(0x89, 0x50, 0x4e, 0x47) },
  {
    name: "WebP",
    readable: true,
    recognises: (bytes) => holds(0, "RIFF")(bytes) && holds(8, "WEBP")(bytes),
  },
  { name: "TIFF", readable: true, recognises: holds(0, "II*\0", "MM\0*", "II+\0", "MM\0+") },
  { name: "AVIF", readable: true, recognises: holds(4, "ftypavif", "ftypavis") },
  { name: "GIF", readable: true, recognises: holds(0, "GIF8") },
  { name: "HEIC", readable: false, recognises: holds(4, "ftyphei", "ftypmif1", "ftypmsf1") },
  { name: "BMP", readable: false, recognises: holds(0, "BM") },
  { name: "JPEG 2000", readable: false, recognises: starts(0, 0, 0, 12, 0x6a, 0x50) },
];

/** Decodes a picture. A file cut short is an error, not a half-grey picture. @throws {Error} with the reason */
export async function decodePicture(bytes: Uint8Array): Promise<Picture> {
  const { name } = kindOf(bytes);
  if (name === "JPEG") return await decodeJpeg(bytes);
  const { isCmyk } = await describe(bytes, name);
  try {
    const image = sharp(bytes, { failOn: "error", ignoreIcc: true, limitInputPixels: MOST_FRAME_PIXELS });
    const whole = isCmyk
      ? image.pipelineColourspace("cmyk").toColourspace("cmyk")
      : image.toColourspace("srgb");
    const { data, info } = await whole.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
    const { width, height, channels } = info;
    return { width, height, rgb: isCmyk ? cmykToRgb(data, channels) : rgbOf(data, channels) };
  } catch (error) {
    throw new Error(undecodable(error, name));
  }
}

/** The size that a picture states, without decoding. @throws {Error} with the reason */
export async function pictureSize(bytes: Uint8Array): Promise<{ width: number; height: number }> {
  const { name } = kindOf(bytes);
  if (name === "JPEG") return jpegSize(bytes);
  const { width, height } = await describe(bytes, name);
  return { width, height };
}

async function describe(bytes: Uint8Array, name: string) {
  // Without a limit: the size is to be told.
  const header = sharp(bytes, { limitInputPixels: false });
  const { width, height, space, pages = 1 } = await header.metadata().catch((error) => {
    throw new Error(undecodable(error, name));
  });
  requireFrameSize({ width, height });
  if (pages > 1) throw new Error(`it is a ${name} of ${pages} pictures: a frame must be one`);
  return { width, height, isCmyk: space === "cmyk" };
}

function kindOf(bytes: Uint8Array): Kind {
  if (bytes.length === 0) throw new Error("the file is empty");
  const kind = KINDS.find(({ recognises }) => recognises(bytes));
  if (kind?.readable) return kind;
  const start = Array.from(bytes.subarray(0, 4), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  const known = KINDS.filter(({ readable }) => readable).map(({ name }) => name);
  throw new Error(
    `it is no picture that can be read: it must be ${known.slice(0, -1).join(", ")} or ${known.at(-1)}, ` +
      `it starts with bytes ${start}${kind ? ` (${kind.name})` : ""}`,
  );
}

function rgbOf(samples: Uint8Array, channels: number): Uint8Array {
  if (channels === 3) return samples;
  if (channels < 3) return spreadGrey(samples, channels);
  const rgb = new Uint8Array(samples.length / channels * 3);
  for (let from = 0, to = 0; to < rgb.length; from += channels, to += 3) {
    rgb[to] = samples[from];
    rgb[to + 1] = samples[from + 1];
    rgb[to + 2] = samples[from + 2];
  }
  return rgb;
}
