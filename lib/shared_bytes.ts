/** Memory that several threads see at once: what a thread hands on in it is neither copied nor given away. */

/** So many bytes, zero; shared where the platform has shared memory, plain where it has not. */
export function sharedBytes(length: number): Uint8Array {
  return new Uint8Array(
    typeof SharedArrayBuffer === "undefined" ? new ArrayBuffer(length) : new SharedArrayBuffer(length),
  );
}

/** What a message must name so that these arrays reach the other thread without a copy: the memory that is not shared. */
export function transferOf(arrays: Iterable<Uint8Array>): ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>();
  for (const { buffer } of arrays) if (buffer instanceof ArrayBuffer) buffers.add(buffer);
  return [...buffers];
}
