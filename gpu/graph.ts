/**
 * The recorded computation: symbolic tensors and the nodes that produce them. No GPU object exists here, so graphs are
 * built, differentiated, planned and tested without a device.
 *
 * Legend of axes used in the whole project:
 * B clips · T frames · H W pixels · P patches per frame · N tokens per frame (P + 1) · C tower width · D side width ·
 * h heads · K classes · R rows (leading axes folded together).
 */

import { matchAxes, type Op, type OpAttrs } from "./op.ts";

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
  phase: Phase = "forward";
  #scopes: string[] = [];
  #region: string | null = null;

  /** @param options.maxTensorBytes No limit by default. */
  constructor(options: { maxTensorBytes?: number } = {}) {
    this.maxTensorBytes = options.maxTensorBytes ?? Infinity;
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
