/**
 * Matrix products: the linear layer with its fused epilogue, and the batched product its gradients are made of.
 * The kernels are a family of variants (`matmul_kernel.ts`); which one runs is a measured or a fixed choice.
 */

import type { Dtype, Graph, Tensor } from "../graph.ts";
import { sizeOf } from "../graph.ts";
import {
  type Arrays,
  defineOp,
  type Dispatch,
  type KernelEnvironment,
  type Op,
  type OpContext,
  type Outputs,
  recordOne,
} from "../op.ts";
import { floatType } from "./_dispatch.ts";
import { ACTIVATION_OPS } from "./activation.ts";
import { ACTIVATIONS } from "./activation_functions.ts";
import { splitLength } from "./_matmul_common.ts";
import { MATMUL, type MatmulSpec } from "./matmul_kernel.ts";
import { chosenKernel } from "../tuning/family.ts";
import { columnSum, sumLeading } from "./reduce.ts";
import { reshape } from "./views.ts";

/** Fused activations. */
export type Activation = "none" | keyof typeof ACTIVATIONS;

/**
 * How one product is laid out: C = activation(op(A) · op(B) + bias) + residual. With an input `preactivation` it is the gradient of
 * that activation: C = (op(A) · op(B) + bias) ∘ activation′(preactivation) + residual.
 */
export type MatmulAttrs = {
  transposeA: boolean;
  transposeB: boolean;
  /** Parts the sum over k is split into; above 1 the output has a leading axis of partial sums. */
  splitK: number;
  activation: Activation;
  dtype: Dtype;
  /** Also puts out what the activation is applied to. */
  keepsPreactivation: boolean;
  /** Also puts out the sums of Aᵀ over k. */
  sumsRows: boolean;
};

const DEFAULTS: MatmulAttrs = {
  transposeA: false,
  transposeB: false,
  splitK: 1,
  activation: "none",
  dtype: "f32",
  keepsPreactivation: false,
  sumsRows: false,
};

/** Sizes of a product whose operands are `[rows columns]` or `[batch rows columns]`. */
function productSizes(a: Tensor, b: Tensor, attrs: MatmulAttrs) {
  const [rowsA, columnsA] = a.shape.slice(-2), [rowsB, columnsB] = b.shape.slice(-2);
  const [m, k] = attrs.transposeA ? [columnsA, rowsA] : [rowsA, columnsA];
  const [kB, n] = attrs.transposeB ? [columnsB, rowsB] : [rowsB, columnsB];
  const leading = a.shape.slice(0, -2);
  if (k !== kB || leading.join() !== b.shape.slice(0, -2).join()) {
    throw new RangeError(
      `Cannot record matmul: the summed axis must be ${k} in "${b.label}" and the batch equal, current shapes are [${a.shape}] and [${b.shape}]`,
    );
  }
  return { m, n, k, batch: sizeOf(leading), leading };
}

/** A product of matrices. */
export const matmulOp: Op<MatmulAttrs> = defineOp({
  name: "matmul",
  inputs: { a: "*RA KA", b: "*RB KB", "bias?": "N", "residual?": "*RR NR", "preactivation?": "*RR NR" },
  attrs: { ...DEFAULTS },
  outputs: ({ inputs, attrs }) => {
    const { m, n, leading } = productSizes(inputs.a, inputs.b, attrs);
    const splits = attrs.splitK > 1 ? [attrs.splitK] : [];
    const out = { shape: [...splits, ...leading, m, n], dtype: attrs.dtype };
    return {
      out,
      ...attrs.keepsPreactivation && { preactivation: { ...out, auxiliary: true } },
      ...attrs.sumsRows && { sums: { shape: [...splits, ...leading, m], auxiliary: true } },
    };
  },
  overwrites: { out: ["residual", "preactivation"] },
  dispatches: (context) => [launch(context)],
  gradient: ({ g, inputs, grads, attrs, needs }) => {
    const { transposeA, transposeB, splitK, activation } = attrs;
    if (transposeA || splitK > 1 || activation !== "none") {
      throw new Error(
        'Cannot train through op "matmul": a transposed A, a split sum or a fused activation has no gradient',
      );
    }
    const d = grads.out;
    const [left, right] = transposeB ? [d, inputs.a] : [inputs.a, d];
    // The gradient of `a` comes last: what only that of `b` reads is gone before there is another tensor of its size.
    const b = needs("b") ? productOverRows(g, left, right) : undefined;
    const bias = needs("bias") ? columnSum(g, d) : undefined;
    return {
      a: needs("a") ? matmul(g, d, inputs.b, { transposeB: !transposeB }) : undefined,
      b,
      bias,
      residual: needs("residual") ? d : undefined,
    };
  },
  reference: (arrays, { inputs, attrs }) => referenceMatmul(arrays, inputs, attrs),
  flops: ({ inputs, attrs }) => {
    const { m, n, k, batch } = productSizes(inputs.a, inputs.b, attrs);
    return 2 * m * n * k * batch;
  },
});

