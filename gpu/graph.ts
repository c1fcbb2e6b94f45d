/**
 * The recorded computation: symbolic tensors, the nodes that produce them, and the records of ops that nodes are uses of (one
 * file, because each is declared in terms of the others). No GPU object exists here, so graphs are
 * built, differentiated, planned and tested without a device.
 *
 * Legend of axes used in the whole project:
 * B clips · T frames · H W pixels · P patches per frame · N tokens per frame (P + 1) · C tower width · D side width ·
 * h heads · K classes · R rows (leading axes folded together).
 */

import { matchAxes } from "./axes.ts";

/** Storage type of an element. Sums are always f32. */
export type Dtype = "f32" | "f16" | "u32";

/** Bytes of one element. */
export const DTYPE_BYTES: Record<Dtype, number> = { f32: 4, f16: 2, u32: 4 };

/**
 * Where a tensor's memory comes from.
 * `value`: produced by a node, placed by the planner. All others are resident for the life of a program:
 * `input` is written before a step, `frozen` never changes, `parameter` is trained, `state` is updated by effect nodes
 * (running statistics, gradients, optimiser moments).
 */
export type Role = "value" | "input" | "frozen" | "parameter" | "state";

/** A symbolic tensor: row-major, contiguous. */
export interface Tensor {
  readonly id: number;
  readonly label: string;
  readonly shape: readonly number[];
  readonly dtype: Dtype;
  readonly role: Role;
  /** The node that produces it; null for resident tensors. */
  readonly producer: Node | null;
  /** The tensor whose memory this one is a window of; null when it owns its memory. Never itself a view. */
  readonly base: Tensor | null;
  /** Start inside `base`, in elements. */
  readonly offset: number;
  /** Whether it is, or is computed from, a tensor that has a gradient: a parameter, or an input that asks for one. */
  readonly needsGradient: boolean;
}

/** One recorded operation. */
export interface Node {
  readonly id: number;
  readonly op: Op;
  readonly inputs: Readonly<Record<string, Tensor>>;
  outputs: Readonly<Record<string, Tensor>>;
  readonly attrs: OpAttrs;
  /** Axis sizes bound by the op's axis strings. */
  readonly axes: Readonly<Record<string, number>>;
  /** Where the model recorded it, such as "backbone/block.3". */
  readonly scope: string;
  /** The region whose values may be recomputed in the backward pass; null: values are kept. */
  readonly region: string | null;
  readonly phase: Phase;
}

/** Which part of a training step a node belongs to. */
export type Phase = "forward" | "backward" | "update";

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
  /** What is summed over ranks after this launch, where there are several. */
  sumOverRanks?: Tensor;
}

/** Ranks that compute statistics together, and which of them this is. */
export interface NormRanks {
  readonly rank: number;
  readonly ranks: number;
}

/** What the choice of kernels may look at. */
export interface KernelAdapter {
  readonly features: ReadonlySet<string>;
  readonly isSoftware: boolean;
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
  /** Bytes of workgroup memory that a kernel may take, and the most invocations of a workgroup. */
  readonly workgroupBytes: number;
  readonly workgroupInvocations: number;
  /** Sizes that a subgroup may have; null where the adapter does not tell. */
  readonly subgroupSizes: { readonly min: number; readonly max: number } | null;
}

/** What kernels are made for: an adapter, and what was measured on it. */
export interface KernelEnvironment extends KernelAdapter {
  /** Measured choices of kernels by key (`gpu/tuning/family.ts`). */
  readonly choices: ReadonlyMap<string, string>;
  /** Whether products of two matrices that are both stored as f16 may be multiplied in f16, a few terms of a sum at a time. */
  readonly multipliesHalves?: boolean;
  /** Told of every launch for which a kernel is chosen, with the name of its family. */
  readonly onChoice?: (family: string, spec: unknown) => void;
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
   * Outputs that may take the memory of one of some inputs, which nothing reads afterwards, by name: kernels read an element of that input, if at
   * all, before they write the same element of the output, and no other one after it.
   */
  readonly overwrites: Readonly<Record<string, readonly string[]>>;
  /**
   * It costs little more than reading its inputs: in a region that is recomputed, its outputs are made once more where a gradient rule
   * reads them, and not kept until then.
   */
  readonly isCheap: boolean;
  /**
   * Records the gradient of each wanted input. "none": differentiating through it is an error that names the op.
   * "stop": the op is a constant to differentiation by definition (labels, statistics updates).
   */
  readonly gradient: GradientRule<A> | "none" | "stop";
  /**
   * Records that what a use gives is added to resident `dst`, for ops that need not make it for that: a gradient that is mostly
   * zeros. Without it, what is made is added.
   */
  addInto?(g: Graph, node: Node, dst: Tensor): void;
  /** Plain loops: the definition of the op, against which kernels are judged. Updated inputs are returned by name too. */
  reference(arrays: Arrays, context: OpContext<A> & { outputs: Record<string, OutputSpec> }): Arrays;
  /** Cost of one run. */
  work(context: OpContext<A> & Outputs): { flops: number; bytes: number };
}

/** Alignment in bytes of everything that is bound on its own; WebGPU's default `minStorageBufferOffsetAlignment`. */
export const BINDING_ALIGNMENT = 256;

/** Number of elements of a shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

/** Bytes of a tensor's elements. */
export function bytesOf(tensor: Tensor): number {
  return sizeOf(tensor.shape) * DTYPE_BYTES[tensor.dtype];
}

/** The tensor that owns the memory. */
export function baseOf(tensor: Tensor): Tensor {
  return tensor.base ?? tensor;
}

