/**
 * Which neighbouring nodes are joined, in this order. Matrix products end with what follows them: an activation, its gradient, the
 * addition of another gradient; and that of a weight sums its rows for the bias. Every value that is read elsewhere stays.
 */

import type { Fusion, Neighbours } from "../fuse.ts";
import { nodeLike } from "../fuse.ts";
import { baseOf, Graph, type Node, sizeOf, type Tensor } from "../graph.ts";
import { isUseOf, type Op } from "../op.ts";
import { activationOf } from "./activation.ts";
import { addOp, addWindowOp } from "./add.ts";
import { batchNormBackwardOp } from "./batch_norm.ts";
import { layerNormBackwardOp } from "./layer_norm.ts";
import { type MatmulAttrs, matmulOp } from "./linear.ts";
import { sliceOp } from "./memory.ts";
import { sumRowsOp } from "./reduce.ts";
import { sharedNormBackwardOp } from "./shared_batch_norm.ts";
import { splitTokensOp } from "./tokens.ts";
import { reshape } from "./views.ts";

type Product = Node & { readonly attrs: MatmulAttrs };

/** The product of whole sums that makes `tensor` and does nothing else with it yet. */
function productOf(tensor: Tensor, near: Neighbours): Product | null {
  const node = near.producerOf(tensor);
  if (!node || !isUseOf(node, matmulOp)) return null;
  const { splitK, sumsRows, activation, dtype } = node.attrs;
  const isPlain = splitK === 1 && !sumsRows && activation === "none" && dtype === "f32" &&
    !node.inputs.residual;
  return isPlain ? node : null;
}

/**
 * activation(x · W + b): the product applies it. What it is applied to is kept where its gradient reads that. Not where that is
 * recomputed, which is where plans have their peak: the product would hold its input beside both. QuickGELU alone is joined there too, as its
 * own kernel rounds otherwise, and recomputed values are the bits of the first ones.
 */
const endWithActivation: Fusion = (node, near) => {
  const use = activationOf(node);
  if (!use || use.isGradient) return;
  const { x } = node.inputs, product = productOf(x, near);
  if (!product) return;
  const keepsPreactivation = !near.isOnlyFor(x, node);
  if (keepsPreactivation && product.phase === "backward" && use.activation !== "quickGelu") return;
  const joined = nodeLike(product, matmulOp, {
    inputs: product.inputs,
    attrs: { ...product.attrs, activation: use.activation, keepsPreactivation },
    outputs: {
      out: node.outputs.out,
      ...keepsPreactivation && { preactivation: product.outputs.out },
    },
  });
  near.replace([product, node], { at: product, by: [joined] });
};

/** (d · W) ∘ activation′(x): the product multiplies. */
const endWithSlope: Fusion = (node, near) => {
  const use = activationOf(node);
  if (!use?.isGradient) return;
  const { x, dOut } = node.inputs, product = productOf(dOut, near);
  if (!product || product.inputs.bias || !near.isOnlyFor(dOut, node) || baseOf(x) === baseOf(dOut)) return;
  if (x.dtype !== "f32" || x.shape.at(-1) !== product.outputs.out.shape.at(-1)) return;
  const joined = nodeLike(node, matmulOp, {
    inputs: { ...product.inputs, preactivation: x },
    attrs: { ...product.attrs, activation: use.activation },
    outputs: { out: node.outputs.out },
  });
  near.replace([product, node], { at: node, by: [joined] });
};

/** dᵀ · x, the gradient of a weight, beside the sums of d over its rows, that of the bias. */
const sumRowsAlong: Fusion = (node, near) => {
  if (!isUseOf(node, sumRowsOp) || node.attrs.factor !== 1 || node.axes.A !== 1) return;
  const { x } = node.inputs;
  const product = near.readersOf(x).find((reader) =>
    isUseOf(reader, matmulOp) && reader.attrs.transposeA && !reader.attrs.sumsRows &&
    reader.inputs.a.shape.length === 2 &&
    reader.inputs.a.dtype === "f32" && reader.inputs.a.offset === x.offset &&
    sizeOf(reader.inputs.a.shape) === sizeOf(x.shape) && reader.inputs.a.shape.at(-1) === x.shape.at(-1)
  );
  if (!product || !near.isBefore(product, node)) return;
  const { splitK } = product.attrs as MatmulAttrs, { out } = product.outputs;
  const joined = nodeLike(product, matmulOp, {
    inputs: product.inputs,
    attrs: { ...product.attrs, sumsRows: true },
    outputs: { out, ...splitK === 1 && { sums: node.outputs.out } },
  });
  const total = () =>
    nodeLike(node, sumRowsOp, {
      inputs: { x: asOne(joined.outputs.sums) },
      attrs: node.attrs,
      outputs: { out: node.outputs.out },
    });
  near.replace([product, node], { at: product, by: splitK === 1 ? [joined] : [joined, total()] });
};

