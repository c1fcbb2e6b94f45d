/**
 * Runs recorded graphs on the plain references of their ops, in f64 and without a device: the yardstick for
 * differentiation, and, with a plan, for where the planner puts things.
 */

import { baseOf, type Graph, type Node, sizeOf, type Tensor } from "../../gpu/graph.ts";
import type { Arrays } from "../../gpu/op.ts";
import type { Plan } from "../../gpu/plan.ts";

/** Elements of every tensor that owns memory. */
export type Memory = Map<Tensor, Float64Array>;

/** Elements of a tensor, which may be a window. */
export function elementsOf(memory: Memory, tensor: Tensor): Float64Array {
  const whole = memory.get(baseOf(tensor));
  if (!whole) throw new Error(`Cannot read "${tensor.label}": it must be computed or given first`);
  return whole.subarray(tensor.offset, tensor.offset + sizeOf(tensor.shape));
}

/** Runs `nodes` in order on `memory`, to which the results are added. */
export function runReference(nodes: readonly Node[], memory: Memory): Memory {
  for (const node of nodes) {
    if (node.op.view) continue;
    const results = computeNode(node, (tensor) => elementsOf(memory, tensor));
    for (const [name, tensor] of Object.entries(node.outputs)) memory.set(tensor, results[name]);
    writeUpdates(node, results, (tensor) => elementsOf(memory, tensor));
  }
  return memory;
}

/**
 * Runs the steps of `plan` with every value at its planned place in one shared arena (4-byte elements only). Places whose
 * value has died are filled with NaN, so reading after the end of a lifetime, or a second value in one place, shows.
 */
export function runPlanned(plan: Plan, residents: Memory): (tensor: Tensor) => Float64Array {
  const chunks = plan.chunks.map((bytes) => new Float64Array(bytes / 4).fill(NaN));
  const at = (tensor: Tensor): Float64Array => {
    const base = baseOf(tensor), pinned = plan.pinned.get(base), placement = plan.placements.get(base);
    const size = sizeOf(tensor.shape);
    if (pinned) return elementsOf(residents, pinned).subarray(tensor.offset, tensor.offset + size);
    if (!placement) return elementsOf(residents, tensor);
    const start = placement.offset / 4 + tensor.offset;
    return chunks[placement.chunk].subarray(start, start + size);
  };
  for (const [i, { node, frees }] of plan.steps.entries()) {
    const results = computeNode(node, at);
    for (const [name, tensor] of Object.entries(node.outputs)) at(tensor).set(results[name]);
    writeUpdates(node, results, at);
    if (i < plan.steps.length - 1) { for (const tensor of frees) at(tensor).fill(NaN); }
  }
  return at;
}

function computeNode(node: Node, read: (tensor: Tensor) => Float64Array): Arrays {
  const arrays: Arrays = {};
  for (const [name, tensor] of Object.entries(node.inputs)) arrays[name] = read(tensor).slice();
  const outputs = node.op.outputs(node);
  return node.op.reference(arrays, { ...node, outputs });
}

function writeUpdates(node: Node, results: Arrays, at: (tensor: Tensor) => Float64Array): void {
  for (const name of node.op.updates) {
    if (node.inputs[name] && results[name]) at(node.inputs[name]).set(results[name]);
  }
}

/** Values of the graph's outputs. */
export function outputsOf(g: Graph, read: (tensor: Tensor) => Float64Array): Map<string, Float64Array> {
  return new Map([...g.outputs].map(([name, tensor]) => [name, read(tensor).slice()]));
}
