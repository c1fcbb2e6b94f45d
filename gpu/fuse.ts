/**
 * Joins neighbouring nodes whose cost is traffic to memory: what an elementwise op would read back and write again is done while it is
 * still in registers. Which ones, `ops/fusions.ts` says; here is what they may look at, and how a list of nodes changes.
 */

import { baseOf, Graph, type Node, type Op, type OpAttrs, sizeOf, type Tensor } from "./graph.ts";

/** What a fusion sees of the nodes around one. */
export class Neighbours {
  readonly #slots: Node[][];
  readonly #slotOf = new Map<Node, number>();
  readonly #producers = new Map<Tensor, Node>();
  readonly #readers = new Map<Tensor, Set<Node>>();
  readonly #kept: ReadonlySet<Tensor>;

  /** @param kept Values that are read from outside. */
  constructor(nodes: readonly Node[], kept: ReadonlySet<Tensor>) {
    this.#kept = kept;
    this.#slots = nodes.map((node) => [node]);
    nodes.forEach((node, slot) => this.#add(node, slot));
  }

  /** The nodes as they are by now, in order. */
  nodes(): Node[] {
    return this.#slots.flat();
  }

  /** Whether a node is still there. */
  has(node: Node): boolean {
    return this.#slotOf.has(node);
  }

  /** The node that makes all of `tensor`, which may be seen in another shape; null where it is a part of a value, or resident. */
  producerOf(tensor: Tensor): Node | null {
    const base = baseOf(tensor);
    return sizeOf(base.shape) === sizeOf(tensor.shape) ? this.#producers.get(base) ?? null : null;
  }

  /** Nodes that read `tensor`, or a part of it. */
  readersOf(tensor: Tensor): Node[] {
    return [...this.#readers.get(baseOf(tensor)) ?? []];
  }

  /** Whether `reader` is all that ever looks at `tensor`. */
  isOnlyFor(tensor: Tensor, reader: Node): boolean {
    const readers = this.readersOf(tensor);
    return !this.isKept(tensor) && readers.length === 1 && readers[0] === reader;
  }

  /** Whether it is read after the program, or lies in resident memory. */
  isKept(tensor: Tensor): boolean {
    return this.#kept.has(baseOf(tensor));
  }

  /** Whether what `one` gives is there before `other` begins. */
  isBefore(one: Node, other: Node): boolean {
    return this.#slotOf.get(one)! < this.#slotOf.get(other)!;
  }

  /** Whether `tensor` is there before `node` begins. */
  isThereBefore(tensor: Tensor, node: Node): boolean {
    const producer = this.#producers.get(baseOf(tensor));
    return producer === undefined || this.isBefore(producer, node);
  }

  /** Puts `by`, in order, in the place of `at`, and takes all of `instead` away. */
  replace(instead: readonly Node[], { at, by }: { at: Node; by: readonly Node[] }): void {
    const slot = this.#slotOf.get(at)!;
    for (const node of instead) this.#remove(node);
    this.#slots[slot] = [...by];
    for (const node of by) this.#add(node, slot);
  }

  #add(node: Node, slot: number): void {
    this.#slotOf.set(node, slot);
    for (const output of Object.values(node.outputs)) this.#producers.set(output, node);
    for (const input of Object.values(node.inputs)) {
      const base = baseOf(input), readers = this.#readers.get(base);
      if (readers) readers.add(node);
      else this.#readers.set(base, new Set([node]));
    }
  }

  #remove(node: Node): void {
    this.#slots[this.#slotOf.get(node)!] = [];
    this.#slotOf.delete(node);
    for (const input of Object.values(node.inputs)) this.#readers.get(baseOf(input))?.delete(node);
  }
}

/** A node to take the place of `like`, whose outputs are, where `outputs` names them, those of nodes that it replaces. */
export function nodeLike<A extends OpAttrs>(
  like: Node,
  op: Op<A>,
  { inputs, attrs, outputs }: {
    inputs: Record<string, Tensor | undefined>;
    attrs: Partial<A>;
    outputs: Record<string, Tensor>;
  },
): Node {
  const g = new Graph();
  g.record(op, inputs, attrs);
  const { scope, region, phase, id } = like, [node] = g.nodes;
  return { ...node, outputs: { ...node.outputs, ...outputs }, scope, region, phase, id };
}

/** A way to join nodes: looks at one, and changes it and its neighbours if it can. */
export type Fusion = (node: Node, near: Neighbours) => void;

/** The same computation in fewer nodes. @param kept Values that are read from outside. */
export function fuseNodes(
  nodes: readonly Node[],
  kept: ReadonlySet<Tensor>,
  fusions: readonly Fusion[],
): Node[] {
  const near = new Neighbours(nodes, kept);
  for (const fusion of fusions) {
    for (const node of near.nodes()) if (near.has(node)) fusion(node, near);
  }
  return near.nodes();
}