/** Ops whose `dx` may have a `residual` added. */
const NORM_GRADIENTS: readonly Op[] = [layerNormBackwardOp, batchNormBackwardOp, sharedNormBackwardOp];

/** Adds what another path brings to a gradient where that is made, by the later of the two. */
const endWithAddition: Fusion = (node, near) => {
  if (!isUseOf(node, addOp) || node.attrs.alpha !== 1 || node.attrs.beta !== 1) return;
  const { x, y } = node.inputs, { out } = node.outputs;
  if ([x, y, out].some((tensor) => tensor.dtype !== "f32")) return;
  for (const [made, residual] of [[y, x], [x, y]]) {
    const maker = near.producerOf(made);
    if (!maker || !near.isOnlyFor(made, node) || !near.isThereBefore(residual, maker)) continue;
    const product = productOf(made, near), columns = made.shape.at(-1);
    if (
      residual.shape.at(-1) !== columns || maker.outputs[product ? "out" : "dx"]?.shape.at(-1) !== columns
    ) continue;
    if (product) {
      const { inputs, attrs } = product;
      const joined = nodeLike(product, matmulOp, {
        inputs: { ...inputs, residual },
        attrs,
        outputs: { out },
      });
      return near.replace([maker, node], { at: maker, by: [joined] });
    }
    if (NORM_GRADIENTS.includes(maker.op) && !maker.inputs.residual) {
      const joined = nodeLike(maker, maker.op, {
        inputs: { ...maker.inputs, residual },
        attrs: maker.attrs,
        outputs: { ...maker.outputs, dx: out },
      });
      return near.replace([maker, node], { at: maker, by: [joined] });
    }
  }
};

/** Adds a part of a tensor, such as the patches among the tokens of a frame, where it stands: it is not copied out for that. */
const addPart: Fusion = (node, near) => {
  if (!isUseOf(node, addOp)) return;
  const { x, y } = node.inputs, { alpha, beta } = node.attrs, { out } = node.outputs;
  if (x.dtype !== "f32" || y.dtype !== "f32" || out.dtype !== "f32") return;
  for (
    const [part, other, factors] of [[y, x, { alpha, beta }], [x, y, { alpha: beta, beta: alpha }]] as const
  ) {
    const maker = near.producerOf(part), range = maker && rangeOf(maker);
    if (!maker || !range || !near.isOnlyFor(part, node) || baseOf(other) === baseOf(part)) continue;
    if (
      baseOf(part) !== (maker.outputs.patches ?? maker.outputs.out) ||
      baseOf(other) === baseOf(maker.inputs.x)
    ) continue;
    const { shape } = maker.inputs.x, inner = sizeOf(shape.slice(range.axis + 1));
    const joined = nodeLike(node, addWindowOp, {
      inputs: { x: other, y: maker.inputs.x },
      attrs: {
        ...factors,
        run: range.length * inner,
        row: shape[range.axis] * inner,
        start: range.start * inner,
      },
      outputs: { out },
    });
    const { token } = maker.outputs,
      isTokenRead = token && (near.isKept(token) || near.readersOf(token).length > 0);
    if (isTokenRead) {
      const attrs = { axis: 1, start: 0, length: 1 };
      const first = nodeLike(maker, sliceOp, { inputs: maker.inputs, attrs, outputs: { out: token } });
      near.replace([maker], { at: maker, by: [first] });
      return near.replace([node], { at: node, by: [joined] });
    }
    return near.replace([maker, node], { at: node, by: [joined] });
  }
};

/** Which range of its input a node copies out: a slice, or the patches of tokens. */
function rangeOf(node: Node): { axis: number; start: number; length: number } | null {
  if (isUseOf(node, sliceOp)) return node.attrs;
  return node.op === splitTokensOp ? { axis: 1, start: 1, length: node.inputs.x.shape[1] - 1 } : null;
}

/** [S M] → [1 S M]. */
const asOne = (sums: Tensor): Tensor => reshape(new Graph(), sums, [1, ...sums.shape]);

/** All of them. */
export const FUSIONS: readonly Fusion[] = [
  endWithActivation,
  endWithSlope,
  sumRowsAlong,
  endWithAddition,
  addPart,
];
