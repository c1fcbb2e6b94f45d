/**
 * Dense convolution of clips in time and space, channels last, zero padded so that frames and positions stay: a product of every
 * position's neighbours with the flattened kernel. The matrix of neighbours is many times the input; it is made for a part of the
 * positions at a time and made over, in the gradients as well.
 *
 * Gradients overwrite. That of x is the convolution of dOut with the kernel turned round.
 */

import source from "./convolution_columns.wgsl" with { type: "text" };
import type { Graph, Tensor } from "../graph.ts";
import { baseOf, sizeOf } from "../graph.ts";
import { type Arrays, defineOp, type Dispatch, type Op, type OpContext, recordOne } from "../op.ts";
import { flatDispatch } from "./_dispatch.ts";
import { add } from "./add.ts";
import { productDispatch, productOverRows } from "./linear.ts";
import { permute } from "./permute.ts";
import { columnSum } from "./reduce.ts";
import { reshape, sliceRows } from "./views.ts";

const WG_SIZE = 64, RUN = 4;

/** Elements of the matrix of neighbours that may lie in memory at once: 32 MiB, enough to keep a GPU busy (a guess). */
const MOST_COLUMNS = 1 << 23;
/** Rows of a part are a multiple of so many, so that windows of rows of any width begin at binding boundaries. */
const ROW_STEP = 64;

/** Geometry of a convolution. */
type Geometry = {
  /** Rows and columns of positions: P is their product. */
  readonly grid: readonly [number, number];
  /** Frames, rows and columns of the kernel, all odd. */
  readonly kernel: readonly [number, number, number];
};

type ConvolutionAttrs = Geometry & {
  /** Most elements of the matrix of neighbours. */
  columns: number;
};

const DEFAULTS: ConvolutionAttrs = { grid: [1, 1], kernel: [1, 1, 1], columns: MOST_COLUMNS };

/** Some positions, counted over all clips and frames. */
type Part = {
  first: number;
  rows: number;
};

/** All B · T · P positions in parts. */
function partsOf({ B, T, P, C }: OpContext["axes"], { kernel, columns }: ConvolutionAttrs): Part[] {
  const rows = B * T * P, each = Math.floor(columns / (sizeOf(kernel) * C * ROW_STEP)) * ROW_STEP;
  const most = Math.max(ROW_STEP, each);
  return Array.from({ length: Math.ceil(rows / most) }, (_, i) => ({
    first: i * most,
    rows: Math.min(most, rows - i * most),
  }));
}

function window(x: Tensor, shape: readonly number[], offset: number): Tensor {
  return { ...x, shape, base: baseOf(x), offset: x.offset + offset };
}

/** The launch that makes the neighbours of some positions. */
function columnsDispatch(
  x: Tensor,
  columns: Tensor,
  { first, rows, grid: [height, width], kernel }: Part & Geometry,
): Dispatch {
  const [, frames, , channels] = x.shape, runs = Math.ceil(channels / RUN);
  return flatDispatch("convolution.columns", source, {
    tensors: { x, columns },
    params: { first_row: first, channels, runs, frames, height, width, kernel },
    count: rows * sizeOf(kernel) * runs,
    wgSize: WG_SIZE,
  });
}

const convolutionOp: Op<ConvolutionAttrs> = defineOp({
  name: "convolution",
  inputs: { x: "B T P C", weight: "D M", "bias?": "D", "residual?": "B T P D" },
  attrs: DEFAULTS,
  outputs: ({ axes, attrs }) => {
    checkGeometry(axes, attrs);
    const { B, T, P, D, M } = axes;
    return {
      out: { shape: [B, T, P, D] },
      columns: { shape: [partsOf(axes, attrs)[0].rows, M], auxiliary: true },
    };
  },
  dispatches: ({ inputs: { x, weight, bias, residual }, outputs, axes, attrs, environment }) => {
    const { D, M } = axes;
    return partsOf(axes, attrs).flatMap((part): Dispatch[] => {
      const { first, rows } = part, columns = window(outputs.columns, [rows, M], 0);
      const rowsOf = (tensor: Tensor) => window(tensor, [rows, D], first * D);
      return [
        columnsDispatch(x, columns, { ...part, ...attrs }),
        productDispatch(
          { a: columns, b: weight, out: rowsOf(outputs.out), bias, residual: residual && rowsOf(residual) },
          { transposeB: true, environment },
        ),
      ];
    });
  },
  gradient: ({ g, inputs: { x, weight }, grads: { out: dOut }, axes, attrs, needs }) => {
    const { C, D } = axes;
    const turned = () => permute(g, reshape(g, weight, [D, -1, C]), [2, 1, 0], { reverse: 1 }); // [C taps D]
    return {
      x: needs("x")
        ? recordOne(g, convolutionOp, { x: dOut, weight: reshape(g, turned(), [C, -1]) }, attrs)
        : undefined,
      weight: needs("weight") ? weightGradient(g, x, dOut, attrs) : undefined,
      bias: needs("bias") ? columnSum(g, dOut) : undefined,
      residual: needs("residual") ? dOut : undefined,
    };
  },
  reference: (arrays, { axes, attrs, outputs }) => {
    const { D, M } = axes, { weight, bias, residual } = arrays;
    const out = new Float64Array(sizeOf(outputs.out.shape)),
      columns = new Float64Array(sizeOf(outputs.columns.shape));
    for (const part of partsOf(axes, attrs)) {
      referenceColumns(arrays, axes, { ...attrs, ...part }, columns);
      for (let i = 0; i < part.rows * D; i++) {
        const row = Math.floor(i / D), d = i % D, at = part.first * D + i;
        let sum = bias ? bias[d] : 0;
        for (let m = 0; m < M; m++) sum += weight[d * M + m] * columns[row * M + m];
        out[at] = residual ? sum + residual[at] : sum;
      }
    }
    return { out, columns };
  },
  flops: ({ axes: { B, T, P, D, M } }) => 2 * B * T * P * D * M,
});

