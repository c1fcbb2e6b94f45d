/** The checksum of ZIP archives and gzip, wherever this runs: eight bytes at a time, which is as quick as a file is read. */

const POLYNOMIAL = 0xedb88320, AT_ONCE = 8;

/** What a byte does to the checksum, followed by so many zero bytes. */
const TABLES = makeTables();

function makeTables(): Int32Array[] {
  const first = new Int32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let sum = byte;
    for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? sum >>> 1 ^ POLYNOMIAL : sum >>> 1;
    first[byte] = sum;
  }
  const tables = [first];
  while (tables.length < AT_ONCE) {
    const before = tables[tables.length - 1];
    tables.push(first.map((_, byte) => before[byte] >>> 8 ^ first[before[byte] & 0xff]));
  }
  return tables;
}

/** CRC-32 of bytes, as an unsigned number. */
export function crc32(bytes: Uint8Array): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = TABLES;
  let sum = -1, at = 0;
  for (const end = bytes.length - bytes.length % AT_ONCE; at < end; at += AT_ONCE) {
    sum = t7[(sum ^ bytes[at]) & 0xff] ^ t6[(sum >>> 8 ^ bytes[at + 1]) & 0xff] ^
      t5[(sum >>> 16 ^ bytes[at + 2]) & 0xff] ^ t4[sum >>> 24 ^ bytes[at + 3]] ^
      t3[bytes[at + 4]] ^ t2[bytes[at + 5]] ^ t1[bytes[at + 6]] ^ t0[bytes[at + 7]];
  }
  for (; at < bytes.length; at++) sum = sum >>> 8 ^ t0[(sum ^ bytes[at]) & 0xff];
  return ~sum >>> 0;
}
