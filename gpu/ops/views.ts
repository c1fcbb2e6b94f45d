/**
 * Ops that only re-label memory (reshape, a window of leading rows), and the joining of windows back into one tensor,
 * which is what the gradient of several windows needs.
 */

import copySource from "./copy_window.wgsl" with { type: "text" };
import fillSource from "./fill.wgsl" with { type: "text" };
import type { Graph, Tensor } from "../graph.ts";
import { BINDING_ALIGNMENT, DTYPE_BYTES, sizeOf } from "../graph.ts";
import { defineOp, type Dispatch, grid1d, recordOne } from "../op.ts";
import { flatDispatch, floatType } from "./_dispatch.ts";

const WG_SIZE = 256;
const MAX_PARTS = 16;

const reshapeOp = defineOp<{ shape: readonly number[] }>({
  name: "reshape",
  inputs: { x: "*R" },
  attrs: { shape: [] },
  outputs: ({ attrs }) => ({ out: { shape: attrs.shape } }),
  view: ({ attrs }) => ({ shape: attrs.shape, offset: 0 }),
  dispatches: () => [],
  gradient: ({ g, inputs, grads }) => ({ x: reshape(g, grads.out, inputs.x.shape) }),
  reference: ({ x }) => ({ out: x }),
});

/** The same elements under another shape; one axis may be −1. No copy. */
export function reshape(g: Graph, x: Tensor, shape: readonly number[]): Tensor {
  const known = shape.filter((n) => n !== -1).reduce((a, b) => a * b, 1);
  const full = shape.map((n) => (n === -1 ? sizeOf(x.shape) / known : n));
  if (sizeOf(full) !== sizeOf(x.shape)) {
    throw new RangeError(
      `Cannot reshape "${x.label}": [${shape}] must hold ${
        sizeOf(x.shape)
      } elements, current shape is [${x.shape}]`,
    );
  }
  if (full.length === x.shape.length && full.every((n, i) => n === x.shape[i])) return x;
  return recordOne(g, reshapeOp, { x }, { shape: full });
}

/** A window of rows: its shape, and where it starts in elements. */
type RowsAttrs = { shape: readonly number[]; offset: number };

const sliceRowsOp = defineOp<RowsAttrs>({
  name: "sliceRows",
  inputs: { x: "*R" },
  attrs: { shape: [], offset: 0 },
  outputs: ({ attrs }) => ({ out: { shape: attrs.shape } }),
  view: ({ attrs }) => ({ shape: attrs.shape, offset: attrs.offset }),
  dispatches: () => [],
  gradient: ({ grads, attrs }) => ({ x: { partial: grads.out, offset: attrs.offset } }),
  reference: ({ x }, { attrs }) => ({
    out: x.slice(attrs.offset, attrs.offset + sizeOf(attrs.shape)),
  }),
});

const sliceRowsCopyOp = defineOp<RowsAttrs>({
  name: "sliceRowsCopy",
  inputs: { x: "*R" },
  attrs: { shape: [], offset: 0 },
  outputs: ({ inputs, attrs }) => ({ out: { shape: attrs.shape, dtype: inputs.x.dtype } }),
  dispatches: (
    { inputs, outputs, attrs },
  ) => [
    copyWindow(inputs.x, outputs.out, {
      first_in: attrs.offset,
      first_out: 0,
      count: sizeOf(outputs.out.shape),
    }),
  ],
  gradient: ({ grads, attrs }) => ({ x: { partial: grads.out, offset: attrs.offset } }),
  reference: ({ x }, { attrs }) => ({
    out: x.slice(attrs.offset, attrs.offset + sizeOf(attrs.shape)),
  }),
});

/** Rows `start … start + rows` of the leading axis: a window where the binding alignment allows it, else a copy. */
export function sliceRows(g: Graph, x: Tensor, options: { start: number; rows: number }): Tensor {
  const { start, rows } = options;
  if (start < 0 || rows < 1 || start + rows > x.shape[0]) {
    throw new RangeError(
      `Cannot slice "${x.label}": rows ${start} to ${start + rows} must lie within shape [${x.shape}]`,
    );
  }
  const row = sizeOf(x.shape.slice(1));
  const attrs = { shape: [rows, ...x.shape.slice(1)], offset: start * row };
  const aligned = ((x.offset + attrs.offset) * DTYPE_BYTES[x.dtype]) % BINDING_ALIGNMENT === 0;
  return recordOne(g, aligned ? sliceRowsOp : sliceRowsCopyOp, { x }, attrs);
}

function copyWindow(
  x: Tensor,
  out: Tensor,
  window: { first_in: number; first_out: number; count: number },
): Dispatch {
  return {
    label: "copyWindow",
    source: copySource,
    constants: { WG_SIZE },
    aliases: { x_t: floatType(x), out_t: floatType(out) },
    tensors: [x, out],
    params: window,
    grid: grid1d(Math.ceil(window.count / WG_SIZE)),
  };
}

const partInputs = Object.fromEntries(Array.from({ length: MAX_PARTS }, (_, i) => [`x${i}?`, `*R${i}`]));

const joinWindowsOp = defineOp<{ shape: readonly number[]; offsets: readonly number[] }>({
  name: "joinWindows",
  inputs: partInputs,
  attrs: { shape: [], offsets: [] },
  outputs: ({ attrs, inputs }) => ({ out: { shape: attrs.shape, dtype: inputs.x0.dtype } }),
  dispatches: ({ inputs, outputs, attrs }) => {
    const parts = attrs.offsets.map((to, i) => ({ to, part: inputs[`x${i}`] }));
    const size = sizeOf(attrs.shape), filled = parts.reduce((sum, { part }) => sum + sizeOf(part.shape), 0);
    return [
      ...filled < size
        ? [flatDispatch("fill", fillSource, {
          tensors: { out: outputs.out },
          params: { value: 0 },
          count: size,
        })]
        : [],
      ...parts.map(({ to, part }) =>
        copyWindow(part, outputs.out, { first_in: 0, first_out: to, count: sizeOf(part.shape) })
      ),
    ];
  },
  gradient: "none",
  reference: (arrays, { attrs }) => {
    const out = new Float64Array(sizeOf(attrs.shape));
    attrs.offsets.forEach((to, i) => out.set(arrays[`x${i}`], to));
    return { out };
  },
});

/**
 * A tensor of `shape` made of windows, with zeros where none lies: the gradient of what only parts of a tensor are read of.
 *
 * @throws {RangeError} when the windows overlap or are too many.
 */
export function joinWindows(
  g: Graph,
  parts: readonly { tensor: Tensor; offset: number }[],
  shape: readonly number[],
): Tensor {
  const sorted = [...parts].sort((a, b) => a.offset - b.offset);
  let end = 0;
  for (const part of sorted) {
    if (part.offset < end) {
      throw new RangeError(
        `Cannot join windows into [${shape}]: the next one must start at element ${end} or later, current start is ${part.offset}`,
      );
    }
    end = part.offset + sizeOf(part.tensor.shape);
  }
  if (end > sizeOf(shape) || sorted.length > MAX_PARTS) {
    throw new RangeError(
      `Cannot join windows into [${shape}]: at most ${MAX_PARTS} must lie within it, current end is element ${end} of ${sorted.length}`,
    );
  }
  const inputs = Object.fromEntries(sorted.map((part, i) => [`x${i}`, part.tensor]));
  return recordOne(g, joinWindowsOp, inputs, { shape, offsets: sorted.map((part) => part.offset) });
}
