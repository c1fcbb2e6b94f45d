/** JPEG pictures to and from 8-bit RGB, with sharp (libvips, libjpeg-turbo). */
import sharp, { type OutputInfo, type Sharp } from "sharp";

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
 * Decodes a JPEG to RGB. Greyscale and CMYK are converted; embedded colour profiles and orientation tags are ignored, as
 * the originals' decoder ignores them. A file cut short is an error, not a half-grey picture.
 */
export async function decodeJpeg(bytes: Uint8Array): Promise<Picture> {
  checkSignature(bytes);
  let image = sharp(bytes, { failOn: "error", ignoreIcc: true }).toColourspace("srgb");
  for (;;) {
    const { data, info } = await decode(image);
    if (info.channels === 3) return { width: info.width, height: info.height, rgb: data };
    if (info.channels === 1) return { width: info.width, height: info.height, rgb: spreadGrey(data) };
    image = sharp(data, { raw: info }).removeAlpha();
  }
}

async function decode(image: Sharp): Promise<{ data: Uint8Array; info: OutputInfo }> {
  try {
    return await image.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
  } catch {
    // libvips collects the messages of all threads in one buffer, so its text depends on what else is being decoded
    throw new Error("its JPEG data is broken or cut short");
  }
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

/** The size a JPEG's frame header states, without decoding. */
export function jpegSize(bytes: Uint8Array): { width: number; height: number } {
  checkSignature(bytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 2; at + 9 <= bytes.length && bytes[at] === 0xff;) {
    const marker = bytes[at + 1];
    if (marker === 0xff) at += 1; // fill byte
    else if (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc) {
      const height = view.getUint16(at + 5), width = view.getUint16(at + 7);
      if (width > 0 && height > 0) return { width, height };
      break;
    } else at += 2 + view.getUint16(at + 2);
  }
  throw new Error("it has no readable JPEG frame header");
}

const SIGNATURES: [string, number[]][] = [
  ["PNG", [0x89, 0x50, 0x4e, 0x47]],
  ["GIF", [0x47, 0x49, 0x46, 0x38]],
  ["RIFF, perhaps WebP", [0x52, 0x49, 0x46, 0x46]],
  ["BMP", [0x42, 0x4d]],
];

function checkSignature(bytes: Uint8Array): void {
  if (bytes.length >= 3 && bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff) return;
  if (bytes.length === 0) throw new Error("it is not a JPEG: the file is empty");
  const known = SIGNATURES.find(([, start]) => start.every((byte, i) => bytes[i] === byte));
  const start = Array.from(bytes.subarray(0, 4), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  throw new Error(`it is not a JPEG: it starts with bytes ${start}${known ? ` (${known[0]})` : ""}`);
}

function spreadGrey(grey: Uint8Array): Uint8Array {
  const rgb = new Uint8Array(grey.length * 3);
  for (let i = 0; i < grey.length; i++) rgb.fill(grey[i], 3 * i, 3 * i + 3);
  return rgb;
}