const columnsOp = defineOp<Part & Geometry>({
  name: "convolutionColumns",
  inputs: { x: "B T P C" },
  attrs: { ...DEFAULTS, first: 0, rows: 1 },
  outputs: ({ axes: { C }, attrs: { rows, kernel } }) => ({ out: { shape: [rows, sizeOf(kernel) * C] } }),
  dispatches: ({ inputs, outputs, attrs }) => [columnsDispatch(inputs.x, outputs.out, attrs)],
  gradient: "none",
  reference: (arrays, { axes, attrs, outputs }) => {
    const out = new Float64Array(sizeOf(outputs.out.shape));
    referenceColumns(arrays, axes, attrs, out);
    return { out };
  },
});

/** dOutᵀ · neighbours, a part of the positions at a time: [D taps·C]. */
function weightGradient(g: Graph, x: Tensor, dOut: Tensor, attrs: ConvolutionAttrs): Tensor {
  const [B, T, P, C] = x.shape, { grid, kernel } = attrs;
  const rows = reshape(g, dOut, [B * T * P, -1]);
  return partsOf({ B, T, P, C }, attrs)
    .map((part) => {
      const columns = recordOne(g, columnsOp, { x }, { ...part, grid, kernel });
      return productOverRows(g, sliceRows(g, rows, { start: part.first, rows: part.rows }), columns);
    })
    .reduce((sum, one) => add(g, sum, one));
}

/** Fills `columns` with the neighbours of a part. */
function referenceColumns(
  { x }: Arrays,
  { T, P, C }: OpContext["axes"],
  { first, rows, grid: [H, W], kernel: [kt, kh, kw] }: Part & Geometry,
  columns: Float64Array,
): void {
  let at = 0;
  for (let row = first; row < first + rows; row++) {
    const clip = Math.floor(row / (T * P)), t = Math.floor(row / P) % T, p = row % P;
    for (let a = 0; a < kt; a++) {
      for (let b = 0; b < kh; b++) {
        for (let c = 0; c < kw; c++) {
          const frame = t + a - (kt - 1) / 2;
          const y = Math.floor(p / W) + b - (kh - 1) / 2, column = p % W + c - (kw - 1) / 2;
          const inside = frame >= 0 && frame < T && y >= 0 && y < H && column >= 0 && column < W;
          const from = (((clip * T + frame) * H + y) * W + column) * C;
          for (let channel = 0; channel < C; channel++) columns[at++] = inside ? x[from + channel] : 0;
        }
      }
    }
  }
}

function checkGeometry({ P, C, M }: OpContext["axes"], { grid, kernel }: Geometry): void {
  const [rows, columns] = grid;
  if (rows * columns !== P) {
    throw new RangeError(
      `Cannot record convolution: the grid must have ${P} positions, current grid is ${rows}x${columns}`,
    );
  }
  if (kernel.some((size) => size % 2 !== 1)) {
    throw new RangeError(
      `Cannot record convolution: sizes of the kernel must be odd, current kernel is ${kernel.join("x")}`,
    );
  }
  if (sizeOf(kernel) * C !== M) {
    throw new RangeError(
      `Cannot record convolution: the weight must have ${
        sizeOf(kernel)
      } taps of ${C} channels, current row is ${M}`,
    );
  }
}

/**
 * `out[b, t, y, x] = bias + Σ weight[:, :, i, j, k] · x[b, t + i − (kt − 1)/2, y + j − (kh − 1)/2, x + k − (kw − 1)/2] (+ residual)`,
 * what lies outside of the clip being zero: torch's Conv3d of stride 1 with padding k // 2.
 *
 * @param x `[B T P C]`, positions in raster order
 * @param options.weight `[D C kt kh kw]` as PyTorch stores it, with odd kernel sizes
 * @param options.grid Rows and columns of positions
 * @param options.residual Added last, `[B T P D]`
 * @returns `[B T P D]`
 */
export function convolution(
  g: Graph,
  x: Tensor,
  options: { weight: Tensor; bias?: Tensor; grid: readonly [number, number]; residual?: Tensor },
): Tensor {
  const { weight, bias, grid, residual } = options, [D, C, kt, kh, kw] = weight.shape;
  const kernel = [kt, kh, kw] as const, taps = sizeOf(kernel);
  // By taps, so that neighbouring channels of a neighbour lie side by side.
  const matrix = taps === 1 ? weight : permute(g, reshape(g, weight, [D, C, taps]), [0, 2, 1]); // [D taps C]
  const columns = Math.min(MOST_COLUMNS, Math.floor(g.maxTensorBytes / 4));
  return recordOne(g, convolutionOp, { x, weight: reshape(g, matrix, [D, taps * C]), bias, residual }, {
    grid,
    kernel,
    columns,
  });
}
