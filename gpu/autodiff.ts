/**
 * Reverse-mode differentiation on the recorded graph: appends gradient nodes for the paths that end in trainable
 * parameters. Frozen tensors get none, because nothing that only depends on them needs a gradient.
 *
 * With `recompute`, the values of a marked region are not kept from the forward pass: when the sweep enters the region,
 * its nodes are recorded once more (activation checkpointing, Chen et al. 2016, arXiv 1604.06174) and the gradient rules
 * read the copies. The copies run the same kernels on the same inputs, so the gradients are the same bits. Of an op that is cheap the
 * rules read a second copy, recorded where the first of them reads it: the first copy ends with the recomputation. Where regions are
 * grouped, the first copies read copies of what the regions before theirs in the group give, recorded when the sweep enters the group.
 */

import { describeNode, type PartialGradient } from "./op.ts";
import { type Graph, type Node, sizeOf, type Tensor } from "./graph.ts";
import { add } from "./ops/add.ts";
import { joinWindows, reshape } from "./ops/views.ts";

/**
 * What is recomputed. `true`: the values within each region, so that what goes from region to region is kept. `"groups"`: of that too only
 * what goes from group to group of the √n neighbouring regions; it takes one more forward pass of nearly all regions.
 */
export type Recompute = boolean | "groups";

/** How to differentiate. */
export interface DifferentiateOptions {
  /** The outputs to differentiate, each with the gradient that flows into it. */
  seeds: readonly { output: Tensor; gradient: Tensor }[];
  /** Recompute the values of marked regions instead of keeping them. Default: keep. */
  recompute?: Recompute;
  /** Resident tensors whose gradients must be there. The others that have one are differentiated all the same. */
  wrt?: readonly Tensor[];
  /** Called as soon as the gradient of a resident tensor is complete. */
  onGradient?: (tensor: Tensor, gradient: Tensor) => void;
}

/**
 * Appends the gradient nodes of `seeds` to `g` and returns the gradient of every parameter, and of every input declared with one,
 * that the seeds depend on.
 *
 * @throws {Error} naming the op, when a path to such a tensor leads through an op that has no gradient.
 * @throws {Error} naming a tensor of `wrt` that the seeds do not depend on, or that was declared without a gradient.
 */
export function differentiate(g: Graph, options: DifferentiateOptions): Map<Tensor, Tensor> {
  const forward = g.nodes.slice();
  const contributions = new Map<Tensor, (Tensor | PartialGradient)[]>();
  const contribute = (tensor: Tensor, gradient: Tensor | PartialGradient) => {
    const list = contributions.get(tensor);
    if (list) list.push(gradient);
    else contributions.set(tensor, [gradient]);
  };
  for (const seed of options.seeds) contribute(seed.output, seed.gradient);

  const firstUse = leafFirstUse(forward);
  const result = new Map<Tensor, Tensor>();
  const copies = new RegionCopies(g, forward, options.recompute ?? false);
  const outerPhase = g.phase;
  g.phase = "backward";
  for (const node of forward.toReversed()) {
    const grads: Record<string, Tensor> = {};
    for (const [name, output] of Object.entries(node.outputs)) {
      const list = contributions.get(output);
      if (!list) continue;
      contributions.delete(output);
      if (output.needsGradient) grads[name] = g.scope(`grad/${node.scope}`, () => sum(g, output, list));
    }
    if (Object.keys(grads).length > 0) {
      const { gradient } = node.op;
      if (typeof gradient !== "function") {
        throw new Error(`Cannot train through op "${describeNode(node)}": it has no gradient`);
      }
      const { inputs, outputs } = copies.of(node);
      g.scope(`grad/${node.scope}`, () => {
        const needs = (name: string) => node.inputs[name]?.needsGradient ?? false;
        const flows = gradient({ g, inputs, outputs, attrs: node.attrs, axes: node.axes, grads, needs });
        for (const [name, input] of Object.entries(node.inputs)) {
          if (!input.needsGradient) continue;
          const flow = flows[name];
          if (!flow) {
            throw new Error(
              `Cannot train through op "${
                describeNode(node)
              }": its gradient rule gives none for input "${name}"`,
            );
          }
          contribute(input, flow);
        }
      });
    }
    for (const leaf of firstUse.get(node) ?? []) {
      const list = contributions.get(leaf);
      if (!list) continue;
      contributions.delete(leaf);
      g.scope(`grad/${node.scope}`, () => {
        const gradient = sum(g, leaf, list);
        result.set(leaf, gradient);
        options.onGradient?.(leaf, gradient);
      });
    }
  }
  g.phase = outerPhase;
  for (const tensor of options.wrt ?? []) {
    if (result.has(tensor)) continue;
    const why = tensor.needsGradient ? "the seeds must depend on it" : "it must be declared with a gradient";
    throw new Error(`Cannot differentiate with respect to "${tensor.label}": ${why}`);
  }
  return result;
}

/** Resident tensors with a gradient by the first node that reads them: when the sweep has passed it, it is complete. */
function leafFirstUse(nodes: readonly Node[]): Map<Node, Tensor[]> {
  const seen = new Set<Tensor>();
  const uses = new Map<Node, Tensor[]>();
  for (const node of nodes) {
    for (const input of Object.values(node.inputs)) {
      if (!input.needsGradient || input.producer !== null || seen.has(input)) continue;
      seen.add(input);
      const list = uses.get(node);
      if (list) list.push(input);
      else uses.set(node, [input]);
    }
  }
  return uses;
}

