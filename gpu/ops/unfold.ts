/**
 * Patches as rows (im2col) in space and time, so that a convolution of a clip is a matrix product with its flattened
 * weight. A convolution of images is the case of one frame in time.
 *
 * Gradient: dx overwrites; every pixel sums the patch entries that read it.
 */

import source from "./unfold.wgsl" with { type: "text" };
import sourceDx from "./unfold_dx.wgsl" with { type: "text" };
import type { Dtype, Graph, Tensor } from "../graph.ts";
import { sizeOf } from "../graph.ts";
import { defineOp, grid1d, type OpContext, recordOne } from "../op.ts";
import { flatDispatch, floatType } from "./_dispatch.ts";

const WG_SIZE = 64;

/** Kernel geometry; triples are time, rows, columns. */
export interface UnfoldOptions {
  /** Frames of a clip; the leading axis of x is clips times frames. */
  frames: number;
  kernel: readonly [number, number, number];
  stride: readonly [number, number, number];
  padding: readonly [number, number, number];
  /** Storage type of the patches. Default: that of x. */
  dtype?: Dtype;
}

type UnfoldAttrs = Readonly<UnfoldOptions>;
type UnfoldDxAttrs = UnfoldAttrs & { shape: readonly number[] };

const ONE_PIXEL: UnfoldAttrs = { frames: 1, kernel: [1, 1, 1], stride: [1, 1, 1], padding: [0, 0, 0] };

const unfoldOp = defineOp<UnfoldAttrs>({
  name: "unfold",
  inputs: { x: "F C H W" },
  attrs: ONE_PIXEL,
  outputs: ({ inputs, axes, attrs }) => {
    const { rows, columns } = sizesOf(axes, attrs);
    return { out: { shape: [rows, columns], dtype: attrs.dtype ?? inputs.x.dtype } };
  },
  dispatches: ({ inputs, outputs, axes, attrs }) => {
    const { params, lines, columns } = sizesOf(axes, attrs);
    return [{
      label: "unfold",
      source,
      constants: { WG_SIZE },
      aliases: { x_t: floatType(inputs.x), out_t: floatType(outputs.out) },
      tensors: [inputs.x, outputs.out],
      params: { lines, ...params },
      grid: grid1d(lines * Math.ceil(columns / WG_SIZE)),
    }];
  },
  gradient: ({ g, inputs, grads, attrs }) => ({
    x: recordOne(g, dxOp, { dOut: grads.out }, { ...attrs, shape: inputs.x.shape }),
  }),
  reference: ({ x }, { axes, attrs }) => {
    const { rows, columns } = sizesOf(axes, attrs);
    const out = new Float64Array(rows * columns);
    forEachEntry(axes, attrs, (patch, pixel) => out[patch] = x[pixel]);
    return { out };
  },
});

const dxOp = defineOp<UnfoldDxAttrs>({
  name: "unfoldDx",
  inputs: { dOut: "R M" },
  attrs: { ...ONE_PIXEL, shape: [1, 1, 1, 1] },
  outputs: ({ inputs, attrs }) => ({
    out: { shape: attrs.shape, dtype: inputs.dOut.dtype },
  }),
  dispatches: ({ inputs, outputs, attrs }) => [
    flatDispatch("unfold.backward", sourceDx, {
      tensors: { dout: inputs.dOut, dx: outputs.out },
      params: sizesOf(imageAxes(attrs), attrs).params,
      count: sizeOf(outputs.out.shape),
      wgSize: WG_SIZE,
    }),
  ],
  gradient: "none",
  reference: ({ dOut }, { attrs }) => {
    const out = new Float64Array(sizeOf(attrs.shape));
    forEachEntry(imageAxes(attrs), attrs, (patch, pixel) => out[pixel] += dOut[patch]);
    return { out };
  },
  flops: ({ inputs }) => sizeOf(inputs.dOut.shape),
});

/**
 * The patches of clips, one a row.
 *
 * @param x `[B·T C H W]`, frame index `b·T + t`
 * @returns `[B·To·Ho·Wo, C·kt·kh·kw]`: rows ordered (b, t, row, column), columns as the flattened weight
 *   `[D, C, kt, kh, kw]` of a convolution.
 */
export function unfold(g: Graph, x: Tensor, options: UnfoldOptions): Tensor {
  const { frames } = options;
  if (x.shape[0] % frames !== 0) {
    throw new RangeError(
      `Cannot record unfold: axis F of "${x.label}" must be a multiple of ${frames} frames, current shape is [${x.shape}]`,
    );
  }
  return recordOne(g, unfoldOp, { x }, { ...options });
}

/** Sizes of the result, and the fields that both kernels share. */
function sizesOf({ F, C, H, W }: OpContext["axes"], attrs: UnfoldAttrs) {
  const { frames, kernel, stride, padding } = attrs;
  const [out_frames, out_height, out_width] = [frames, H, W].map((size, i) =>
    Math.floor((size + 2 * padding[i] - kernel[i]) / stride[i]) + 1
  );
  const lines = F / frames * out_frames * out_height, columns = C * sizeOf(kernel);
  return {
    lines,
    rows: lines * out_width,
    columns,
    outputSizes: [out_frames, out_height, out_width],
    params: {
      columns,
      frames,
      channels: C,
      height: H,
      width: W,
      out_frames,
      out_height,
      out_width,
      kernel,
      stride,
      padding,
    },
  };
}

function imageAxes(attrs: UnfoldDxAttrs): OpContext["axes"] {
  const [F, C, H, W] = attrs.shape;
  return { F, C, H, W };
}

/** Calls `visit(patch entry, pixel)` for every entry of every patch that lies in the clip. */
function forEachEntry(
  axes: OpContext["axes"],
  attrs: UnfoldAttrs,
  visit: (patch: number, pixel: number) => void,
): void {
  const { F, C, H, W } = axes, { frames: T, kernel, stride, padding } = attrs;
  const [out_frames, out_height, out_width] = sizesOf(axes, attrs).outputSizes;
  let patch = 0;
  for (let b = 0; b < F / T; b++) {
    for (let to = 0; to < out_frames; to++) {
      for (let row = 0; row < out_height; row++) {
        for (let column = 0; column < out_width; column++) {
          for (let c = 0; c < C; c++) {
            for (let kt = 0; kt < kernel[0]; kt++) {
              for (let kh = 0; kh < kernel[1]; kh++) {
                for (let kw = 0; kw < kernel[2]; kw++, patch++) {
                  const t = to * stride[0] + kt - padding[0];
                  const y = row * stride[1] + kh - padding[1], x = column * stride[2] + kw - padding[2];
                  if (t < 0 || t >= T || y < 0 || y >= H || x < 0 || x >= W) continue;
                  visit(patch, (((b * T + t) * C + c) * H + y) * W + x);
                }
              }
            }
          }
        }
      }
    }
  }
}
