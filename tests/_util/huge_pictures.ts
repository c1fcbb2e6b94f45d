/** Pictures of a few bytes that state any size. */
import { encodeJpeg } from "../../data/frames/jpeg.ts";

/** A JPEG whose frame header states this size, and whose data is that of a small picture. */
export async function statedJpeg(width: number, height: number): Promise<Uint8Array> {
  const rgb = new Uint8Array(16 * 16 * 3).fill(90);
  const jpeg = Uint8Array.from(await encodeJpeg({ width: 16, height: 16, rgb }, { quality: 90 }));
  // The header holds the height and the width behind its marker, length and precision.
  const at = Buffer.from(jpeg).indexOf(Buffer.from([0xff, 0xc0])), view = new DataView(jpeg.buffer);
  view.setUint16(at + 5, height);
  view.setUint16(at + 7, width);
  return jpeg;
}

/** A PNG whose header states this size, with no picture in it. */
export function statedPng(width: number, height: number): Uint8Array {
  return pngOf(width, height, { bits: 8, type: 2, data: Uint8Array.of(0x78, 0x9c, 3, 0, 0, 0, 0, 1) });
}

/** A PNG of these parts. @param picture.type 0: grey, 2: red, green and blue; `data` is packed */
export function pngOf(
  width: number,
  height: number,
  picture: { bits: number; type: number; data: Uint8Array },
): Uint8Array {
  const chunk = (name: string, data: Uint8Array) => {
    const bytes = new Uint8Array(12 + data.length), view = new DataView(bytes.buffer);
    view.setUint32(0, data.length);
    bytes.set(new TextEncoder().encode(name), 4);
    bytes.set(data, 8);
    view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
    return bytes;
  };
  const header = new Uint8Array(13), view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([picture.bits, picture.type], 8);
  const parts = [
    Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
    chunk("IHDR", header),
    chunk("IDAT", picture.data),
    chunk("IEND", new Uint8Array(0)),
  ];
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}
