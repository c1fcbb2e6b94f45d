/** Files in memory for readers that take a range source. */
import type { RangeSource } from "../../data/checkpoint/safetensors.ts";
import { DataError } from "../../lib/errors.ts";

/** Bytes as a file. A range beyond them is refused as a real file refuses it, and as a mistake of the reader. */
export function memorySource(bytes: Uint8Array): RangeSource & { longestRead: number } {
  const source = {
    sizeBytes: bytes.length,
    longestRead: 0,
    read(offset: number, length: number): Promise<Uint8Array> {
      if (!(offset >= 0 && length >= 0 && offset + length <= bytes.length)) {
        const what = `bytes ${offset} to ${offset + length} of ${bytes.length}`;
        // A damaged count may point behind the end; a reader must not ask for more than the whole file.
        if (!(length <= bytes.length)) return Promise.reject(new RangeError(`Cannot read ${what}`));
        return Promise.reject(new DataError(`Cannot read ${what}: the file ends`));
      }
      source.longestRead = Math.max(source.longestRead, length);
      return Promise.resolve(bytes.slice(offset, offset + length));
    },
  };
  return source;
}
