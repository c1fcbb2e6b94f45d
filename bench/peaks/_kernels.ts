/**
 * Kernels that do one thing as fast as the adapter can, as text: the chains of an arithmetic kernel are unrolled, because arrays of them
 * would not lie in registers. Every result is known exactly, whatever the order, so that nobody can leave work out.
 */

/** Invocations of a workgroup. */
export const WORKGROUP = 64;
/** Steps of a chain, in one turn of the loop. */
const UNROLLED = 8;

/** How an arithmetic kernel is written. */
export interface ChainForm {
  readonly type: "f32" | "f16";
  /** Independent chains of an invocation, each of four numbers. */
  readonly chains: number;
  /** As `fma`, or as a product and a sum that the driver may contract. */
  readonly fused: boolean;
}

/**
 * x ← x · m + c in many chains: m = -1 and c = 1 come from the uniform, so that x alternates between s and 1 - s, both exact.
 * Every step of a chain is 8 operations. `out[i]` is the sum of invocation i's chains.
 */
export function chainKernel({ type, chains, fused }: ChainForm): string {
  const each = (text: (j: number) => string) => Array.from({ length: chains }, (_, j) => text(j)).join("\n");
  const step = each((j) => fused ? `    x${j} = fma(x${j}, m, c);` : `    x${j} = x${j} * m + c;`);
  return `${type === "f16" ? "enable f16;\n" : ""}alias elem = ${type};
struct Params { turns: u32, m: f32, c: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let m = vec4<elem>(elem(params.m));
  let c = vec4<elem>(elem(params.c));
  let start = elem(f32(id.x % 8u) * 0.125);
${each((j) => `  var x${j} = vec4<elem>(start) + vec4<elem>(0.0, 0.25, 0.5, 0.75) + elem(${j}.0);`)}
  for (var i = 0u; i < params.turns; i++) {
${Array.from({ length: UNROLLED }, () => step).join("\n")}
  }
  let sum = ${Array.from({ length: chains }, (_, j) => `vec4<f32>(x${j})`).join(" + ")};
  out[id.x] = sum.x + sum.y + sum.z + sum.w;
}
`;
}

/** Floating-point operations of one invocation in so many turns. */
export function chainFlops({ chains }: ChainForm, turns: number): number {
  return turns * UNROLLED * chains * 8;
}

/** What invocation i gives: an even number of steps leaves every chain where it began. */
export function chainResult({ chains }: ChainForm, i: number): number {
  let sum = 0;
  for (let j = 0; j < chains; j++) sum += 4 * (i % 8 * 0.125 + j) + 1.5;
  return sum;
}

/** y ← x + 1 over vectors of four words, each invocation every so-many-th: reads and writes every word once. */
export const COPY_KERNEL = `struct Params { vectors: u32, threads: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<u32>>;
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  for (var i = id.x; i < params.vectors; i += params.threads) {
    y[i] = x[i] + vec4<u32>(1u);
  }
}
`;

/** Vectors in the workgroup memory of the kernel below: 16 KiB. */
const SHARED = 1024;

/** Sums over workgroup memory, whose words are their own numbers; neighbours read neighbouring vectors. Words wrap around. */
export const SHARED_KERNEL = `const SHARED: u32 = ${SHARED}u;
struct Params { turns: u32, stride: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;
var<workgroup> tile: array<vec4<u32>, SHARED>;
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  for (var i = lane; i < SHARED; i += ${WORKGROUP}u) {
    tile[i] = vec4<u32>(i, 2u * i, 3u * i, 4u * i);
  }
  workgroupBarrier();
  var at = lane;
  var a = vec4<u32>(0u);
  var b = vec4<u32>(0u);
  for (var i = 0u; i < params.turns; i++) {
${
  Array.from({ length: UNROLLED }, (_, j) =>
    `    ${j % 2 === 0 ? "a" : "b"} += tile[at & (SHARED - 1u)];\n    at += params.stride;`).join("\n")
}
  }
  let sum = a + b;
  out[id.x] = sum.x + sum.y + sum.z + sum.w;
}
`;

/** Bytes that one invocation reads of workgroup memory in so many turns. */
export function sharedBytes(turns: number): number {
  return turns * UNROLLED * 16;
}

/** What an invocation gives. */
export function sharedResult(lane: number, { turns, stride }: { turns: number; stride: number }): number {
  let sum = 0;
  for (let i = 0; i < turns * UNROLLED; i++) sum = (sum + 10 * ((lane + i * stride) % SHARED)) >>> 0;
  return sum;
}

/** Adds one to a number: nothing to do but be launched. */
export const EMPTY_KERNEL = `@group(0) @binding(0) var<storage, read_write> out: array<u32>;
@compute @workgroup_size(1)
fn main() {
  out[0] += 1u;
}
`;
