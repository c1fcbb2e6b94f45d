/** JPEG pictures to and from 8-bit RGB, with sharp (libvips, libjpeg-turbo); `picture.ts` reads those of other kinds. */
import sharp, { type OutputInfo, type Sharp } from "sharp";
import { cmykToRgb } from "./cmyk.ts";
import { MOST_FRAME_PIXELS, requireFrameSize, tooManyPixels } from "./limits.ts";

// One picture a call and no cache: parallelism is the worker pool's, and memory stays flat.
sharp.concurrency(1);
sharp.cache(false);

/** An 8-bit RGB picture, rows top to bottom, [H W 3]. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly rgb: Uint8Array;
}

/**
 * Decodes a JPEG to RGB. Greyscale, CMYK and YCCK are converted as Pillow does; embedded colour profiles and orientation tags are
 * ignored, as the originals' decoder ignores them. A file cut short is an error, not a half-grey picture.
 */
export async function decodeJpeg(bytes: Uint8Array): Promise<Picture> {
  const header = readHeader(bytes), isCmyk = header?.channels === 4;
  if (header !== null) requireFrameSize(header);
  const image = sharp(bytes, { failOn: "error", ignoreIcc: true, limitInputPixels: MOST_FRAME_PIXELS });
  const { data, info: { width, height, channels } } = await decode(
    isCmyk ? image.pipelineColourspace("cmyk").toColourspace("cmyk") : image.toColourspace("srgb"),
  );
  if (isCmyk) return { width, height, rgb: cmykToRgb(data, channels) };
  return { width, height, rgb: channels === 3 ? data : spreadGrey(data, channels) };
}

async function decode(image: Sharp): Promise<{ data: Uint8Array; info: OutputInfo }> {
  try {
    return await image.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
  } catch (error) {
    throw new Error(undecodable(error, "JPEG"));
  }
}

/** Why sharp could not decode a picture. */
export function undecodable(error: unknown, kind: string): string {
  // The one message that is sharp's own. libvips collects those of all threads in one buffer, so its text depends on what
  // else is being decoded.
  const isTooLarge = error instanceof Error && error.message.includes("exceeds pixel limit");
  return isTooLarge ? tooManyPixels("as it stands in the file") : `its ${kind} data is broken or cut short`;
}

/** Encodes RGB as a baseline JPEG without chroma subsampling. */
export async function encodeJpeg(picture: Picture, options: { quality: number }): Promise<Uint8Array> {
  const raw = { width: picture.width, height: picture.height, channels: 3 } as const;
  return await sharp(picture.rgb, { raw }).jpeg({ quality: options.quality, chromaSubsampling: "4:4:4" })
    .toBuffer();
}

/** Stretches or shrinks a picture to exactly this size. */
export async function resizePicture(
  picture: Picture,
  size: { width: number; height: number },
): Promise<Picture> {
  const raw = { width: picture.width, height: picture.height, channels: 3 } as const;
  const rgb = await sharp(picture.rgb, { raw }).resize({ ...size, fit: "fill" }).raw().toBuffer();
  return { ...size, rgb };
}

/** Shrinks a picture to this size: bicubic, over all pixels that an output pixel covers. */
export async function shrinkPicture(
  picture: Picture,
  size: { width: number; height: number },
): Promise<Picture> {
  const raw = { width: picture.width, height: picture.height, channels: 3 } as const;
  const rgb = await sharp(picture.rgb, { raw }).resize({ ...size, fit: "fill", kernel: "cubic" }).raw()
    .toBuffer();
  return { ...size, rgb };
}

/** The size a JPEG's frame header states, without decoding. @throws {Error} where none can be read, or it is too large */
export function jpegSize(bytes: Uint8Array): { width: number; height: number } {
  const header = readHeader(bytes);
  if (header === null) throw new Error("it has no readable JPEG frame header");
  const { width, height } = header;
  requireFrameSize({ width, height });
  return { width, height };
}

/** What the frame header states; null where none can be read. @throws {Error} where the file is no JPEG */
function readHeader(bytes: Uint8Array): { width: number; height: number; channels: number } | null {
  if (!(bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff)) throw new Error("it is not a JPEG");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 2; at + 9 <= bytes.length && bytes[at] === 0xff;) {
    const marker = bytes[at + 1];
    if (marker === 0xff) at += 1; // fill byte
    else if (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc) {
      const height = view.getUint16(at + 5), width = view.getUint16(at + 7);
      return width > 0 && height > 0 ? { width, height, channels: bytes[at + 9] } : null;
    } else at += 2 + view.getUint16(at + 2);
  }
  return null;
}

/** Grey as RGB. @param channels samples of a pixel, of which the first is the grey */
export function spreadGrey(samples: Uint8Array, channels: number): Uint8Array {
  const pixels = samples.length / channels, rgb = new Uint8Array(pixels * 3);
  for (let i = 0; i < pixels; i++) rgb.fill(samples[channels * i], 3 * i, 3 * i + 3);
  return rgb;
}
