/**
 * The event files that TensorBoard reads: records of a length, a payload and their checksums (TFRecord), each payload an `Event` of
 * TensorFlow's protocol buffers, of which only what scalars need is written here.
 */

/** A scalar by its tag, such as "train/loss". */
export type Scalars = Readonly<Record<string, number>>;

/** What a record of an event file says, as far as it is written here. */
export interface LoggedEvent {
  /** Seconds since 1970. */
  readonly wallTime: number;
  readonly step: number;
  /** The first record's; others have none. */
  readonly fileVersion?: string;
  /** What was logged before at this step and later does not count any more. */
  readonly restart?: boolean;
  readonly scalars: Scalars;
}

/** What the first record of a file says. */
export const FILE_VERSION = "brain.Event:2";

/** Bytes before and behind a payload: its length and the length's checksum, and its own checksum. */
const HEAD_BYTES = 12, TAIL_BYTES = 4;
const CRC_MASK = 0xa282ead8;
/** Castagnoli's polynomial, its bits reversed. */
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >>> 1 ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

/** CRC-32C, turned and shifted as records store it. */
export function maskedCrc(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 0xff] ^ crc >>> 8;
  crc = ~crc >>> 0;
  return ((crc >>> 15 | crc << 17) >>> 0) + CRC_MASK >>> 0;
}

/** One record. */
export function encodeEvent(event: LoggedEvent): Uint8Array<ArrayBuffer> {
  const payload = Uint8Array.from(eventFields(event));
  const bytes = new Uint8Array(HEAD_BYTES + payload.length + TAIL_BYTES), view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(payload.length), true);
  view.setUint32(8, maskedCrc(bytes.subarray(0, 8)), true);
  bytes.set(payload, HEAD_BYTES);
  view.setUint32(HEAD_BYTES + payload.length, maskedCrc(payload), true);
  return bytes;
}

function eventFields({ wallTime, step, fileVersion, restart, scalars }: LoggedEvent): number[] {
  const values = Object.entries(scalars).flatMap(([tag, value]) =>
    field(1, [
      ...field(1, utf8(tag)),
      2 << 3 | FIXED32,
      ...little(4, (view) => view.setFloat32(0, value, true)),
    ])
  );
  return [
    1 << 3 | FIXED64,
    ...little(8, (view) => view.setFloat64(0, wallTime, true)),
    ...step > 0 ? [2 << 3 | VARINT, ...varint(step)] : [],
    ...fileVersion === undefined ? [] : field(3, utf8(fileVersion)),
    ...values.length > 0 ? field(5, values) : [],
    ...restart ? field(7, [1 << 3 | VARINT, 1]) : [],
  ];
}

/** How a field of a message is stored. */
const VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5;

function field(number: number, bytes: readonly number[]): number[] {
  return [number << 3 | BYTES, ...varint(bytes.length), ...bytes];
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push(value % 128 | 128);
  return [...bytes, value];
}

function little(length: number, write: (view: DataView) => void): Uint8Array {
  const bytes = new Uint8Array(length);
  write(new DataView(bytes.buffer));
  return bytes;
}

function utf8(text: string): number[] {
  return [...new TextEncoder().encode(text)];
}

/** A record that was read, with its bytes. */
export interface EventRecord {
  readonly event: LoggedEvent;
  readonly bytes: Uint8Array;
}

/** Records of an event file up to the first that is cut off or damaged. */
export function* readEvents(file: Uint8Array): Generator<EventRecord> {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  for (let at = 0; at + HEAD_BYTES <= file.length;) {
    const length = Number(view.getBigUint64(at, true)), end = at + HEAD_BYTES + length + TAIL_BYTES;
    if (view.getUint32(at + 8, true) !== maskedCrc(file.subarray(at, at + 8)) || end > file.length) return;
    const payload = file.subarray(at + HEAD_BYTES, end - TAIL_BYTES);
    if (view.getUint32(end - TAIL_BYTES, true) !== maskedCrc(payload)) return;
    yield { event: parseEvent(payload), bytes: file.subarray(at, end) };
    at = end;
  }
}

function parseEvent(payload: Uint8Array): LoggedEvent {
  let wallTime = 0, step = 0, fileVersion: string | undefined, restart = false;
  const scalars: Record<string, number> = {};
  for (const [number, value] of fieldsOf(payload)) {
    if (number === 1) wallTime = viewOf(value).getFloat64(0, true);
    if (number === 2) step = varintOf(value);
    if (number === 3) fileVersion = new TextDecoder().decode(value);
    if (number === 7) restart = true;
    if (number !== 5) continue;
    for (const [, one] of fieldsOf(value)) {
      const parts = new Map(fieldsOf(one)), simple = parts.get(2);
      if (simple) scalars[new TextDecoder().decode(parts.get(1))] = viewOf(simple).getFloat32(0, true);
    }
  }
  return {
    wallTime,
    step,
    scalars,
    ...fileVersion !== undefined && { fileVersion },
    ...restart && { restart },
  };
}

/** Fields of a message: number and stored bytes. */
function* fieldsOf(message: Uint8Array): Generator<[number: number, value: Uint8Array]> {
  for (let at = 0; at < message.length;) {
    const key = message[at++], kind = key & 7;
    let length = kind === FIXED64 ? 8 : 4;
    if (kind === VARINT || kind === BYTES) {
      let end = at;
      while (message[end] & 128) end++;
      const value = message.subarray(at, end + 1);
      length = kind === VARINT ? value.length : varintOf(value);
      if (kind === BYTES) at = end + 1;
    }
    yield [key >> 3, message.subarray(at, at + length)];
    at += length;
  }
}

function varintOf(bytes: Uint8Array): number {
  return bytes.reduceRight((value, byte) => value * 128 + (byte & 127), 0);
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}
