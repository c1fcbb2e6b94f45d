/** ONNX forms of products: matrices, convolutions, attention, and the rotation of queries and keys. */

import { attribute, fixed, fixedAll, type Form, form, type Use } from "../form.ts";
import type { OnnxWriter } from "../writer.ts";
import { ACTIVATION_FORMS } from "./elementwise.ts";
import { sliced } from "./layout.ts";

/** C = activation(op(A) · op(B) + bias) + residual: of matrices what ONNX calls Gemm, else a product of batches. */
function matmul(w: OnnxWriter, use: Use): string {
  const { a, b, bias, residual } = use.inputs, isFlat = a.shape.length === 2;
  if (attribute<number>(use, "splitK") > 1) {
    throw new RangeError('Cannot export op "matmul": a sum in parts belongs to the backward pass');
  }
  const transA = attribute<boolean>(use, "transposeA"), transB = attribute<boolean>(use, "transposeB");
  let product: string;
  if (isFlat) {
    const operands = [w.read(a), w.read(b), ...bias ? [w.read(bias)] : []];
    product = w.op("Gemm", operands, { transA: Number(transA), transB: Number(transB) });
  } else {
    const last = a.shape.length - 1, perm = a.shape.map((_, axis) => axis);
    const turned = perm.with(last, last - 1).with(last - 1, last);
    const operand = (name: string, turns: boolean) =>
      turns ? w.op("Transpose", [name], { perm: turned }) : name;
    product = w.op("MatMul", [operand(w.read(a), transA), operand(w.read(b), transB)]);
    if (bias) product = w.op("Add", [product, w.read(bias)]);
  }
  const activated = ACTIVATION_FORMS[attribute<string>(use, "activation")](w, product);
  return residual ? w.op("Add", [activated, w.read(residual)]) : activated;
}

/** softmax(q · keysᵀ / sqrt(head size)) · values, head by head. */
function attention(w: OnnxWriter, use: Use): string {
  const { inputs: { q, kv }, outputs: { out } } = use;
  const heads = attribute<number>(use, "heads"), skipped = attribute<number>(use, "queryStart");
  const [Q, D] = fixedAll(q.shape.slice(1), use),
    S = fixed(kv.shape[1], use),
    size = D / heads,
    B = q.shape[0];
  const byHead = (name: string, rows: number, perm: number[]) =>
    w.op("Transpose", [w.reshaped(name, [B, rows, heads, size])], { perm });
  const asked = skipped === 0 ? w.read(q) : sliced(w, w.read(q), 1, [skipped, Q]);
  const [keys, values] = w.ops("Split", [w.read(kv), w.ints([D, D])], { axis: 2 }, 2);
  const queries = w.op("Mul", [byHead(asked, Q - skipped, [0, 2, 1, 3]), w.float(1 / Math.sqrt(size))]);
  let scores = w.op("MatMul", [queries, byHead(keys, S, [0, 2, 3, 1])]); // [B h Q S]
  if (attribute<boolean>(use, "causal")) scores = w.op("Add", [scores, causalMask(w, { Q, S, skipped })]);
  const mixed = w.op("MatMul", [w.op("Softmax", [scores], { axis: -1 }), byHead(values, S, [0, 2, 1, 3])]);
  return w.reshaped(w.op("Transpose", [mixed], { perm: [0, 2, 1, 3] }), out);
}

/** 0 where a query sees a key, and so low elsewhere that nothing is left of it. */
function causalMask(w: OnnxWriter, { Q, S, skipped }: { Q: number; S: number; skipped: number }): string {
  const rows = Q - skipped;
  const values = Float32Array.from(
    { length: rows * S },
    (_, i) => i % S <= skipped + Math.floor(i / S) ? 0 : -1e30,
  );
  return w.floats(`causal_mask.${rows}x${S}.${skipped}`, [rows, S], values);
}

/** Dense convolution in time and space of x [B T P C], whose weight has its taps in front of the channels. */
function convolution(w: OnnxWriter, use: Use): string {
  const { inputs: { x, weight, bias, residual }, outputs: { out } } = use;
  const [height, width] = attribute<[number, number]>(use, "grid"),
    kernel = attribute<number[]>(use, "kernel");
  const [B, T, , D] = out, C = fixed(x.shape[3], use), half = kernel.map((size) => (size - 1) / 2);
  const clip = w.op("Transpose", [w.reshaped(w.read(x), [B, T, height, width, C])], {
    perm: [0, 4, 1, 2, 3],
  });
  const taps = w.op("Transpose", [w.reshaped(w.read(weight), [D, ...kernel, C])], { perm: [0, 4, 1, 2, 3] });
  const operands = [clip, taps, ...bias ? [w.read(bias)] : []];
  const result = w.op("Conv", operands, { kernel_shape: kernel, pads: [...half, ...half] });
  const back = w.reshaped(w.op("Transpose", [result], { perm: [0, 2, 3, 4, 1] }), out);
  return residual ? w.op("Add", [back, w.read(residual)]) : back;
}

/** Convolution over time of every channel alone: x [B T P D] as pictures of T rows and P columns. */
function temporalConv(w: OnnxWriter, use: Use): string {
  const { x, weight, bias } = use.inputs, [D, taps] = fixedAll(weight.shape, use), half = (taps - 1) / 2;
  const pictures = w.op("Transpose", [w.read(x)], { perm: [0, 3, 1, 2] });
  const kernel = w.reshaped(w.read(weight), [D, 1, taps, 1]);
  const attributes = { group: D, kernel_shape: [taps, 1], pads: [half, 0, half, 0] };
  const result = w.op("Conv", [pictures, kernel, w.read(bias)], attributes);
  return w.op("Transpose", [result], { perm: [0, 2, 3, 1] });
}

/** Pairs of channels turned by the angles of their places, which the op's own definition tells: what it makes of pairs (1, 0). */
function rope(w: OnnxWriter, use: Use): string {
  const { inputs: { x }, outputs: { out }, recorded: [node] } = use, [N, E] = fixedAll(out.slice(1), use);
  const pairs = N * E / 2, ones = Float64Array.from({ length: N * E }, (_, i) => 1 - i % 2);
  const context = { inputs: node.inputs, attrs: node.attrs, axes: { ...node.axes, B: 1 }, outputs: {} };
  const { out: turned } = node.op.reference({ x: ones }, context);
  const key = Object.entries(node.attrs).map(([name, value]) => `${name}_${value}`).join(".");
  const table = (name: string, at: number) =>
    w.floats(
      `rope.${name}.${N}x${E}.${key}`,
      [N, E / 2, 1],
      Float32Array.from({ length: pairs }, (_, i) => turned[2 * i + at]),
    );
  const apart = w.reshaped(w.read(x), [out[0], N, E / 2, 2]), cos = table("cos", 0), sin = table("sin", 1);
  const [first, second] = w.ops("Split", [apart, w.ints([1, 1])], { axis: 3 }, 2);
  const product = (a: string, b: string) => w.op("Mul", [a, b]);
  const together = w.op("Concat", [
    w.op("Sub", [product(first, cos), product(second, sin)]),
    w.op("Add", [product(second, cos), product(first, sin)]),
  ], { axis: 3 });
  return w.reshaped(together, out);
}

export const PRODUCT_FORMS: Readonly<Record<string, Form>> = {
  matmul: form(matmul),
  attention: form(attention),
  convolution: form(convolution),
  temporalConv: form(temporalConv),
  rope: form(rope),
};
