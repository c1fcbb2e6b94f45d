/** Products on generated matrices: each kernel is compared with plain loops on sampled outputs, then timed. */

import { ACTIVATIONS } from "../ops/activation_functions.ts";
import { halfProductBound, type MatmulSpec, splitLength } from "../ops/matmul_kernel.ts";
import type { TrialSetup } from "./trial.ts";

/** Elements between the start and the end of one operand over the whole batch. */
export function operandLengths(spec: MatmulSpec): { a: number; b: number; c: number } {
  const span = (stride: number, size: number) => (spec.batch - 1) * stride + size;
  return {
    a: span(spec.strideA, spec.m * spec.k),
    b: span(spec.strideB, spec.k * spec.n),
    c: spec.splitK > 1 && spec.batch > 1
      ? spec.splitK * spec.batch * spec.strideC
      : (spec.splitK - 1) * spec.m * spec.n + span(spec.strideC, spec.m * spec.n),
  };
}

/** Values that f16 holds exactly: multiples of 1/64 in [-0.5, 0.5), so that storage type does not blur the check. */
export function testValue(index: number, salt: number): number {
  const mixed = Math.imul(index + 1, 0x9e3779b1) ^ Math.imul(salt, 0x85ebca6b);
  return ((Math.imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d) >>> 20) % 64 - 32) / 64;
}

/** A product in words: "1576x768x768 nt f32/f16/f32". */
export function describeProduct(spec: MatmulSpec): string {
  const { m, n, k, batch, splitK, transposeA, transposeB, typeA, typeB, typeC } = spec;
  const count = (times: number, what: string) => times > 1 ? `${times}${what} ` : "";
  return `${count(batch, " of")}${m}x${n}x${k} ${transposeA ? "t" : "n"}${transposeB ? "t" : "n"} ` +
    `${typeA}/${typeB}/${typeC}${splitK > 1 ? ` in ${splitK} parts` : ""}`;
}

/** Elements of the operands of a trial, at most: larger products are cut, which changes little in what is fastest. */
const MOST_ELEMENTS = 2 ** 24;

/** The same product with its longest sides cut, where it is too large to be tried as it is. Remainders of 16 stay. */
export function reducedProduct(spec: MatmulSpec): MatmulSpec {
  const half = (size: number) => Math.max(1, Math.floor(size / 32)) * 16 + size % 16;
  let reduced = spec;
  for (;;) {
    const { a, b, c } = operandLengths(reduced), { m, n, k, batch } = reduced;
    if (a + b + c <= MOST_ELEMENTS) return reduced;
    const next = batch > 1
      ? { batch: batch >> 1 }
      : m >= Math.max(n, k)
      ? { m: half(m) }
      : k >= n
      ? { k: half(k) }
      : { n: half(n) };
    reduced = { ...reduced, ...next };
    const dense = (stride: number, size: number) => stride === 0 ? 0 : size;
    reduced.strideA = dense(spec.strideA, reduced.m * reduced.k);
    reduced.strideB = dense(spec.strideB, reduced.k * reduced.n);
    reduced.strideC = dense(spec.strideC, reduced.m * reduced.n);
  }
}

/** Numbers that tell the contents of operands apart. */
const SALTS = { a: 1, b: 2, bias: 3, residual: 4, preactivation: 5 };

/** Matrices for `spec`, all that its kernels bind, and the sampled check of all that they write. */
export function matmulTrial(spec: MatmulSpec): TrialSetup {
  const { m, n, splitK, typeA, typeB, typeC, preactivation } = spec, lengths = operandLengths(spec);
  const likeC = { length: lengths.c, type: typeC };
  const operands: Partial<Record<keyof typeof SALTS, { length: number; type: "f32" | "f16" }>> = {
    a: { length: lengths.a, type: typeA },
    b: { length: lengths.b, type: typeB },
    ...spec.bias && { bias: { length: n, type: "f32" } },
    ...spec.residual && { residual: likeC },
    ...preactivation === "read" && { preactivation: likeC },
  };
  return {
    name: "matmul",
    inputs: Object.fromEntries(
      Object.entries(operands).map(([name, { length, type }]) => {
        const make = type === "f16" ? Float16Array : Float32Array;
        const salt = SALTS[name as keyof typeof SALTS];
        return [name, new make(Math.ceil(length / 4) * 4).map((_, i) => testValue(i, salt))];
      }),
    ),
    outputs: {
      c: likeC,
      ...preactivation === "written" && { preactivation: likeC },
      ...spec.sums && { sums: { length: splitK * m, type: "f32" as const } },
    },
    check: (outputs) =>
      checkSamples(spec, outputs) ?? (spec.sums ? checkSums(spec, outputs.sums) : undefined),
  };
}

