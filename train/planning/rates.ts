/** What an adapter reaches, and how long a recorded node takes by it (docs/performance.md has the formula). */

import { z } from "zod";
import type { AdapterIdentity } from "../../gpu/adapter.ts";
import { bytesOf, type Node } from "../../gpu/graph.ts";

const positive = z.number().positive();

const PEAKS = z.object({
  f32_gflops: positive,
  /** null: it has no half floats. */
  f16_gflops: positive.nullable(),
  /** Read and written by a kernel that copies, in buffers larger than the caches. */
  copy_gbps: positive,
  /** Read from workgroup memory; 0: not known. */
  workgroup_gbps: z.number().min(0),
  /** From the host. */
  upload_gbps: positive,
  /** Of a launch that does nothing. */
  launch_us: z.number().min(0),
});

const POINT = z.object({
  op: z.string(),
  flops: z.number().min(0),
  bytes: z.number().min(0),
  ms: positive,
  sizes: z.array(positive).optional(),
});

/** What is kept of an adapter. */
export const ADAPTER_RATES = z.object({
  adapter: z.string(),
  measured: z.string().nullable(),
  peaks: PEAKS,
  points: z.array(POINT),
});

/** An adapter's peaks: GFLOP/s, GB/s and microseconds of a launch. */
export type Peaks = Readonly<z.infer<typeof PEAKS>>;

/** One measured run of an op: its work, its time, and sizes that its speed depends on besides, where there are some. */
export type OpPoint = Readonly<z.infer<typeof POINT>>;

/** All that is known of an adapter. */
export interface AdapterRates {
  readonly adapter: string;
  /** Day of the measurement; null: from what is published. */
  readonly measured: string | null;
  readonly peaks: Peaks;
  /** None where only the peaks are known. */
  readonly points: readonly OpPoint[];
}

/** Names an adapter and its driver, as far as WebGPU tells of them. */
export function ratesKey({ vendor, architecture, device, description }: AdapterIdentity): string {
  return [vendor, architecture, device, description].join("/");
}

/** Shares of the peaks that are assumed where nothing was measured. */
export const ASSUMED_SHARE = { arithmetic: 0.4, memory: 0.7 } as const;

/** A measured run of a node. */
export function pointOf(node: Node, ms: number): OpPoint {
  const { flops, bytes } = node.op.work(node), sizes = sizesOf(node);
  return { op: node.op.name, flops, bytes, ms, ...sizes && { sizes } };
}

/** Products: rows, columns, summed, and bytes of an element; attention: sequences times heads, queries, keys, and a head's width. */
function sizesOf({ op, inputs, attrs }: Node): number[] | null {
  if (op.name === "matmul") {
    const { a, b } = inputs,
      [rowsA, columnsA] = a.shape.slice(-2),
      n = b.shape.at(attrs.transposeB ? -2 : -1)!;
    const [m, k] = attrs.transposeA ? [columnsA, rowsA] : [rowsA, columnsA];
    return [m, n, k, a.dtype === "f16" ? 2 : 4];
  }
  if (op.name.startsWith("attention")) {
    const { q, kv } = inputs, [sequences, queries, width] = q.shape, heads = attrs.heads as number;
    return [sequences * heads, queries, kv.shape[1], width / heads];
  }
  return null;
}

/** Milliseconds of a node on an adapter. @param options.multipliesHalves Products of halves may be multiplied as such. */
export function nodeMs(
  node: Node,
  rates: AdapterRates,
  options: { multipliesHalves?: boolean } = {},
): number {
  const gain = options.multipliesHalves && isHalfProduct(node) ? halfGain(rates.peaks) ?? 1 : 1;
  return pointMs(pointOf(node, 0), rates, gain) + activationMs(node, rates);
}