/**
 * leftᵀ · right, the long sum over rows split so that small outputs still fill the GPU: the gradient of a weight. It has none itself.
 */
export function productOverRows(g: Graph, left: Tensor, right: Tensor): Tensor {
  const rows = left.shape.at(-2)!, outputs = left.shape.at(-1)! * right.shape.at(-1)!;
  const splitK = left.shape.length === 2 ? chooseSplitK(rows, outputs) : 1;
  const product = recordOne(g, matmulOp, { a: left, b: right }, { ...DEFAULTS, transposeA: true, splitK });
  return splitK > 1 ? sumLeading(g, product) : product;
}

/** Rows summed by one part at least, and elements of partial sums at most: a guess that keeps both small. */
const MIN_ROWS_PER_SPLIT = 1024;
const MAX_PARTIAL_ELEMENTS = 4 << 20;

function chooseSplitK(rows: number, outputs: number): number {
  return Math.max(
    1,
    Math.min(32, Math.floor(rows / MIN_ROWS_PER_SPLIT), Math.floor(MAX_PARTIAL_ELEMENTS / outputs)),
  );
}

/** A recorded product. */
type MatmulUse = Pick<OpContext<MatmulAttrs>, "inputs" | "attrs"> & Outputs;

/** What the kernel family needs to know of one product. */
function specOf(
  { inputs, outputs: { out }, attrs }: MatmulUse,
  { multipliesHalves }: KernelEnvironment,
): MatmulSpec {
  const { a, b, bias, residual, preactivation } = inputs;
  const { m, n, k, batch } = productSizes(a, b, attrs);
  const batched = a.shape.length > 2;
  return {
    m,
    n,
    k,
    batch,
    splitK: attrs.splitK,
    transposeA: attrs.transposeA,
    transposeB: attrs.transposeB,
    typeA: floatType(a),
    typeB: floatType(b),
    typeC: floatType(out),
    bias: bias !== undefined,
    residual: residual !== undefined,
    activation: attrs.activation,
    strideA: batched ? m * k : 0,
    strideB: batched ? k * n : 0,
    strideC: m * n,
    ...attrs.sumsRows && { sums: true },
    ...(preactivation || attrs.keepsPreactivation) && { preactivation: preactivation ? "read" : "written" },
    ...(multipliesHalves && floatType(a) === "f16" && floatType(b) === "f16" && { halfProducts: true }),
  };
}

function launch(use: MatmulUse & { environment: KernelEnvironment }): Dispatch {
  const { inputs: { a, b, bias, residual }, outputs: { out, sums }, environment } = use;
  const spec = specOf(use, environment), { preactivation: _, ...common } = spec;
  // Whether what the activation is applied to is kept does not choose the kernel: forward and recomputed values are the same bits.
  const kernel = chosenKernel(MATMUL, spec, environment, { chosenBy: common });
  const preactivation = use.inputs.preactivation ?? use.outputs.preactivation;
  const tensors = { a, b, c: out, bias, residual, preactivation, sums };
  const storage = kernel.bindings.filter((name): name is keyof typeof tensors => name in tensors);
  return {
    label: kernel.label,
    source: kernel.code,
    tensors: storage.map((name) => tensors[name]),
    paramsBinding: kernel.bindings.indexOf("params"),
    params: kernel.params.buffer,
    grid: kernel.workgroups,
  };
}