const PLACES = 256;

/** Places spread over `total`, its first and its last among them. */
function* placesOf(total: number): Generator<number> {
  for (let i = 0; i < PLACES; i++) yield i === PLACES - 1 ? total - 1 : Math.floor(i * total / PLACES);
}

/** What the product is at a place, before its activation, with the size of its sum: Σ|a·b| and Σ(a·b)². */
function productAt(spec: MatmulSpec, { split, batch, row, column }: Record<string, number>) {
  const chunk = splitLength(spec), baseA = batch * spec.strideA, baseB = batch * spec.strideB;
  let linear = spec.bias ? testValue(column, SALTS.bias) : 0, size = 0, squares = 0;
  for (let k = split * chunk; k < Math.min(spec.k, (split + 1) * chunk); k++) {
    const a = testValue(baseA + (spec.transposeA ? k * spec.m + row : row * spec.k + k), SALTS.a);
    const b = testValue(baseB + (spec.transposeB ? column * spec.k + k : k * spec.n + column), SALTS.b);
    linear += a * b;
    size += Math.abs(a * b);
    squares += (a * b) ** 2;
  }
  return { linear, size, squares };
}

/** Compares outputs at the corners, and at places spread over the whole, with plain loops; says what differs. */
function checkSamples(spec: MatmulSpec, { c, preactivation }: Outputs): string | undefined {
  const { activation } = spec;
  for (const index of placesOf(spec.m * spec.n * spec.batch * spec.splitK)) {
    const column = index % spec.n, row = Math.floor(index / spec.n) % spec.m;
    const slice = Math.floor(index / (spec.n * spec.m));
    const batch = slice % spec.batch, split = Math.floor(slice / spec.batch);
    const at = split * (spec.batch > 1 ? spec.batch * spec.strideC : spec.m * spec.n) + batch * spec.strideC +
      row * spec.n + column;
    const { linear, size, squares } = productAt(spec, { split, batch, row, column });
    let active = linear;
    if (activation !== "none") {
      const { value, slope } = ACTIVATIONS[activation];
      active = spec.preactivation === "read"
        ? linear * slope(testValue(at, SALTS.preactivation))
        : value(linear);
    }
    const expected = active + (spec.residual ? testValue(at, SALTS.residual) : 0);
    // Where f16 multiplication is allowed, what its longest chunks are likely to err: roundings do not all go one way, and these
    // values are far from those that f16 takes for 0.
    const halves = spec.halfProducts
      ? halfProductBound({ ...spec, k: 0 }, { chunk: 8, size: 4 * Math.sqrt(squares) })
      : 0;
    const differs = (name: string, actual: number, value: number) => {
      const tolerance = halves + 1e-5 + 1e-6 * size +
        (spec.typeC === "f16" ? 1e-3 * (1 + Math.abs(value)) : 0);
      if (Math.abs(actual - value) <= tolerance) return undefined;
      return `${name}[${slice} ${row} ${column}] must be ${value}, current value is ${actual}`;
    };
    const wrong = differs("C", c[at], expected) ??
      (spec.preactivation === "written" ? differs("preactivation", preactivation[at], linear) : undefined);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}

type Outputs = Readonly<Record<string, ArrayLike<number>>>;

/** Compares sums of op(A) over k with plain loops; says what differs. */
function checkSums(spec: MatmulSpec, sums: ArrayLike<number>): string | undefined {
  const chunk = splitLength(spec);
  for (const index of placesOf(spec.splitK * spec.m)) {
    const row = index % spec.m, split = Math.floor(index / spec.m);
    let sum = 0, size = 0;
    for (let k = split * chunk; k < Math.min(spec.k, (split + 1) * chunk); k++) {
      const a = testValue(spec.transposeA ? k * spec.m + row : row * spec.k + k, SALTS.a);
      sum += a;
      size += Math.abs(a);
    }
    if (!(Math.abs(sums[index] - sum) <= 1e-5 + 1e-6 * size)) {
      return `sums[${split} ${row}] must be ${sum}, current value is ${sums[index]}`;
    }
  }
  return undefined;
}
