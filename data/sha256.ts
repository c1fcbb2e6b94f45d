/** SHA-256 of a file, read in pieces. */
import { createHash } from "node:crypto";
import { fileRange } from "./files.ts";

const PIECE_BYTES = 2 ** 23;

/** The SHA-256 of a file, in hexadecimal. @param options.signal Ends it between two pieces. */
export async function sha256OfFile(path: string, options: { signal?: AbortSignal } = {}): Promise<string> {
  await using range = await fileRange(path);
  const hash = createHash("sha256");
  for (let at = 0; at < range.sizeBytes; at += PIECE_BYTES) {
    options.signal?.throwIfAborted();
    hash.update(await range.read(at, Math.min(PIECE_BYTES, range.sizeBytes - at)));
  }
  return hash.digest("hex");
}
