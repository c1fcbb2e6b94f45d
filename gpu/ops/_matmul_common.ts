/**
 * What the matmul generators share: what a product, its kernel and a way to compute it are; storage words, the parameter
 * block, tile addressing and the epilogue.
 */

import type { BuiltKernel, KernelAdapter, KernelVariant } from "../tuning/family.ts";
import { ACTIVATION_WGSL, slopeText } from "./_activation_text.ts";

/** One product. Sizes in elements; A is [M K] ([K M] when transposed), B is [K N] ([N K] when transposed), C is [M N]. */
export interface MatmulSpec {
  m: number;
  n: number;
  k: number;
  batch: number;
  /** At least 1. Above 1 the sum over k is cut in this many parts and C is [splitK batch M N], to be summed by another op. */
  splitK: number;
  transposeA: boolean;
  transposeB: boolean;
  typeA: "f32" | "f16";
  typeB: "f32" | "f16";
  typeC: "f32" | "f16";
  /** Adds an f32 vector [N] to every row. */
  bias: boolean;
  /** Adds a tensor shaped and typed like C, after the activation. */
  residual: boolean;
  activation: "none" | keyof typeof ACTIVATION_WGSL;
  /**
   * A tensor shaped and typed like C. "written": it gets what the activation is applied to. "read": it holds that, and the result
   * is multiplied by the activation's slope there, which is the activation's gradient.
   */
  preactivation?: "written" | "read";
  /** Writes f32 sums of op(A) over k too, [M], or [splitK M] with a sum in parts. Of transposed A in f32, without a batch. */
  sums?: boolean;
  /** Distance between batch entries in elements; 0 shares one matrix over the batch. */
  strideA: number;
  strideB: number;
  strideC: number;
  /**
   * Allows multiplication in f16 in short chunks of k, each added to an f32 sum, where an operand is stored as f16: an error of up to
   * (chunk + 1) · 2^-11 · Σ|a·b| (`halfProductBound`), and infinities where a chunk's sum exceeds 65,504. Without it every product and sum is f32.
   */
  halfProducts?: boolean;
}

/** A product's kernel. */
export interface MatmulKernel extends BuiltKernel {
  readonly bindings: readonly ("a" | "b" | "c" | "bias" | "residual" | "preactivation" | "sums" | "params")[];
}

/** One way to compute a product. */
export interface MatmulVariant extends KernelVariant<MatmulSpec> {
  /** Device features that must be enabled. */
  readonly needs: readonly string[];
  /** What it may share with others, its kind first; those that are timed first should differ in it. */
  readonly traits: readonly string[];
  build(spec: MatmulSpec): MatmulKernel;
  /** Whether it can run on an adapter that has what it `needs`, and is worth a try for this product. */
  suits(spec: MatmulSpec, adapter: KernelAdapter): boolean;
  /** An estimate in cycles, comparable among the variants that suit one adapter. */
  cost(spec: MatmulSpec, adapter: KernelAdapter): number;
}

/** How a matrix is declared: an array of words, each of `size` neighbouring elements of one row. */
export interface Word {
  /** WGSL storage type. */
  type: "f32" | "f16" | "u32" | "u64" | "vec4f" | "vec4<f16>" | "vec2u";
  size: number;
}

/** Length of a stored row of each matrix. */
export function rowLengths(spec: MatmulSpec): { a: number; b: number; c: number } {
  return { a: spec.transposeA ? spec.m : spec.k, b: spec.transposeB ? spec.k : spec.n, c: spec.n };
}

/** The widest word of at most `limit` elements that rows and batch strides are multiples of. */
export function chooseWord(
  type: "f32" | "f16",
  lengths: readonly number[],
  options: { wide: boolean; limit?: number },
): Word {
  const words: Word[] = type === "f32"
    ? [{ type: "u64", size: 2 }, { type: "f32", size: 1 }]
    : [{ type: "u64", size: 4 }, { type: "u32", size: 2 }, { type: "f16", size: 1 }];
  return words.find((word) =>
    (options.wide || word.type !== "u64") && word.size <= (options.limit ?? 4) &&
    lengths.every((length) => length % word.size === 0)
  )!;
}