/** The launch of one product of matrices, for ops that are made of several. */
export function productDispatch(
  { out, ...inputs }: { a: Tensor; b: Tensor; out: Tensor; bias?: Tensor; residual?: Tensor },
  { transposeB = false, environment }: { transposeB?: boolean; environment: KernelEnvironment },
): Dispatch {
  const attrs = { ...DEFAULTS, transposeB, dtype: out.dtype };
  const given = Object.fromEntries(Object.entries(inputs).filter(([, tensor]) => tensor !== undefined));
  return launch({ inputs: given, outputs: { out }, attrs, environment });
}

function referenceMatmul(
  arrays: Arrays,
  inputs: Readonly<Record<string, Tensor>>,
  attrs: MatmulAttrs,
): Arrays {
  const { m, n, k, batch } = productSizes(inputs.a, inputs.b, attrs);
  const { a, b, bias, residual, preactivation: given } = arrays, { activation } = attrs;
  const splits = attrs.splitK, chunk = splitLength({ splitK: splits, k });
  const out = new Float64Array(splits * batch * m * n), preactivation = out.slice();
  const sums = new Float64Array(splits * batch * m);
  const atA = (q: number, i: number, p: number) => q * m * k + (attrs.transposeA ? p * m + i : i * k + p);
  for (let s = 0; s < splits; s++) {
    const end = Math.min(k, (s + 1) * chunk);
    for (let q = 0; q < batch; q++) {
      for (let i = 0; i < m; i++) {
        const row = (s * batch + q) * m + i;
        for (let p = s * chunk; p < end; p++) sums[row] += a[atA(q, i, p)];
        for (let j = 0; j < n; j++) {
          let sum = 0;
          for (let p = s * chunk; p < end; p++) {
            sum += a[atA(q, i, p)] * b[q * k * n + (attrs.transposeB ? j * k + p : p * n + j)];
          }
          if (bias) sum += bias[j];
          const at = row * n + j;
          preactivation[at] = sum;
          if (activation !== "none") {
            const { value, slope } = ACTIVATIONS[activation];
            sum = given ? sum * slope(given[at]) : value(sum);
          }
          out[at] = residual ? sum + residual[at] : sum;
        }
      }
    }
  }
  return {
    out,
    ...attrs.keepsPreactivation && { preactivation },
    ...attrs.sumsRows && { sums },
  };
}

/** op(a) · op(b) for `[rows columns]` or `[batch rows columns]` operands. */
export function matmul(
  g: Graph,
  a: Tensor,
  b: Tensor,
  options: { transposeA?: boolean; transposeB?: boolean; dtype?: Dtype } = {},
): Tensor {
  return recordOne(g, matmulOp, { a, b }, { ...DEFAULTS, ...options });
}

/**
 * y = activation(x · weightᵀ + bias) + residual, over the last axis of x.
 *
 * @param weight `[out in]`, as PyTorch stores it.
 * @param options.residual Added last; the shape of the result.
 * @returns `[… out]`.
 */
export function linear(
  g: Graph,
  x: Tensor,
  weight: Tensor,
  options: { bias?: Tensor; activation?: Activation; residual?: Tensor; dtype?: Dtype } = {},
): Tensor {
  const { bias, residual, activation = "none", dtype = "f32" } = options;
  const width = x.shape.at(-1)!, outputs = weight.shape[0];
  if (sizeOf(weight.shape) !== outputs * width) {
    throw new RangeError(
      `Cannot record linear: "${weight.label}" must be [out ${width}], current shape is [${weight.shape}]`,
    );
  }
  const shape = [...x.shape.slice(0, -1), outputs];
  const rows = reshape(g, x, [-1, width]);
  const w = reshape(g, weight, [outputs, width]);
  const base = { a: rows, b: w, bias };
  // An activation in the epilogue leaves nothing for its gradient to read, so a trained layer keeps it apart.
  const trained = [x, weight, bias, residual].some((t) => t?.needsGradient);
  if (activation !== "none" && trained) {
    const hidden = recordOne(g, matmulOp, base, { ...DEFAULTS, transposeB: true, dtype });
    if (residual) {
      throw new Error(
        "Cannot record linear: a trained layer with an activation must add its residual itself",
      );
    }
    return reshape(g, ACTIVATION_OPS[activation](g, hidden), shape);
  }
  const flatResidual = residual && reshape(g, residual, [-1, outputs]);
  return reshape(
    g,
    recordOne(g, matmulOp, { ...base, residual: flatResidual }, {
      ...DEFAULTS,
      transposeB: true,
      activation,
      dtype,
    }),
    shape,
  );
}
