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

/** Matrices for `spec`, and the sampled check. */
export function matmulTrial(spec: MatmulSpec): TrialSetup {
  const lengths = operandLengths(spec);
  const operands = [
    ["a", lengths.a, spec.typeA, 1],
    ["b", lengths.b, spec.typeB, 2],
    ...(spec.bias ? [["bias", spec.n, "f32", 3] as const] : []),
    ...(spec.residual ? [["residual", lengths.c, spec.typeC, 4] as const] : []),
  ] as const;
  return {
    name: "matmul",
    inputs: Object.fromEntries(operands.map(([name, length, type, salt]) => {
      const make = type === "f16" ? Float16Array : Float32Array;
      return [name, new make(Math.ceil(length / 4) * 4).map((_, i) => testValue(i, salt))];
    })),
    outputs: { c: { length: lengths.c, type: spec.typeC } },
    check: ({ c }) => checkSamples(spec, c),
  };
}

/** Compares outputs at the corners, and at places spread over the whole, with plain loops; says what differs. */
function checkSamples(spec: MatmulSpec, out: ArrayLike<number>): string | undefined {
  const places = 256;
  const total = spec.m * spec.n * spec.batch * spec.splitK;
  const chunk = splitLength(spec);
  for (let place = 0; place < places; place++) {
    const index = place === places - 1 ? total - 1 : Math.floor(place * total / places);
    const column = index % spec.n;
    const row = Math.floor(index / spec.n) % spec.m;
    const slice = Math.floor(index / (spec.n * spec.m));
    const batch = slice % spec.batch;
    const split = Math.floor(slice / spec.batch);
    const baseA = batch * spec.strideA;
    const baseB = batch * spec.strideB;
    const at = split * (spec.batch > 1 ? spec.batch * spec.strideC : spec.m * spec.n) + batch * spec.strideC +
      row * spec.n + column;
    let sum = 0;
    let size = 0;
    let squares = 0;
    for (let k = split * chunk; k < Math.min(spec.k, (split + 1) * chunk); k++) {
      const a = testValue(baseA + (spec.transposeA ? k * spec.m + row : row * spec.k + k), 1);
      const b = testValue(baseB + (spec.transposeB ? column * spec.k + k : k * spec.n + column), 2);
      sum += a * b;
      size += Math.abs(a * b);
      squares += (a * b) ** 2;
    }
    const linear = sum + (spec.bias ? testValue(column, 3) : 0);
    const active = spec.activation === "none" ? linear : ACTIVATIONS[spec.activation].value(linear);
    const expected = active + (spec.residual ? testValue(at, 4) : 0);
    // Where f16 multiplication is allowed, what its longest chunks are likely to err: roundings do not all go one way, and these
    // values are far from those that f16 takes for 0.
    const halves = spec.halfProducts
      ? halfProductBound({ ...spec, k: 0 }, { chunk: 8, size: 4 * Math.sqrt(squares) })
      : 0;
    const tolerance = halves + 1e-5 + 1e-6 * size +
      (spec.typeC === "f16" ? 1e-3 * (1 + Math.abs(expected)) : 0);
    if (!(Math.abs(out[at] - expected) <= tolerance)) {
      return `C[${slice} ${row} ${column}] must be ${expected}, current value is ${out[at]}`;
    }
  }
  return undefined;
}
