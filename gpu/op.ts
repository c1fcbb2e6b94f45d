/**
 * What an op is: one record that holds its axis names, attributes, kernels, gradient, plain-loops reference and cost.
 * From it come the shape errors, the CPU check, the finite-difference check and the bench line.
 *
 * Adding an op means adding one module (with its `.wgsl` beside it) and one case table under `tests/cases/`.
 */

import type { Dtype, Graph, Node, Tensor } from "./graph.ts";
import { sizeOf } from "./graph.ts";

/** Attributes: the constants of one use of an op. Each op has a type of its own for them. */
export type OpAttrs = Readonly<Record<string, unknown>>;

/** Of an op without attributes. */
export type NoAttrs = Readonly<Record<never, never>>;

/** What the functions of an op are given. */
export interface OpContext<A extends OpAttrs = OpAttrs> {
  readonly inputs: Readonly<Record<string, Tensor>>;
  readonly attrs: A;
  /** Axis sizes by the names in the axis strings. */
  readonly axes: Readonly<Record<string, number>>;
}

/** Shape and type of one output. An `auxiliary` output (saved statistics) carries no gradient. */
export interface OutputSpec {
  shape: readonly number[];
  dtype?: Dtype;
  auxiliary?: boolean;
}

/** Fields of a kernel's uniform by name; lists are vectors in WGSL. */
export type KernelParams = Readonly<Record<string, number | readonly number[]>>;

/** One kernel launch, described without any GPU object. */
export interface Dispatch {
  /** Ends up in GPU labels and error messages: "layerNorm.forward". */
  label: string;
  /** WGSL that compiles as it stands. */
  source: string;
  entryPoint?: string;
  /** Replaces `const NAME: u32 = …u;` lines; a name that is absent from the source is an error. */
  constants?: Readonly<Record<string, number>>;
  /** Replaces `alias NAME = f32;` lines (storage types); absent names are an error. */
  aliases?: Readonly<Record<string, "f32" | "f16">>;
  /** Storage bindings in order. The uniform `params` is `@binding(0)`, so `tensors[i]` is `@binding(i + 1)`. */
  tensors: readonly Tensor[];
  /** Where the uniform sits when not first; storage bindings take the other numbers in order. */
  paramsBinding?: number;
  /** Uniform fields by name (checked against `struct Params`), or ready-made bytes. */
  params: KernelParams | ArrayBuffer;
  /** Workgroups. Each must be at most 65535; `grid1d` folds a long axis. */
  grid: readonly [number, number, number];
}

/** What kernel selection may look at. */
export interface KernelEnvironment {
  readonly features: ReadonlySet<string>;
  readonly isSoftware: boolean;
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
  /** A measured choice by kernel family and key, when one is cached. */
  readonly choices: ReadonlyMap<string, string>;
}

/** What a gradient rule is given: the forward node and the gradients of its outputs. */
export interface GradientContext<A extends OpAttrs = OpAttrs> extends OpContext<A> {
  readonly g: Graph;
  readonly outputs: Readonly<Record<string, Tensor>>;
  /** Gradient of each non-auxiliary output; absent when nothing flows into that output. */
  readonly grads: Readonly<Record<string, Tensor>>;
  /** Whether the gradient of an input is wanted; rules skip what is not. */
  needs(input: string): boolean;
}

/** A gradient that covers only rows `start … start + rows` of the leading axis of the input. */
export interface PartialGradient {
  partial: Tensor;
  /** First element covered, in elements of the input. */
  offset: number;
}

/** Arrays by tensor name, for references: f64, so that finite differences of a reference are exact enough to judge by. */
export type Arrays = Record<string, Float64Array>;

/** What differentiation needs to know of an op. */
type GradientRule<A extends OpAttrs> = {
  rule(context: GradientContext<A>): Record<string, Tensor | PartialGradient | undefined>;
}["rule"];

/** The outputs of a use of an op, beside what all its functions are given. */
export interface Outputs {
  readonly outputs: Readonly<Record<string, Tensor>>;
}

/**
 * The record of an op. Use `defineOp` to make one.
 *
 * Functions are declared as methods, so that an op with attributes of its own is an `Op` like any other: TypeScript
 * compares the parameters of methods both ways. Whoever calls them passes attributes that were recorded for this op.
 */
