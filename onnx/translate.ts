/** Recorded graphs to ONNX graphs with a free batch. */

import { baseOf, type Graph, type Node, type Tensor } from "../gpu/graph.ts";
import { describeNode } from "../gpu/op.ts";
import { FORMS, NOT_EXPORTED } from "./forms/table.ts";
import { type Dimension, ELEMENT, type OnnxNode, type ValueInfo } from "./schema.ts";
import { BATCHES, isFixed, shapeFrom, type Size } from "./sizes.ts";
import { OnnxWriter, type Stored, type Value } from "./writer.ts";

/** A forward pass recorded for one batch size. */
export interface Recording {
  readonly g: Graph;
  readonly inputs: Readonly<Record<string, Tensor>>;
  /** Inputs of the recording that the file computes from the others. */
  readonly derived?: Readonly<Record<string, Tensor>>;
  readonly outputs: Readonly<Record<string, Tensor>>;
}

/** How an input is given to the file, where that is not the recorded tensor: its type and shape, and how that is made of it. */
export interface GivenInput {
  readonly elemType: number;
  readonly shape: readonly Size[];
  /** Writes the recorded tensor, from the input of this name. */
  prepare(w: OnnxWriter, input: string): string;
}

/** What to translate, and how. */
export interface Translation {
  /** The name of the graph. */
  readonly name: string;
  record(batch: number): Recording;
  /** The name of a weight; undefined for a tensor that is none. */
  weightName(tensor: Tensor): string | undefined;
  readonly halves: boolean;
  /** Inputs that are given otherwise, by name. */
  readonly given?: Readonly<Record<string, GivenInput>>;
  /** How derived inputs are computed, by name; written where something reads them. */
  readonly derive?: Readonly<Record<string, (w: OnnxWriter) => string>>;
}

/** A graph without the values of its weights. */
export interface Translated {
  readonly name: string;
  readonly nodes: readonly OnnxNode[];
  readonly stored: readonly Stored[];
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
}

/** The name of the free axis. */
const BATCH_AXIS = "batch";

/**
 * Translates a forward pass.
 *
 * @throws {RangeError} naming an op that has no ONNX form, or whose use does not follow the batch.
 */
export function translate(what: Translation): Translated {
  const [two, three] = BATCHES.map((batch) => what.record(batch));
  const nodes = pairs(two, three), names = Object.keys(two.inputs);
  const shapeOf = (of: "inputs" | "outputs", name: string) =>
    shapeFrom(two[of][name].shape, three[of][name].shape, name);
  const given = (name: string): Pick<GivenInput, "elemType" | "shape"> =>
    what.given?.[name] ??
      {
        elemType: two.inputs[name].dtype === "u32" ? ELEMENT.int64 : ELEMENT.float,
        shape: shapeOf("inputs", name),
      };
  const first = given(names[0]).shape[0];
  if (isFixed(first)) {
    throw new RangeError(`Cannot export "${names[0]}": its first axis must grow with the batch`);
  }
  const w = new OnnxWriter({ ...what, batch: { input: names[0], perBatch: first.perBatch } });

  const values = new Map<Tensor, Value>();
  for (const name of names) {
    const prepared = what.given?.[name]?.prepare(w, name) ?? name;
    values.set(two.inputs[name], { name: prepared, shape: shapeOf("inputs", name) });
  }
  const derived = new Map(Object.entries(two.derived ?? {}).map(([name, tensor]) => [tensor, name]));
  const valueOf = (tensor: Tensor): Value => {
    const known = values.get(tensor);
    if (known) return known;
    const name = derived.get(tensor);
    if (name !== undefined) {
      const shape = shapeFrom(tensor.shape, three.derived![name].shape, name);
      const value = { name: what.derive![name](w), shape };
      values.set(tensor, value);
      return value;
    }
    const { shape, offset } = tensor;
    return { shape, weight: { tensor: baseOf(tensor), offset, shape } };
  };
  for (const [node, twin] of nodes) {
    w.scope = node.scope;
    const emitted = emit(w, { pair: [node, twin], valueOf });
    for (const [name, tensor] of Object.entries(node.outputs)) {
      if (emitted[name]) values.set(tensor, emitted[name]);
    }
  }
  for (const [name, tensor] of Object.entries(two.outputs)) w.output(name, w.read(valueOf(tensor)));
  return {
    name: what.name,
    nodes: w.nodes,
    stored: w.stored,
    inputs: names.map((name) => infoOf(name, given(name))),
    outputs: Object.keys(two.outputs).map((name) =>
      infoOf(name, { elemType: ELEMENT.float, shape: shapeOf("outputs", name) })
    ),
  };
}

/** The nodes that the outputs need, each with the one of the other recording. */
function pairs(two: Recording, three: Recording): [Node, Node][] {
  const needed = neededNodes(two), twins = neededNodes(three);
  const differs = needed.length !== twins.length || needed.some(({ op }, i) => op !== twins[i].op);
  if (differs) throw new RangeError("Cannot make the batch free: the recorded ops must not depend on it");
  return needed.map((node, i) => [node, twins[i]]);
}

/** In the order of the recording. */
function neededNodes({ g, outputs }: Recording): Node[] {
  const needed = new Set<Node>();
  const waiting = Object.values(outputs).map(({ producer }) => producer);
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    if (node === null || needed.has(node)) continue;
    needed.add(node);
    waiting.push(...Object.values(node.inputs).map(({ producer }) => producer));
  }
  return g.nodes.filter((node) => needed.has(node));
}

function emit(
  w: OnnxWriter,
  { pair, valueOf }: { pair: [Node, Node]; valueOf: (tensor: Tensor) => Value },
): Readonly<Record<string, Value>> {
  const [node, twin] = pair, form = FORMS[node.op.name];
  if (!form) {
    const why = Object.hasOwn(NOT_EXPORTED, node.op.name) ? `: ${NOT_EXPORTED[node.op.name]}` : "";
    throw new RangeError(`Cannot export "${describeNode(node)}": the op has no ONNX form${why}`);
  }
  for (const [name, value] of Object.entries(node.attrs)) {
    if (!form.varying.includes(name) && JSON.stringify(value) !== JSON.stringify(twin.attrs[name])) {
      throw new RangeError(`Cannot export "${describeNode(node)}": its ${name} must not depend on the batch`);
    }
  }
  const map = <From, To>(of: Readonly<Record<string, From>>, make: (from: From, name: string) => To) =>
    Object.fromEntries(Object.entries(of).map(([name, from]) => [name, make(from, name)]));
  return form.emit(w, {
    inputs: map(node.inputs, valueOf),
    outputs: map(
      node.outputs,
      ({ shape }, name) =>
        isAuxiliary(node, name) ? [] : shapeFrom(shape, twin.outputs[name].shape, node.op.name),
    ),
    recorded: pair,
  });
}

/** Statistics beside a result, which no forward pass reads, need not follow the batch. */
function isAuxiliary({ op, inputs, attrs, axes }: Node, name: string): boolean {
  return !op.view && op.outputs({ inputs, attrs, axes })[name].auxiliary === true;
}

function infoOf(name: string, { elemType, shape }: Pick<GivenInput, "elemType" | "shape">): ValueInfo {
  const dim = shape.map((size): Dimension =>
    isFixed(size)
      ? { dimValue: size }
      : { dimParam: size.perBatch === 1 ? BATCH_AXIS : `${size.perBatch}*${BATCH_AXIS}` }
  );
  return { name, type: { tensorType: { elemType, shape: { dim } } } };
}
