/**
 * What the list of a file's packets tells of its pictures without decoding: when each is shown, and where a decoder may start.
 *
 * It is believed only where every picture must come out of the decoder at its packet's time. A stream that was cut in the
 * middle of a group has pictures at its beginning that refer to what is gone, and no decoder shows them.
 */

import type { PacketPlace } from "./_h264.ts";

/** One packet as the file lists it, in decoding order. */
export interface Packet {
  /** Presentation time in ticks of the stream; NaN where the file has none. */
  readonly time: number;
  readonly key: boolean;
  /** The decoder needs it but does not deliver it (edit lists). */
  readonly hidden: boolean;
  /** Marked as damaged by the file itself, or empty: whether a picture comes of it is the decoder's to say. */
  readonly doubtful: boolean;
}

/** When pictures are shown, as far as the packets tell. */
export interface ListedTimes {
  /** Ascending, in ticks. */
  readonly times: Float64Array;
  /** Of this many packets, the first, the pictures that are shown before `times[0]` must be asked of the decoder. */
  readonly doubtfulPackets: number;
}

/** How far apart the orders of decoding and of showing may be; the standards end at 16 pictures. */
const MAX_REORDERED = 32;

/** What ffprobe is asked of a packet. */
export const PACKET_ENTRIES = "packet=pts,size,pos,flags";

/** Reads one line of the listing; null: it is no packet's. */
export function parsePacket(line: string): Packet & { place: PacketPlace } | null {
  const match = /^packet\|(?:pts=([^|]*)\|)?size=([^|]*)\|(?:pos=([^|]*)\|)?flags=([^|]*)/.exec(line);
  if (match === null) return null;
  const [, time = "N/A", size, position = "N/A", flags] = match;
  return {
    time: time === "N/A" ? NaN : Number(time),
    key: flags.includes("K"),
    hidden: flags.includes("D"),
    doubtful: flags.includes("C") || size === "0",
    place: { position: position === "N/A" ? NaN : Number(position), sizeBytes: Number(size) },
  };
}

/**
 * The times of the pictures, for codecs of which a packet is a picture; null where only a decoder can tell them.
 *
 * @param options.cleanBeginning The decoder holds nothing back after the first packet, if that is a key.
 */
export function listedTimes(
  packets: readonly Packet[],
  options: { cleanBeginning: boolean },
): ListedTimes | null {
  const whole = wholeFrom(packets, options);
  if (whole === null || packets.slice(whole.packet).some(({ doubtful }) => doubtful)) return null;
  const shown = packets.slice(whole.packet).filter(({ time, hidden }) => !hidden && !(time < whole.time));
  const times = Float64Array.from(shown, ({ time }) => time).sort(), last = times.length - 1;
  const told = times.every((time, i) => Number.isFinite(time) && (i === 0 || time > times[i - 1])) &&
    // Times that begin again on the way, as in files put together from several, have no order.
    shown.every(({ time }, i) =>
      time >= times[Math.max(i - MAX_REORDERED, 0)] && time <= times[Math.min(i + MAX_REORDERED, last)]
    );
  return told && last >= 0 ? { times, doubtfulPackets: whole.doubtfulPackets } : null;
}

/**
 * From which packet and time on every picture is shown: the beginning, or where that is not whole the second clean start, by
 * which a decoder has found its feet.
 */
function wholeFrom(
  packets: readonly Packet[],
  { cleanBeginning }: { cleanBeginning: boolean },
): { packet: number; time: number; doubtfulPackets: number } | null {
  if (packets.length === 0) return null;
  const [{ key, time: first }] = packets;
  if (cleanBeginning && key && packets.every(({ time, hidden }) => hidden || time >= first)) {
    return { packet: 0, time: first, doubtfulPackets: 0 };
  }
  const [, packet] = cleanStarts(packets);
  if (packet === undefined) return null;
  const { time } = packets[packet];
  const doubtfulPackets = packets.findLastIndex((one) => !(one.time >= time)) + 1;
  return 2 * doubtfulPackets < packets.length ? { packet, time, doubtfulPackets } : null;
}

/** Key packets of which no picture decoded before is shown after. */
export function* cleanStarts(packets: readonly Packet[]): Generator<number> {
  let latest = -Infinity;
  for (let i = 0; i < packets.length; i++) {
    const { time, key, hidden } = packets[i];
    if (hidden) continue;
    if (key && time > latest) yield i;
    if (time > latest) latest = time;
  }
}