/** Adds up everything that flows into `tensor`. */
function sum(g: Graph, tensor: Tensor, list: readonly (Tensor | PartialGradient)[]): Tensor {
  const whole: Tensor[] = [];
  const windows: { tensor: Tensor; offset: number }[] = [];
  for (const item of list) {
    if ("partial" in item) windows.push({ tensor: item.partial, offset: item.offset });
    else whole.push(reshape(g, item, tensor.shape));
  }
  // Windows that start at one place overlap: they are added first, so that what is joined tiles the tensor.
  const byOffset = new Map<number, Tensor>();
  for (const window of windows) {
    const there = byOffset.get(window.offset);
    if (there && sizeOf(there.shape) !== sizeOf(window.tensor.shape)) {
      throw new Error(
        `Cannot add gradients of "${tensor.label}": windows at element ${window.offset} must have one size`,
      );
    }
    byOffset.set(window.offset, there ? add(g, there, window.tensor) : window.tensor);
  }
  if (byOffset.size > 0) {
    const parts = [...byOffset].map(([offset, part]) => ({ tensor: part, offset }));
    whole.push(joinWindows(g, parts, tensor.shape));
  }
  return whole.reduce((a, b) => add(g, a, b));
}

/** The same names with other tensors. */
function mapped(
  tensors: Readonly<Record<string, Tensor>>,
  to: (tensor: Tensor) => Tensor,
): Record<string, Tensor> {
  return Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, to(tensor)]));
}

/** Re-recorded regions. Entering a region for the first time records all its nodes; unused copies die in the plan. */
class RegionCopies {
  readonly #g: Graph;
  readonly #recompute: Recompute;
  /** Number of the group of a region. */
  readonly #groups: ReadonlyMap<string, number>;
  /** Copies that the regions of a group read of each other. */
  readonly #ahead = new Map<Tensor, Tensor>();
  readonly #members = new Map<string, Node[]>();
  readonly #tensors = new Map<Tensor, Tensor>();
  /** Second copies, of what cheap ops give. */
  readonly #late = new Map<Tensor, Tensor>();
  readonly #entered = new Set<string>();

  constructor(g: Graph, forward: readonly Node[], recompute: Recompute) {
    this.#g = g;
    this.#recompute = recompute;
    for (const node of forward) {
      if (node.region === null) continue;
      const list = this.#members.get(node.region);
      if (list) list.push(node);
      else this.#members.set(node.region, [node]);
    }
    const regions = [...this.#members.keys()], size = Math.max(1, Math.ceil(Math.sqrt(regions.length)));
    this.#groups = new Map(regions.map((region, i) => [region, Math.floor(i / size)]));
  }

  /** The inputs and outputs a gradient rule should read for `node`. */
  of(node: Node): Pick<Node, "inputs" | "outputs"> {
    if (!this.#recompute || node.region === null) return node;
    if (!this.#entered.has(node.region)) {
      this.#entered.add(node.region);
      for (const member of this.#members.get(node.region)!) this.#copy(member);
    }
    return { inputs: this.#mapLate(node.inputs, node.region), outputs: this.#map(node.outputs) };
  }

  #copy(node: Node): void {
    if (node.op.updates.length > 0) return; // an effect such as running statistics happens once
    const inputs = this.#recompute === "groups"
      ? mapped(node.inputs, (t) => this.#tensors.get(t) ?? this.#aheadOf(t, node.region!))
      : this.#map(node.inputs);
    const outputs = this.#record(node, inputs);
    for (const [name, tensor] of Object.entries(node.outputs)) this.#tensors.set(tensor, outputs[name]);
  }

  /**
   * What a region reads: of an earlier one in its group a copy, recorded with all that leads to it within the group, which
   * dies with the recording; of anything else the tensor itself.
   */
  #aheadOf(tensor: Tensor, reader: string): Tensor {
    const known = this.#ahead.get(tensor), { producer } = tensor;
    if (known) return known;
    if (producer === null || producer.region === null) return tensor;
    if (this.#groups.get(producer.region) !== this.#groups.get(reader)) return tensor;
    const outputs = this.#record(producer, mapped(producer.inputs, (t) => this.#aheadOf(t, reader)));
    for (const [name, output] of Object.entries(producer.outputs)) this.#ahead.set(output, outputs[name]);
    return this.#ahead.get(tensor)!;
  }

  #record(node: Node, inputs: Record<string, Tensor>): Readonly<Record<string, Tensor>> {
    return this.#g.scope(`recompute/${node.scope}`, () => this.#g.record(node.op, inputs, node.attrs));
  }

  #map(tensors: Readonly<Record<string, Tensor>>): Record<string, Tensor> {
    return mapped(tensors, (t) => this.#tensors.get(t) ?? t);
  }

  /** For the rules: with second copies, which die in the plan where no rule reads them. */
  #mapLate(tensors: Readonly<Record<string, Tensor>>, region: string): Record<string, Tensor> {
    return mapped(tensors, (t) => this.#lateCopy(t, region) ?? this.#tensors.get(t) ?? t);
  }

  /** The second copy of what a cheap op of the region gives, also seen through views; null of anything else. */
  #lateCopy(tensor: Tensor, region: string): Tensor | null {
    const known = this.#late.get(tensor);
    if (known) return known;
    const { producer } = tensor;
    if (producer === null || producer.region !== region) return null;
    const isView = producer.op.view !== undefined;
    if (!isView && !producer.op.isCheap) return null;
    if (isView && this.#lateCopy(producer.inputs.x, region) === null) return null;
    const inputs = this.#mapLate(producer.inputs, region), outputs = this.#record(producer, inputs);
    for (const [name, output] of Object.entries(producer.outputs)) this.#late.set(output, outputs[name]);
    return this.#late.get(tensor)!;
  }
}
