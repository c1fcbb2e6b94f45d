/** A graph of ONNX operators under construction: nodes, constants, and the stored tensors that weights become. */

import { sizeOf, type Tensor } from "../gpu/graph.ts";
import { ATTRIBUTE, type Attribute, type OnnxNode } from "./schema.ts";
import { isFixed, type Size } from "./sizes.ts";

/** A window of a declared weight, under a shape. */
export interface WeightWindow {
  readonly tensor: Tensor;
  readonly offset: number;
  readonly shape: readonly number[];
}

/** A tensor of the recording, as it is named in the file. A weight has no name until an operator reads it. */
export interface Value {
  readonly shape: readonly Size[];
  readonly name?: string;
  readonly weight?: WeightWindow;
}

/** A tensor that the file holds: values that are known, or a window of a weight. */
export interface Stored {
  readonly name: string;
  readonly shape: readonly number[];
  readonly content:
    | { readonly kind: "float"; readonly values: Float32Array }
    | { readonly kind: "int64"; readonly values: readonly number[] }
    | { readonly kind: "weight"; readonly weight: string; readonly offset: number; readonly half: boolean };
}

/** Constants of an operator: whole numbers, lists of them, or `{ float }`. */
export type Attributes = Readonly<Record<string, number | readonly number[] | { float: number }>>;

/** Collects a graph. */
export class OnnxWriter {
  readonly nodes: OnnxNode[] = [];
  readonly stored: Stored[] = [];
  /** What stands before the names of nodes: where the model recorded them. */
  scope = "";
  readonly #halves: boolean;
  readonly #weightName: (tensor: Tensor) => string | undefined;
  readonly #batch: { input: string; perBatch: number };
  readonly #known = new Map<string, string>();

  /**
   * @param options.weightName The name of a weight; undefined for a tensor that is none.
   * @param options.halves Matrices are stored as f16; all arithmetic stays f32.
   * @param options.batch An input whose first axis is so many times the batch.
   */
  constructor(options: {
    weightName: (tensor: Tensor) => string | undefined;
    halves: boolean;
    batch: { input: string; perBatch: number };
  }) {
    this.#weightName = options.weightName;
    this.#halves = options.halves;
    this.#batch = options.batch;
  }

  /** Adds an operator with one result, and returns the result's name. */
  op(opType: string, input: readonly string[], attributes: Attributes = {}): string {
    return this.ops(opType, input, attributes, 1)[0];
  }

  /** Adds an operator with several results. */
  ops(opType: string, input: readonly string[], attributes: Attributes, results: number): string[] {
    const name = `${this.scope ? `${this.scope}/` : ""}${opType}_${this.nodes.length}`;
    const output = Array.from({ length: results }, (_, i) => i === 0 ? `${name}.out` : `${name}.out${i}`);
    this.nodes.push({ opType, name, input, output, attribute: Object.entries(attributes).map(attributeOf) });
    return output;
  }

  /** Gives a result the name of an output of the graph. */
  output(name: string, value: string): void {
    this.nodes.push({
      opType: "Identity",
      name: `output/${name}`,
      input: [value],
      output: [name],
      attribute: [],
    });
  }

  /** Whole numbers, for shapes, axes and places. */
  ints(values: readonly number[]): string {
    return this.#once(`ints.${values.join("_")}`, (name) => ({
      name,
      shape: [values.length],
      content: { kind: "int64", values },
    }));
  }

  /** One number. */
  float(value: number): string {
    return this.floats(`float.${value}`, [], Float32Array.of(value));
  }

  /** Numbers under a name that says which. */
  floats(name: string, shape: readonly number[], values: Float32Array): string {
    return this.#once(name, (name) => ({ name, shape, content: { kind: "float", values } }));
  }

  /** The name of a value for an operator to read; a weight is stored now. */
  read(value: Value): string {
    if (value.name !== undefined) return value.name;
    const { tensor, offset, shape } = value.weight!;
    const weight = this.#weightName(tensor);
    if (weight === undefined) {
      throw new RangeError(
        `Cannot export "${tensor.label}": it must be a weight or an input, it is a ${tensor.role}`,
      );
    }
    const count = sizeOf(shape), isWhole = offset === 0 && count === sizeOf(tensor.shape);
    const half = this.#halves && shape.length >= 2;
    const place = isWhole ? "" : `.from_${offset}`;
    const name = this.#once(`${weight}${place}`, (name) => ({
      name,
      shape,
      content: { kind: "weight", weight, offset, half },
    }));
    const { shape: kept, content } = this.stored.find((stored) => stored.name === name)!;
    const isHalf = content.kind === "weight" && content.half;
    const cast = isHalf ? this.#cached(`${name} as f32`, () => this.op("Cast", [name], { to: 1 })) : name;
    return kept.join() === shape.join()
      ? cast
      : this.#cached(`${name} as ${shape}`, () => this.op("Reshape", [cast, this.ints(shape)]));
  }

  /** A value under another shape. */
  reshape(value: Value, shape: readonly Size[]): Value {
    const { weight } = value;
    if (weight && shape.every(isFixed)) return { shape, weight: { ...weight, shape: shape as number[] } };
    return { shape, name: this.reshaped(this.read(value), shape) };
  }

  /** The same of a result. */
  reshaped(name: string, shape: readonly Size[]): string {
    const free = shape.filter((size) => !isFixed(size)).length;
    const sizes = free > 1 ? this.shape(shape) : this.ints(shape.map((size) => isFixed(size) ? size : -1));
    return this.op("Reshape", [name, sizes]);
  }

  /** A shape as a tensor; where it grows with the batch, computed from the input. */
  shape(shape: readonly Size[]): string {
    if (shape.every(isFixed)) return this.ints(shape as number[]);
    const key = shape.map((size) => isFixed(size) ? size : `${size.perBatch}b`).join("_");
    return this.#cached(`shape.${key}`, () =>
      this.op(
        "Concat",
        shape.map((size) =>
          isFixed(size) ? this.ints([size]) : this.op("Mul", [this.#clips(), this.ints([size.perBatch])])
        ),
        { axis: 0 },
      ));
  }

  /** The size of the batch, [1]. */
  #clips(): string {
    return this.#cached("batch", () => {
      const { input, perBatch } = this.#batch;
      const rows = this.op("Shape", [input], { start: 0, end: 1 });
      return perBatch === 1 ? rows : this.op("Div", [rows, this.ints([perBatch])]);
    });
  }

  #cached(key: string, make: () => string): string {
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const made = make();
    this.#known.set(key, made);
    return made;
  }

  #once(name: string, make: (name: string) => Stored): string {
    return this.#cached(`stored ${name}`, () => {
      this.stored.push(make(name));
      return name;
    });
  }
}

function attributeOf([name, value]: [string, Attributes[string]]): Attribute {
  if (typeof value === "number") return { name, type: ATTRIBUTE.int, i: value };
  return "float" in value
    ? { name, type: ATTRIBUTE.float, f: value.float }
    : { name, type: ATTRIBUTE.ints, ints: value };
}
