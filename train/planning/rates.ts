/** What an adapter reaches, and how long a recorded node takes by it. */

import type { Node } from "../../gpu/graph.ts";

/** An adapter's peaks. */
export interface Peaks {
  readonly f32_gflops: number;
  /** null: it has no half floats. */
  readonly f16_gflops: number | null;
  /** Read and written by a kernel that copies, in buffers larger than the caches. */
  readonly copy_gbps: number;
  readonly workgroup_gbps: number;
  /** From the host. */
  readonly upload_gbps: number;
  /** Of a launch that does nothing. */
  readonly launch_us: number;
}

/** One measured run of an op. */
export interface OpPoint {
  readonly op: string;
  readonly flops: number;
  readonly bytes: number;
  readonly ms: number;
  /** Sizes that its speed depends on besides, where there are some. */
  readonly sizes?: readonly number[];
}

/** All that is known of an adapter. */
export interface AdapterRates {
  readonly adapter: string;
  /** Day of the measurement, or null: from what is published. */
  readonly measured: string | null;
  readonly peaks: Peaks;
  readonly points: readonly OpPoint[];
}

/** A measured run of a node. */
export function pointOf(node: Node, ms: number): OpPoint {
  const { flops, bytes } = node.op.work(node), sizes = sizesOf(node);
  return { op: node.op.name, flops, bytes, ms, ...sizes && { sizes } };
}

/** Products: rows, columns, summed and bytes of an element; attention: pairs of sequence and head, queries, keys and a head's width. */
function sizesOf(node: Node): number[] | null {
  const { op, inputs, outputs, attrs } = node;
  if (op.name === "matmul") {
    const { a } = inputs, [m, n] = outputs.out.shape.slice(-2);
    return [m, n, attrs.transposeA ? a.shape.at(-2)! : a.shape.at(-1)!, a.dtype === "f16" ? 2 : 4];
  }
  if (op.name.startsWith("attention")) {
    const { q, kv } = inputs, [B, Q, D] = q.shape, heads = attrs.heads as number;
    return [B * heads, Q, kv.shape[1], D / heads];
  }
  return null;
}

/** Milliseconds of a node. */
export function nodeMs(node: Node, rates: AdapterRates): number {
  const point = pointOf(node, 0), known = rates.points.filter(({ op }) => op === point.op);
  const { peaks } = rates, launch = peaks.launch_us / 1000;
  if (known.length === 0) return launch + idealMs(point, peaks) / UNMEASURED_SHARE;
  if (point.sizes) return launch + bySizes(point, known);
  return byWork(point, known);
}

/** Share of the roofline that is assumed where nothing was measured. */
const UNMEASURED_SHARE = 0.5;

/** Milliseconds at the adapter's peaks. */
export function idealMs({ flops, bytes }: Pick<OpPoint, "flops" | "bytes">, peaks: Peaks): number {
  return Math.max(flops / peaks.f32_gflops, bytes / peaks.copy_gbps) / 1e6;
}

/** By the rates of runs of like sizes. */
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

/** On the line through what was measured, by the work. */
function byWork(point: OpPoint, known: readonly OpPoint[]): number {
  const work = (one: OpPoint) => one.flops + one.bytes;
  const [small, large] = [known[0], known.at(-1)!].sort((a, b) => work(a) - work(b));
  const ratio = (one: OpPoint) => Math.max(one.bytes / large.bytes, large.flops > 0 ? one.flops / large.flops : 0);
  if (small === large) return large.ms * ratio(point);
  const [x, x0] = [ratio(point), ratio(small)];
  if (x >= 1) return large.ms * x;
  if (x <= x0) return small.ms;
  return small.ms + (large.ms - small.ms) * (x - x0) / (1 - x0);
}
