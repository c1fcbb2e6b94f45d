/** Clipping of every tensor's gradient by its own norm, in flat memory; it stops differentiation. */

import clipSource from "./clip_tensors.wgsl" with { type: "text" };
import squaresSource from "./tensor_squares.wgsl" with { type: "text" };
import { DTYPE_BYTES, type Graph, sizeOf, type Tensor } from "../graph.ts";
import { defineOp } from "../op.ts";

/** Workgroups of a tensor, and vectors of four starts that a uniform holds. */
const PARTS = 32, STARTS = 257;
/** Most tensors of one launch: the end of the last one is a start too. */
const MAX_TENSORS = 4 * STARTS - 1;

/** The tensors of a launch. */
type ClipTensorsAttrs = {
  /** First element of every tensor, ascending; each ends where the next begins, the last at the end. */
  starts: readonly number[];
  maxNorm: number;
};

const clipTensorsOp = defineOp<ClipTensorsAttrs>({
  name: "clipTensors",
  inputs: { grad: "*R", clip: "1" },
  attrs: { starts: [0], maxNorm: 1 },
  updates: ["grad"],
  outputs: ({ attrs }) => ({ partials: { shape: [attrs.starts.length, PARTS] } }),
  dispatches: ({ inputs: { grad, clip }, outputs: { partials }, axes, attrs: { starts, maxNorm } }) => {
    const bytes = new ArrayBuffer(16 * STARTS + 16); // a struct is padded to its largest alignment
    new Uint32Array(bytes).set([...starts, axes.R]);
    new Float32Array(bytes)[4 * STARTS] = maxNorm;
    const shared = { constants: { PARTS, STARTS }, grid: [PARTS, starts.length, 1] as const };
    return [
      {
        label: "clipTensors.squares",
        source: squaresSource,
        tensors: [grad, partials],
        params: bytes.slice(0, 16 * STARTS),
        ...shared,
      },
      { label: "clipTensors", source: clipSource, tensors: [partials, clip, grad], params: bytes, ...shared },
    ];
  },
  gradient: "stop",
  reference: (arrays, { attrs: { starts, maxNorm } }) => {
    const grad = arrays.grad.slice(), partials = new Float64Array(starts.length * PARTS), run = 64;
    starts.forEach((start, k) => {
      const tensor = grad.subarray(start, starts[k + 1] ?? grad.length);
      tensor.forEach((value, i) => partials[k * PARTS + Math.floor(i / run) % PARTS] += value * value);
      const norm = Math.sqrt(partials.subarray(k * PARTS, (k + 1) * PARTS).reduce((a, b) => a + b));
      const factor = Math.min(1, maxNorm / (norm * arrays.clip[0] + 1e-6));
      tensor.forEach((value, i) => tensor[i] = factor * value);
    });
    return { grad, partials };
  },
  flops: ({ axes }) => 3 * axes.R,
});

/**
 * Brings every tensor of flat memory down to a norm of its own, in place, by `min(1, maxNorm / (norm · clip + 1e-6))`.
 *
 * @param options.starts First element of every tensor, ascending from 0; each ends where the next begins, the last at the end.
 * @param options.clip `[1]`: a factor that the update applies to all of them.
 * @param options.maxBytes Most bytes that one launch may bind; cut between tensors.
 */
export function clipTensors(
  g: Graph,
  grad: Tensor,
  options: { starts: readonly number[]; clip: Tensor; maxNorm: number; maxBytes: number },
): void {
  const { starts, clip, maxNorm, maxBytes } = options, end = sizeOf(grad.shape);
  for (let first = 0; first < starts.length;) {
    let last = first + 1; // the first tensor of another launch
    const endOf = (k: number) => starts[k + 1] ?? end;
    while (
      last < starts.length && last - first < MAX_TENSORS &&
      (endOf(last) - starts[first]) * DTYPE_BYTES.f32 <= maxBytes
    ) last++;
    const from = starts[first], size = endOf(last - 1) - from;
    g.record(
      clipTensorsOp,
      { grad: g.view(grad, [size], { offset: from }), clip },
      { starts: starts.slice(first, last).map((start) => start - from), maxNorm },
    );
    first = last;
  }
}
