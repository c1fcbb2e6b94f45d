/**
 * How an H.264 stream begins. After an IDR picture every picture is shown; after any other a decoder may hold pictures back until
 * it has recovered (a stream with a rolling refresh that was cut), and containers mark both as key pictures.
 */
import { fileRange } from "../files.ts";

/** Bytes that are looked at; of a larger packet the lengths cannot be followed to its end. */
const MAX_BYTES = 2 ** 23;
/** What a container writes before a packet's own bytes, at most. */
const MAX_BLOCK_HEADER = 64;
const IDR = 5;

/** Where a packet's bytes are. */
export interface PacketPlace {
  /** From the beginning of the file, in bytes; what the container writes before a packet may stand there. NaN: not known. */
  readonly position: number;
  readonly sizeBytes: number;
}

/** Whether a packet is seen to hold an IDR picture. @throws {Error} where it cannot be read */
export async function holdsIdr(path: string, { position, sizeBytes }: PacketPlace): Promise<boolean> {
  await using range = await fileRange(path);
  if (!(position >= 0 && position < range.sizeBytes)) return false;
  const length = Math.min(sizeBytes + MAX_BLOCK_HEADER, MAX_BYTES, range.sizeBytes - position);
  const bytes = await range.read(position, length);
  return hasStartCodeOfIdr(bytes) || hasLengthOfIdr(bytes, sizeBytes);
}

function isIdr(header: number): boolean {
  return (header & 0x9f) === IDR;
}

/** Units between start codes (ISO 14496-10, annex B). */
function hasStartCodeOfIdr(bytes: Uint8Array): boolean {
  for (let at = bytes.indexOf(1, 2); at >= 0; at = bytes.indexOf(1, at + 1)) {
    if (bytes[at - 1] === 0 && bytes[at - 2] === 0 && isIdr(bytes[at + 1])) return true;
  }
  return false;
}

/** Units with their lengths in four bytes before them (ISO 14496-15); they fill the packet, wherever it begins. */
function hasLengthOfIdr(bytes: Uint8Array, sizeBytes: number): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let start = 0; start <= MAX_BLOCK_HEADER; start++) {
    let at = start, found = false;
    const end = start + sizeBytes;
    while (at + 4 < Math.min(end, bytes.length)) {
      found ||= isIdr(bytes[at + 4]);
      at += 4 + view.getUint32(at);
    }
    if (found && at === end) return true;
  }
  return false;
}