export interface Op<A extends OpAttrs = OpAttrs> {
  readonly name: string;
  /** Axis strings by input. `"*R C"`: all leading axes fold into R. A trailing `?` on the input's name: optional. */
  readonly inputs: Readonly<Record<string, string>>;
  /** Values of the attributes that a use does not give. */
  readonly attrs: A;
  outputs(context: OpContext<A>): Record<string, OutputSpec>;
  /** For ops that only re-label memory: the window of input `x`. Such an op has no kernel. */
  view?(context: OpContext<A>): { shape: readonly number[]; offset: number };
  /** Names of inputs the op writes (resident state): it is an effect, kept even when nobody reads its outputs. */
  readonly updates: readonly string[];
  dispatches(context: OpContext<A> & Outputs & { environment: KernelEnvironment }): Dispatch[];
  /**
   * Records the gradient of each wanted input. "none": differentiating through it is an error that names the op.
   * "stop": the op is a constant to differentiation by definition (labels, statistics updates).
   */
  readonly gradient: GradientRule<A> | "none" | "stop";
  /** Plain loops: the definition of the op, against which kernels are judged. Updated inputs are returned by name too. */
  reference(arrays: Arrays, context: OpContext<A> & { outputs: Record<string, OutputSpec> }): Arrays;
  /** Cost of one run. */
  work(context: OpContext<A> & Outputs): { flops: number; bytes: number };
}

/** The fields one writes; the rest has defaults. */
export type OpDefinition<A extends OpAttrs> =
  & Pick<Op<A>, "name" | "inputs" | "outputs" | "dispatches" | "gradient" | "reference">
  & Partial<Pick<Op<A>, "attrs" | "updates" | "view">>
  & { flops?(context: OpContext<A> & Outputs): number }
  & (NoAttrs extends A ? unknown : { attrs: A }); // attributes that must be there need a default

/** Every op defined so far, by name: the case-table test walks it so that no op is without cases. */
export const OPS = new Map<string, Op>();

/**
 * Makes an op and registers it under its name. Bytes moved default to every input and output once. The type of the
 * attributes follows from their defaults; one that also has optional attributes is written out: `defineOp<{ … }>`.
 */
export function defineOp<A extends OpAttrs = NoAttrs>(definition: OpDefinition<A>): Op<A> {
  const { flops, attrs, ...rest } = definition;
  const op: Op<A> = {
    attrs: attrs ?? {} as A, // without defaults, no attribute is needed
    updates: [],
    ...rest,
    work: (context) => {
      let bytes = 0;
      for (const t of [...Object.values(context.inputs), ...Object.values(context.outputs)]) {
        bytes += sizeOf(t.shape) * (t.dtype === "f16" ? 2 : 4);
      }
      return { flops: flops?.(context) ?? 0, bytes };
    },
  };
  if (OPS.has(op.name)) throw new Error(`Cannot define op "${op.name}": the name must be new`);
  OPS.set(op.name, op);
  return op;
}

/** Binds the op's axis names to the sizes of the given inputs; an inconsistency names op, axis and both shapes. */
export function matchAxes(op: Op, inputs: Record<string, Tensor>): Record<string, number> {
  const axes: Record<string, number> = {};
  const boundBy: Record<string, string> = {};
  for (const [key, pattern] of Object.entries(op.inputs)) {
    const optional = key.endsWith("?");
    const name = optional ? key.slice(0, -1) : key;
    const tensor = inputs[name];
    if (!tensor) {
      if (optional) continue;
      throw new TypeError(`Cannot record ${op.name}: input "${name}" must be given`);
    }
    const names = pattern.trim().split(/\s+/).filter((s) => s.length > 0);
    const sizes = foldLeading(op, name, names, tensor.shape);
    names.forEach((axis, i) => {
      const bare = axis.replace("*", "");
      const fixed = Number(bare);
      const expected = Number.isNaN(fixed) ? axes[bare] : fixed;
      if (expected === undefined) {
        axes[bare] = sizes[i];
        boundBy[bare] = name;
      } else if (expected !== sizes[i]) {
        const other = boundBy[bare]
          ? ` (axis ${bare} of "${boundBy[bare]}" [${inputs[boundBy[bare]].shape}])`
          : "";
        throw new RangeError(
          `Cannot record ${op.name}: axis ${bare} of "${name}" must be ${expected}${other}, current shape is [${tensor.shape}]`,
        );
      }
    });
  }
  for (const name of Object.keys(inputs)) {
    if (!(name in op.inputs) && !(`${name}?` in op.inputs)) {
      throw new TypeError(`Cannot record ${op.name}: it has no input "${name}"`);
    }
  }
  return axes;
}

function foldLeading(op: Op, name: string, axes: string[], shape: readonly number[]): number[] {
  if (axes[0]?.startsWith("*")) {
    const tail = axes.length - 1;
    if (shape.length < tail) throw rankError(op, name, axes, shape);
    const split = shape.length - tail;
    return [sizeOf(shape.slice(0, split)), ...shape.slice(split)];
  }
  if (axes.length !== shape.length) throw rankError(op, name, axes, shape);
  return [...shape];
}

function rankError(op: Op, name: string, axes: string[], shape: readonly number[]): RangeError {
  return new RangeError(
    `Cannot record ${op.name}: "${name}" must have axes [${axes.join(" ")}], current shape is [${shape}]`,
  );
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