/** Of a product that ends in an activation or its gradient: what that takes as an op of its own, without a launch and memory's traffic. */
function activationMs(
  { op, inputs, outputs, attrs }: Node,
  { peaks, points, ...rest }: AdapterRates,
): number {
  if (op.name !== "matmul" || attrs.activation === "none") return 0;
  const isGradient = inputs.preactivation !== undefined,
    name = `${attrs.activation}${isGradient ? "Dx" : ""}`;
  const known = points.filter(({ op }) => op === name);
  if (known.length === 0) return 0;
  const bytes = bytesOf(outputs.out) * (isGradient ? 3 : 2);
  const alone = pointMs({ op: name, flops: 0, bytes, ms: 0 }, { ...rest, peaks, points: known });
  return Math.max(0, alone - bytes / peaks.copy_gbps / 1e6 - peaks.launch_us / 1000);
}

/** A product that an adapter which multiplies halves computes so: both operands are stored as such. */
function isHalfProduct({ op, inputs }: Node): boolean {
  return op.name === "matmul" && inputs.a.dtype === "f16" && inputs.b.dtype === "f16";
}

/** How many times as fast as in f32 an adapter multiplies in f16; 1 where it is no faster, for it then does not; null: not known. */
export function halfGain({ f16_gflops: half, f32_gflops: full }: Peaks): number | null {
  return half === null ? null : Math.max(1, half / full);
}

/**
 * Milliseconds of some work on an adapter; what it says of its own time is not looked at.
 *
 * @param gain How many times as fast its arithmetic is as what is known of it; its memory is not.
 */
export function pointMs(point: OpPoint, rates: AdapterRates, gain = 1): number {
  const { peaks, points } = rates, known = points.filter(({ op }) => op === point.op);
  if (gain > 1 && known.length > 0) {
    const usual = pointMs(point, rates), memory = point.bytes / peaks.copy_gbps / 1e6;
    return Math.min(usual, Math.max(usual / gain, memory));
  }
  if (known.length === 0) {
    const arithmetic = point.flops / (ASSUMED_SHARE.arithmetic * gain * peaks.f32_gflops);
    const memory = point.bytes / (ASSUMED_SHARE.memory * peaks.copy_gbps);
    return peaks.launch_us / 1000 + Math.max(arithmetic, memory) / 1e6;
  }
  return point.sizes ? bySizes(point, known) : byWork(point, known);
}

/** Milliseconds at the adapter's peaks. */
export function idealMs({ flops, bytes }: Pick<OpPoint, "flops" | "bytes">, peaks: Peaks): number {
  return Math.max(flops / peaks.f32_gflops, bytes / peaks.copy_gbps) / 1e6;
}

/** By the rates of runs of like sizes, the nearer the heavier: nearness is that of the sizes' logarithms. */
function bySizes(point: OpPoint, known: readonly OpPoint[]): number {
  let weights = 0, sum = 0;
  for (const { flops, ms, sizes = [] } of known) {
    const distance = sizes.reduce((d, size, i) => d + Math.log2(size / point.sizes![i]) ** 2, 0);
    const weight = 1 / (0.1 + distance) ** 2;
    weights += weight;
    sum += weight * Math.log(flops / ms);
  }
  return point.flops / Math.exp(sum / weights);
}

/** FLOPs of a byte from which on an op's bytes are of no account: convolutions. */
const ARITHMETIC_INTENSITY = 8;

/** On lines between what was measured, by the work as a share of the largest one's; beyond that in proportion, below as the smallest. */
function byWork(point: OpPoint, known: readonly OpPoint[]): number {
  const largest = known.reduce((most, one) => one.bytes + one.flops > most.bytes + most.flops ? one : most);
  const isArithmetic = largest.flops > ARITHMETIC_INTENSITY * largest.bytes;
  const share = ({ bytes, flops }: OpPoint) =>
    Math.max(
      largest.bytes > 0 && !isArithmetic ? bytes / largest.bytes : 0,
      largest.flops > 0 ? flops / largest.flops : 0,
    );
  const x = share(point);
  const line = known.map((one) => ({ x: share(one), ms: one.ms })).sort((a, b) => a.x - b.x);
  if (x >= 1) return largest.ms * x;
  if (x <= line[0].x) return line[0].ms;
  const next = line.findIndex((one) => one.x >= x), [low, high] = [line[next - 1], line[next]];
  return low.ms + (high.ms - low.ms) * (x - low.x) / (high.x - low.x);
}