let nextTensorId = 0;

function makeTensor(fields: Omit<Tensor, "id">): Tensor {
  return { id: nextTensorId++, ...fields };
}

/**
 * Declares a tensor that is resident for the life of a program. Several graphs may read one.
 *
 * @param options.gradient Whether gradients can be asked for with respect to it; by default parameters have one and nothing else.
 */
export function resident(
  role: Exclude<Role, "value">,
  label: string,
  shape: readonly number[],
  dtype: Dtype = "f32",
  options: { gradient?: boolean } = {},
): Tensor {
  checkShape(label, shape);
  return makeTensor({
    label,
    shape,
    dtype,
    role,
    producer: null,
    base: null,
    offset: 0,
    needsGradient: options.gradient ?? role === "parameter",
  });
}

/** A recording of operations in execution order. */
export class Graph {
  readonly nodes: Node[] = [];
  /** Values kept alive to the end of the program, by name. */
  readonly outputs = new Map<string, Tensor>();
  /** Most bytes of one tensor that the program's device can bind; what is recorded in parts stays below it. */
  readonly maxTensorBytes: number;
  /** Ranks over which batch norms see their batch. */
  readonly normRanks: NormRanks;
  phase: Phase = "forward";
  #scopes: string[] = [];
  #region: string | null = null;

  /**
   * @param options.maxTensorBytes No limit by default.
   * @param options.normRanks This one alone by default.
   */
  constructor(options: { maxTensorBytes?: number; normRanks?: NormRanks } = {}) {
    this.maxTensorBytes = options.maxTensorBytes ?? Infinity;
    this.normRanks = options.normRanks ?? { rank: 0, ranks: 1 };
  }

  /**
   * A window of `shape` into `tensor`, starting `offset` elements in. No copy. The gradient of what is read through it
   * reaches `tensor` only when the view was recorded by an op (`reshape`, `sliceRows`) or is resident.
   */
  view(
    tensor: Tensor,
    shape: readonly number[],
    options: { offset?: number; label?: string; producer?: Node } = {},
  ): Tensor {
    const offset = options.offset ?? 0;
    if (offset + sizeOf(shape) > sizeOf(tensor.shape)) {
      throw new RangeError(
        `Cannot view tensor "${tensor.label}": offset ${offset} and shape [${shape}] must lie within shape [${tensor.shape}]`,
      );
    }
    return makeTensor({
      label: options.label ?? tensor.label,
      shape,
      dtype: tensor.dtype,
      role: tensor.role,
      producer: options.producer ?? tensor.producer,
      base: baseOf(tensor),
      offset: tensor.offset + offset,
      needsGradient: tensor.needsGradient,
    });
  }

  /** Records an operation and returns its outputs. Shapes are checked against the op's axis strings. */
  record<A extends OpAttrs>(
    op: Op<A>,
    inputs: Record<string, Tensor | undefined>,
    attrs: Partial<NoInfer<A>> = {},
  ): Record<string, Tensor> {
    const given: Record<string, Tensor> = {};
    for (const [name, tensor] of Object.entries(inputs)) if (tensor) given[name] = tensor;
    const filled = { ...op.attrs, ...attrs };
    const axes = matchAxes(op, given);
    const needsGradient = op.gradient !== "stop" && Object.values(given).some((t) => t.needsGradient);
    const node: Node = {
      id: this.nodes.length,
      op,
      inputs: given,
      outputs: {},
      attrs: filled,
      axes,
      scope: this.#scopes.join("/"),
      region: this.#region,
      phase: this.phase,
    };
    const outputs: Record<string, Tensor> = {};
    if (op.view) {
      const window = op.view({ inputs: given, attrs: filled, axes });
      outputs.out = this.view(given.x, window.shape, {
        offset: window.offset,
        producer: node,
        label: `${op.name}(${given.x.label})`,
      });
    } else {
      for (const [name, spec] of Object.entries(op.outputs({ inputs: given, attrs: filled, axes }))) {
        const label = `${node.scope ? node.scope + "/" : ""}${op.name}.${name}#${node.id}`;
        checkShape(label, spec.shape);
        outputs[name] = makeTensor({
          label,
          shape: spec.shape,
          dtype: spec.dtype ?? "f32",
          role: "value",
          producer: node,
          base: null,
          offset: 0,
          needsGradient: needsGradient && !spec.auxiliary,
        });
      }
    }
    node.outputs = outputs;
    this.nodes.push(node);
    return outputs;
  }

  /** Runs `body` with `name` appended to the scope of what it records. */
  scope<R>(name: string, body: () => R): R {
    this.#scopes.push(name);
    try {
      return body();
    } finally {
      this.#scopes.pop();
    }
  }

  /** Runs `body`; what it records may be recomputed in the backward pass instead of kept. Regions do not nest. */
  region<R>(name: string, body: () => R): R {
    if (this.#region !== null) {
      throw new Error(`Cannot open region "${name}": region "${this.#region}" must be closed first`);
    }
    this.#region = name;
    try {
      return body();
    } finally {
      this.#region = null;
    }
  }

  /** Keeps a value readable after the program has run. */
  output(name: string, tensor: Tensor): Tensor {
    this.outputs.set(name, tensor);
    return tensor;
  }
}

function checkShape(label: string, shape: readonly number[]): void {
  if (shape.some((n) => !Number.isInteger(n) || n < 1)) {
    throw new RangeError(
      `Cannot make tensor "${label}": every axis must be a positive integer, current shape is [${shape}]`,
    );
  }
}
