/**
 * Making ops: one record holds an op's axis names, attributes, kernels, gradient, plain-loops reference and cost (`Op` in
 * `graph.ts`). From it come the shape errors, the CPU check, the finite-difference check and the bench line.
 *
 * Adding an op means adding one module (with its `.wgsl` beside it) and one case table in `gpu/cases/`,
 * on which it is checked and measured.
 */

import {
  bytesOf,
  type Graph,
  type NoAttrs,
  type Node,
  type Op,
  type OpAttrs,
  type OpContext,
  type Outputs,
  type Tensor,
} from "./graph.ts";

export type {
  Arrays,
  Dispatch,
  GradientContext,
  KernelAdapter,
  KernelEnvironment,
  KernelParams,
  NoAttrs,
  Op,
  OpAttrs,
  OpContext,
  Outputs,
  OutputSpec,
  PartialGradient,
} from "./graph.ts";

/** The fields one writes; the rest has defaults. */
export type OpDefinition<A extends OpAttrs> =
  & Pick<Op<A>, "name" | "inputs" | "outputs" | "dispatches" | "gradient" | "reference">
  & Partial<Pick<Op<A>, "attrs" | "updates" | "overwrites" | "isCheap" | "view" | "addInto">>
  & {
    flops?(context: OpContext<A> & Outputs): number;
    /** Bytes moved, where they are not those of every input and output once. */
    bytes?(context: OpContext<A> & Outputs): number;
  }
  & (NoAttrs extends A ? unknown : { attrs: A }); // attributes that must be there need a default

/** Every op defined so far, by name: the case-table test walks it so that no op is without cases. */
export const OPS = new Map<string, Op>();

/**
 * Makes an op and registers it under its name. Bytes moved default to every input and output once. The type of the
 * attributes follows from their defaults; one that also has optional attributes is written out: `defineOp<{ … }>`.
 */
export function defineOp<A extends OpAttrs = NoAttrs>(definition: OpDefinition<A>): Op<A> {
  const { flops, bytes: moved, attrs, ...rest } = definition;
  const op: Op<A> = {
    attrs: attrs ?? {} as A, // without defaults, no attribute is needed
    updates: [],
    overwrites: {},
    isCheap: false,
    ...rest,
    work: (context) => {
      const all = [...Object.values(context.inputs), ...Object.values(context.outputs)];
      const bytes = moved?.(context) ?? all.reduce((sum, tensor) => sum + bytesOf(tensor), 0);
      return { flops: flops?.(context) ?? 0, bytes };
    },
  };
  if (OPS.has(op.name)) throw new Error(`Cannot define op "${op.name}": the name must be new`);
  OPS.set(op.name, op);
  return op;
}

/** Largest number of workgroups in one dimension. */
export const MAX_GRID = 65535;

/** A grid of `count` workgroups folded into two dimensions; kernels use `id.y * grid_width + id.x` and a bound check. */
export function grid1d(count: number): [number, number, number] {
  if (count <= MAX_GRID) return [count, 1, 1];
  const y = Math.ceil(count / MAX_GRID);
  return [Math.ceil(count / y), y, 1];
}

/** Records an op whose only wanted output is `out`. */
export function recordOne<A extends OpAttrs>(
  g: Graph,
  op: Op<A>,
  inputs: Record<string, Tensor | undefined>,
  attrs: Partial<NoInfer<A>> = {},
): Tensor {
  return g.record(op, inputs, attrs).out;
}

/** Whether a node is a use of `op`, so that its attributes are those of `op`. */
export function isUseOf<A extends OpAttrs>(node: Node, op: Op<A>): node is Node & { readonly attrs: A } {
  return node.op === op;
}

/** For messages and plans: "layerNorm#12 in backbone/block.3". */
export function describeNode(node: Node): string {
  return `${node.op.name}#${node.id}${node.scope ? ` in ${node.scope}` : ""}`;
}
