/**
 * Rotary position embedding on a square grid of patches (Su et al. 2021, arXiv 2104.09864, in the two-dimensional form of
 * EVA-02, Fang et al. 2023, arXiv 2303.11331).
 *
 * Channels 2m and 2m + 1 of a head are turned by one angle: in the first half of the head by the patch's row times a
 * frequency, in the second half by its column. Gradient: dx overwrites, turned back.
 */

import source from "./rope.wgsl" with { type: "text" };
import type { Graph, Tensor } from "../graph.ts";
import { sizeOf } from "../graph.ts";
import { defineOp, type Dispatch, grid1d, type Op, type OpContext, recordOne } from "../op.ts";
import { floatType } from "./_dispatch.ts";

const WG_SIZE = 256;
/** Base of the geometric series of frequencies, as published. */
const BASE = 10_000;
/** The guaranteed size of a uniform binding, in bytes. */
const MAX_UNIFORM_BYTES = 65_536;
const HEADER_BYTES = 32;

const DEFAULTS = { heads: 1, columns: 0, grid: 1, span: 1, reverse: false };

/** Sizes of one use, checked. */
interface Sizes {
  headSize: number;
  /** Frequencies of each of the two axes. */
  frequencies: number;
  /** Columns that are turned. */
  columns: number;
  /** Tokens before the patches. */
  skipped: number;
  grid: number;
  /** Distance of the grid's two ends, in units of the frequencies. */
  span: number;
  direction: 1 | -1;
}

function sizesOf({ attrs, axes: { N, E } }: OpContext<typeof DEFAULTS>): Sizes {
  const { heads, columns, grid, span, reverse } = attrs;
  const headSize = columns / heads, skipped = N - grid * grid;
  if (!Number.isInteger(headSize / 4) || columns > E || E % 2 !== 0) {
    throw new RangeError(
      `Cannot record rope: a head must be a multiple of 4 of at most ${E} columns, current values are ${columns} columns and ${heads} heads`,
    );
  }
  if (skipped < 0) {
    throw new RangeError(
      `Cannot record rope: axis N must hold the grid's ${grid * grid} patches, current value is ${N}`,
    );
  }
  const sizes: Sizes = {
    headSize,
    frequencies: headSize / 4,
    columns,
    skipped,
    grid,
    span,
    direction: reverse ? -1 : 1,
  };
  if (HEADER_BYTES + 16 * entriesOf(sizes) > MAX_UNIFORM_BYTES) {
    throw new RangeError(
      `Cannot record rope: grid · head size must be at most ${
        (MAX_UNIFORM_BYTES - HEADER_BYTES) / 2
      }, current values are ${grid} and ${headSize}`,
    );
  }
  return sizes;
}

/** Vectors of the kernel's table: two angles each. */
function entriesOf({ grid, frequencies }: Sizes): number {
  return Math.ceil(grid * frequencies / 2);
}

/** Angle of a place on one axis of the grid. */
function angleOf({ grid, span, frequencies }: Sizes, place: number, frequency: number): number {
  return place / grid * span * BASE ** (-frequency / frequencies);
}

function paramsOf(sizes: Sizes, { N, E }: Readonly<Record<string, number>>, count: number): ArrayBuffer {
  const bytes = new ArrayBuffer(HEADER_BYTES + 16 * entriesOf(sizes));
  const { headSize, columns, skipped, grid, direction, frequencies } = sizes;
  new Uint32Array(bytes).set([count, E / 2, columns / 2, headSize / 2, N, skipped, grid]);
  new Float32Array(bytes)[7] = direction;
  const table = new Float32Array(bytes, HEADER_BYTES);
  for (let place = 0; place < grid; place++) {
    for (let f = 0; f < frequencies; f++) {
      const angle = angleOf(sizes, place, f), at = 2 * (place * frequencies + f);
      table[at] = Math.cos(angle);
      table[at + 1] = Math.sin(angle);
    }
  }
  return bytes;
}

const ropeOp: Op<typeof DEFAULTS> = defineOp({
  name: "rope",
  inputs: { x: "B N E" },
  attrs: DEFAULTS,
  outputs: ({ inputs }) => ({ out: { shape: inputs.x.shape, dtype: inputs.x.dtype } }),
  dispatches: (context): Dispatch[] => {
    const { inputs: { x }, outputs: { out }, axes } = context;
    const sizes = sizesOf(context), count = sizeOf(x.shape) / 2;
    return [{
      label: "rope",
      source,
      constants: { WG_SIZE, ENTRIES: entriesOf(sizes) },
      aliases: { x_t: floatType(x), out_t: floatType(out) },
      tensors: [x, out],
      params: paramsOf(sizes, axes, count),
      grid: grid1d(Math.ceil(count / WG_SIZE)),
    }];
  },
  gradient: ({ g, grads, attrs }) => ({
    x: recordOne(g, ropeOp, { x: grads.out }, { ...attrs, reverse: !attrs.reverse }),
  }),
  reference: ({ x }, context) => {
    const sizes = sizesOf(context), { B, N, E } = context.axes;
    const { columns, headSize, frequencies, skipped, grid, direction } = sizes;
    const out = x.slice();
    for (let b = 0; b < B; b++) {
      for (let p = 0; p < grid * grid; p++) {
        for (let column = 0; column < columns; column += 2) {
          const pair = column % headSize / 2;
          const place = pair < frequencies ? Math.floor(p / grid) : p % grid;
          const angle = direction * angleOf(sizes, place, pair % frequencies);
          const at = (b * N + skipped + p) * E + column;
          out[at] = x[at] * Math.cos(angle) - x[at + 1] * Math.sin(angle);
          out[at + 1] = x[at + 1] * Math.cos(angle) + x[at] * Math.sin(angle);
        }
      }
    }
    return { out };
  },
  flops: ({ inputs }) => 3 * sizeOf(inputs.x.shape),
});

/**
 * Turns queries or keys by the places of their patches on a square grid; tokens before the patches stay as they are.
 *
 * @param x `[B N E]`, the last grid² tokens of a row being patches in raster order.
 * @param options.heads Heads of the turned columns; a head is a multiple of 4 wide.
 * @param options.columns Columns that are turned, the first ones: keys in front of values. Default all.
 * @param options.grid Patches of one side.
 * @param options.span Places run from 0 to span · (grid − 1) / grid.
 * @returns `[B N E]`.
 */
export function rope(
  g: Graph,
  x: Tensor,
  options: { heads: number; columns?: number; grid: number; span: number },
): Tensor {
  return recordOne(g, ropeOp, { x }, { ...options, columns: options.columns ?? x.shape[2] });
}