/** Expressions of the f32 values of one loaded word held in variable `name`. */
export function unpackWord(word: Word, type: "f32" | "f16", name: string): string[] {
  if (word.size === 1) return [type === "f32" ? name : `f32(${name})`];
  if (word.type === "u32") return [`unpack2x16float(${name}).x`, `unpack2x16float(${name}).y`];
  const halves = [`u32(${name})`, `u32(${name} >> 32u)`];
  return type === "f32"
    ? halves.map((half) => `bitcast<f32>(${half})`)
    : halves.flatMap((half) => [`unpack2x16float(${half}).x`, `unpack2x16float(${half}).y`]);
}

/** Expression that packs f32 values into one word. */
export function packWord(word: Word, type: "f32" | "f16", values: string[]): string {
  if (word.size === 1) return type === "f32" ? values[0] : `f16(${values[0]})`;
  if (word.type === "u32") return `pack2x16float(vec2f(${values.join(", ")}))`;
  const halves = type === "f32" ? values.map((value) => `bitcast<u32>(${value})`) : [
    `pack2x16float(vec2f(${values[0]}, ${values[1]}))`,
    `pack2x16float(vec2f(${values[2]}, ${values[3]}))`,
  ];
  return `u64(${halves[0]}) | (u64(${halves[1]}) << 32u)`;
}

/** Part of k that one split sums, a multiple of 16 so that words never straddle two parts. */
export function splitLength(spec: Pick<MatmulSpec, "splitK" | "k">): number {
  return spec.splitK > 1 ? Math.ceil(Math.ceil(spec.k / spec.splitK) / 16) * 16 : spec.k;
}

/** The uniform block and the workgroup grid for tiles of `tileM` x `tileN`. */
export function launch(
  spec: MatmulSpec,
  tile: { tileM: number; tileN: number },
): Pick<MatmulKernel, "params" | "workgroups"> {
  for (const key of ["m", "n", "k", "batch", "splitK"] as const) {
    if (!(Number.isInteger(spec[key]) && spec[key] >= 1)) {
      throw new RangeError(
        `Cannot build matmul: ${key} must be a whole number of at least 1, current value is ${spec[key]}`,
      );
    }
  }
  const tilesM = Math.ceil(spec.m / tile.tileM);
  const tilesN = Math.ceil(spec.n / tile.tileN);
  const total = tilesM * tilesN * spec.batch * spec.splitK;
  const gridY = Math.ceil(total / 65535);
  if (gridY > 65535) {
    throw new RangeError(
      `Cannot build matmul: it must need at most 65535² workgroups, current value is ${total}`,
    );
  }
  const splitStrideC = spec.batch > 1 ? spec.batch * spec.strideC : spec.m * spec.n;
  const params = new Uint32Array([
    spec.m,
    spec.n,
    spec.k,
    splitLength(spec),
    spec.strideA,
    spec.strideB,
    spec.batch > 1 ? spec.strideC : 0,
    splitStrideC,
    spec.batch,
    tilesM,
    tilesN,
    total,
  ]);
  return { params, workgroups: [Math.ceil(total / gridY), gridY, 1] };
}

/** Declares params and storage, in binding order, and returns the order. */
export function declareBindings(
  spec: MatmulSpec,
  words: { a: string; b: string; c: string },
  options: { usesF16?: boolean } = {},
): { text: string; bindings: MatmulKernel["bindings"] } {
  const bindings: MatmulKernel["bindings"][number][] = ["params", "a", "b", "c"];
  if (spec.bias) bindings.push("bias");
  if (spec.residual) bindings.push("residual");
  if (spec.preactivation) bindings.push("preactivation");
  if (spec.sums) bindings.push("sums");
  const typeOf = { ...words, bias: "f32", residual: words.c, preactivation: words.c, sums: "f32" };
  const uses16 = options.usesF16 || Object.values(words).some((word) => word.includes("f16"));
  const lines = bindings.slice(1).map((name, index) =>
    `@group(0) @binding(${index + 1}) var<storage, read_write> ${name}: array<${typeOf[name as "a"]}>;`
  );
  const text = `${uses16 ? "enable f16;\n" : ""}struct Params {
  m: u32, n: u32, k: u32,
  k_chunk: u32,        // part of k that one split sums, in elements
  stride_a: u32, stride_b: u32, stride_c: u32, // between batch entries, in elements
  split_stride_c: u32, // between splits, in elements
  batch: u32, tiles_m: u32, tiles_n: u32,
  total: u32,          // tiles x batch x splits
}
@group(0) @binding(0) var<uniform> params: Params;
${lines.join("\n")}
`;
  return { text, bindings };
}

