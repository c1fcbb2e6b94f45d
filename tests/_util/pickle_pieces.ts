/** Opcodes of pickles to build test files from, as bytes. */

const encoder = new TextEncoder();

export const ascii = (text: string): number[] => [...encoder.encode(text)];
/** A number of four bytes. */
export const word = (value: number): number[] => [0, 8, 16, 24].map((shift) => value >>> shift & 0xff);
export const textOf = (
  text: string,
): number[] => [0x58, ...word(encoder.encode(text).length), ...ascii(text)];
/** `module.name`, whatever dots the module has. */
export const global = (name: string): number[] => [0x63, ...ascii(name.replace(/\.([^.]*)$/, "\n$1") + "\n")];
/** A number of up to 8 bytes. */
export const long = (value: bigint): number[] => [
  0x8a,
  9,
  ...Array.from({ length: 9 }, (_, i) => Number(value >> BigInt(8 * i) & 0xffn)),
];
export const tuple = (...items: number[][]): number[] => [0x28, ...items.flat(), 0x74];
/** A call, of a global or of what `callee` leaves. */
export const call = (callee: string | number[], ...args: number[][]): number[] => [
  ...typeof callee === "string" ? global(callee) : callee,
  ...tuple(...args),
  0x52,
];
/** A dict with these items. */
export const dict = (...items: [key: string | number[], value: number[]][]): number[] => [
  0x7d,
  ...items.flatMap(([key, value]) => [...typeof key === "string" ? textOf(key) : key, ...value, 0x73]),
];

/** The persistent id of a storage, and what it stands for. */
export function storage(options: { key?: string; type?: string; count?: bigint } = {}): number[] {
  const { key = "0", type = "torch.FloatStorage", count = 3n } = options;
  return [...tuple(textOf("storage"), global(type), textOf(key), textOf("cpu"), long(count)), 0x51];
}

/** A tensor on a storage, with its numbers as the pickle gives them. */
export function tensor(
  options: {
    key?: string;
    type?: string;
    count?: bigint;
    offset?: bigint;
    shape: bigint[];
    strides: bigint[];
  },
): number[] {
  const { offset = 0n, shape, strides } = options;
  return call(
    "torch._utils._rebuild_tensor_v2",
    storage(options),
    long(offset),
    tuple(...shape.map(long)),
    tuple(...strides.map(long)),
    [0x89],
    [0x7d],
  );
}

/** Three numbers. */
export const THREE = tensor({ shape: [3n], strides: [1n] });