/** Rows of tiles that workgroups with neighbouring numbers make together, where they share what they read by way of a cache. */
const TILE_GROUP = 8;

/**
 * Start of `main`: which tile this workgroup makes. A grid folded into two dimensions may hold workgroups too many; they
 * repeat the last tile with `rows_end` 0, so that they store nothing.
 *
 * @param tile.grouped Go down a few rows of tiles before the next column, else along each row.
 */
export function tileAddress(tile: { tileM: number; tileN: number; grouped?: boolean }): string {
  const place = tile.grouped
    ? `  let tile = id % tiles;
  let group_tiles = ${TILE_GROUP}u * params.tiles_n;
  let top = tile / group_tiles * ${TILE_GROUP}u;
  let height = min(${TILE_GROUP}u, params.tiles_m - top);
  let first_row = (top + tile % group_tiles % height) * ${tile.tileM}u;
  let first_column = tile % group_tiles / height * ${tile.tileN}u;`
    : `  let first_row = (id % tiles) / params.tiles_n * ${tile.tileM}u;
  let first_column = id % params.tiles_n * ${tile.tileN}u;`;
  return `  let linear = group.y * groups.x + group.x;
  let id = min(linear, params.total - 1u);
  let rows_end = select(params.m, 0u, linear >= params.total);
  let tiles = params.tiles_m * params.tiles_n;
  let slice = id / tiles;
  let batch = slice % params.batch;
  let split = slice / params.batch;
${place}
  let base_a = batch * params.stride_a;
  let base_b = batch * params.stride_b;
  let base_c = split * params.split_stride_c + batch * params.stride_c;
  let k_begin = min(split * params.k_chunk, params.k);
  let k_end = min(k_begin + params.k_chunk, params.k);
`;
}

/** Text of the activation functions, when one is used. */
export function activationText({ activation, preactivation }: MatmulSpec): string {
  if (activation === "none") return "";
  return preactivation === "read" ? slopeText(activation) : ACTIVATION_WGSL[activation];
}

/** Names of the activations in WGSL. */
const FUNCTIONS = { gelu: "gelu", quickGelu: "quick_gelu", relu: "relu" } as const;

/** Expression of what the activation is applied to. */
export function biased(spec: MatmulSpec, value: string, bias: string): string {
  return spec.bias ? `(${value} + ${bias})` : value;
}

/** Expression of activation (or its slope) and residual applied to `value`, which has its bias. */
export function epilogue(
  { activation, preactivation, residual }: MatmulSpec,
  value: string,
  operands: { residual: string; preactivation: string },
): string {
  let text = value;
  if (activation !== "none") {
    const name = FUNCTIONS[activation];
    text = preactivation === "read"
      ? `${value} * ${name}_slope(${operands.preactivation})`
      : `${name}(${value})`;
  }
  return residual ? `${text} + ${operands.residual}` : text;
}

/**
 * Largest error that multiplication in f16 adds to a sum, where chunks of `chunk` products are summed before they are added in f32:
 * a product is rounded once and its chunk's sum `chunk` - 1 times, each by at most 2^-11 of it; an f32 operand is rounded to f16
 * once more; and a value below 2^-14 may be taken for 0.
 *
 * @param sum.size Σ|a·b|.
 */
export function halfProductBound(
  { k, typeA, typeB }: Pick<MatmulSpec, "k" | "typeA" | "typeB">,
  { chunk, size }: { chunk: number; size: number },
): number {
  if (chunk === 0) return 0;
  const roundings = chunk + (typeA === "f32" || typeB === "f32" ? 1 : 0);
  return roundings * 2 ** -11 * size * 1.01 + k * 2 ** -14;
}

/** Short name of a spec for labels: "nt/f32f16f32+bias+gelu"; "gelu'" is the slope. */
export function specLabel(spec: MatmulSpec): string {
  const transposes = `${spec.transposeA ? "t" : "n"}${spec.transposeB ? "t" : "n"}`;
  const { activation, preactivation } = spec;
  const suffix = preactivation === "read" ? "'" : preactivation === "written" ? "+preactivation" : "";
  return `${transposes}/${spec.typeA}${spec.typeB}${spec.typeC}${spec.bias ? "+bias" : ""}` +
    `${activation === "none" ? "" : `+${activation}${suffix}`}${spec.residual ? "+residual" : ""}` +
    `${spec.sums ? "+sums" : ""}`;
}
