/**
 * From a recorded graph to a list of steps with every value placed in memory, before anything is allocated.
 *
 * Dead nodes go, neighbours are joined (`fuse.ts`), lifetimes are computed, and values share an arena: largest first, each at the lowest offset where no
 * value alive at the same time lies ("greedy by size", Pisarchyk & Lee 2020, arXiv 2001.03288). An output that may overwrite an input
 * that ends there takes its place.
 */

import { baseOf, BINDING_ALIGNMENT, bytesOf, type Graph, type Node, type Tensor } from "./graph.ts";
import { fuseNodes } from "./fuse.ts";
import { FUSIONS } from "./ops/fusions.ts";
import { describeNode } from "./op.ts";

/** What the adapter can hold. */
export interface PlanLimits {
  /** Largest range of a buffer one kernel may see, in bytes. */
  maxBindingBytes: number;
  /** Largest single buffer, in bytes. The arena is split into buffers of at most this size. */
  maxBufferBytes: number;
}

/** Where a value lies: buffer number and offset in bytes. */
export interface Placement {
  chunk: number;
  offset: number;
  bytes: number;
}

/** One step of a plan, with the values that begin and end their life there. */
export interface PlanStep {
  node: Node;
  allocates: readonly Tensor[];
  frees: readonly Tensor[];
}

/** A graph ready to be given memory. */
export interface Plan {
  steps: readonly PlanStep[];
  /** Memory of every value, by owning tensor. */
  placements: ReadonlyMap<Tensor, Placement>;
  /** Values that took the memory of another, which ended where they began, with that one. */
  inPlace: ReadonlyMap<Tensor, Tensor>;
  /** Values that live in resident memory instead of the arena, by owning tensor. */
  pinned: ReadonlyMap<Tensor, Tensor>;
  /** Size of each arena buffer in bytes. */
  chunks: readonly number[];
  /** Sum of `chunks`. */
  arenaBytes: number;
  /** Largest sum of values alive at one step: what no placement can undercut. */
  peakLiveBytes: number;
  /** The step at which `peakLiveBytes` is reached. */
  peakStep: number;
  /** Resident tensors the steps touch. */
  residents: readonly Tensor[];
  flops: number;
  bytesMoved: number;
}

/** Rounds up to the binding alignment. */
export function align(bytes: number): number {
  return Math.ceil(bytes / BINDING_ALIGNMENT) * BINDING_ALIGNMENT;
}

/** How to plan. */
export interface PlanOptions {
  limits: PlanLimits;
  /** Values to be written straight into resident memory: parameter gradients into the flat gradient buffer. */
  pinned?: ReadonlyMap<Tensor, Tensor>;
  /** Whether neighbouring nodes are joined where that saves traffic to memory. Default: yes. */
  fuses?: boolean;
}

/** Plans the nodes of `g` that its outputs and effects need. */
export function planGraph(g: Graph, options: PlanOptions): Plan {
  const pinned = options.pinned ?? new Map<Tensor, Tensor>();
  const recorded = liveNodes(g, pinned).filter((node) => !node.op.view);
  const kept = new Set([...g.outputs.values(), ...pinned.keys()].map(baseOf));
  const nodes = options.fuses ?? true ? fuseNodes(recorded, kept, FUSIONS) : recorded;
  const lifetimes = valueLifetimes(g, nodes, pinned);
  const { inPlace, owners } = joinInPlace(g, nodes, lifetimes);
  const chunkBytes = Math.floor(options.limits.maxBufferBytes / BINDING_ALIGNMENT) * BINDING_ALIGNMENT;
  const limitBytes = Math.min(options.limits.maxBindingBytes, chunkBytes);
  for (const tensor of lifetimes.keys()) {
    if (bytesOf(tensor) > limitBytes) throw TooLargeError.of(tensor, limitBytes);
  }
  const { placements, chunks } = place(lifetimes, chunkBytes);
  for (const [tensor, owner] of owners) placements.set(tensor, placements.get(owner)!);
  const allocates = nodes.map((): Tensor[] => []), frees = nodes.map((): Tensor[] => []);
  for (const [tensor, { first, last }] of lifetimes) {
    allocates[first].push(tensor);
    frees[last].push(tensor);
  }
  let live = 0, peakLiveBytes = 0, peakStep = 0, flops = 0, bytesMoved = 0;
  const residents = new Set<Tensor>();
  nodes.forEach((node, i) => {
    for (const tensor of allocates[i]) live += align(bytesOf(tensor));
    if (live > peakLiveBytes) [peakLiveBytes, peakStep] = [live, i];
    for (const tensor of frees[i]) live -= align(bytesOf(tensor));
    for (const tensor of [...Object.values(node.inputs), ...Object.values(node.outputs)]) {
      if (tensor.role !== "value") residents.add(baseOf(tensor));
    }
    const work = node.op.work(node);
    flops += work.flops;
    bytesMoved += work.bytes;
  });
  for (const target of pinned.values()) residents.add(baseOf(target));
  return {
    steps: nodes.map((node, i) => ({ node, allocates: allocates[i], frees: frees[i] })),
    placements,
    inPlace,
    pinned,
    chunks,
    arenaBytes: chunks.reduce((a, b) => a + b, 0),
    peakLiveBytes,
    peakStep,
    residents: [...residents],
    flops,
    bytesMoved,
  };
}

/** Something larger than one binding or one buffer of the adapter. The caller knows the batch and adds what would fit. */
export class TooLargeError extends RangeError {
  override name = "TooLargeError";

  /** @param what In words, for messages: `"attention.out#12" [8 197 768]`. */
  constructor(readonly what: string, readonly neededBytes: number, readonly limitBytes: number) {
    super(
      `Cannot plan ${what}: a tensor must be at most ${limitBytes} bytes on this adapter, ` +
        `current size is ${neededBytes} bytes`,
    );
  }

  /** The error of a tensor. */
  static of(tensor: Tensor, limitBytes: number): TooLargeError {
    return new TooLargeError(`"${tensor.label}" [${tensor.shape}]`, bytesOf(tensor), limitBytes);
  }
}

/** The nodes that outputs, pinned values and effects need, in recorded order. */
export function liveNodes(g: Graph, pinned: ReadonlyMap<Tensor, Tensor> = new Map()): Node[] {
  const needed = new Set<Node>();
  const roots = [...g.outputs.values(), ...pinned.keys()];
  for (const node of g.nodes) if (node.op.updates.length > 0) needed.add(node);
  for (const root of roots) if (root.producer) needed.add(root.producer);
  for (const node of g.nodes.toReversed()) {
    if (!needed.has(node)) continue;
    for (const input of Object.values(node.inputs)) if (input.producer) needed.add(input.producer);
  }
  return g.nodes.filter((node) => needed.has(node));
}

/** First and last step of every value that owns memory in the arena. */
function valueLifetimes(
  g: Graph,
  nodes: readonly Node[],
  pinned: ReadonlyMap<Tensor, Tensor>,
): Map<Tensor, { first: number; last: number }> {
  const lifetimes = new Map<Tensor, { first: number; last: number }>();
  nodes.forEach((node, i) => {
    for (const output of Object.values(node.outputs)) {
      if (!pinned.has(output)) lifetimes.set(output, { first: i, last: i });
    }
    for (const input of Object.values(node.inputs)) {
      const base = baseOf(input);
      if (base.role !== "value" || pinned.has(base)) continue;
      const lifetime = lifetimes.get(base);
      if (!lifetime) {
        throw new Error(
          `Cannot plan ${describeNode(node)}: "${base.label}" must be produced before it is read`,
        );
      }
      lifetime.last = i;
    }
  });
  for (const output of g.outputs.values()) {
    const lifetime = lifetimes.get(baseOf(output));
    if (lifetime) lifetime.last = nodes.length - 1;
  }
  return lifetimes;
}

/**
 * Lets outputs take the memory of inputs that they may overwrite: the lifetime of the one goes on in that of the other.
 *
 * @returns Which value took over from which, and to which they all belong, whose memory it is.
 */
function joinInPlace(
  g: Graph,
  nodes: readonly Node[],
  lifetimes: Map<Tensor, { first: number; last: number }>,
) {
  const kept = new Set([...g.outputs.values()].map(baseOf));
  const inPlace = new Map<Tensor, Tensor>(), owners = new Map<Tensor, Tensor>();
  for (const [i, { op, inputs, outputs }] of nodes.entries()) {
    const places = Object.entries(op.overwrites).flatMap(([outputName, inputNames]) =>
      inputNames.map((inputName) => ({ output: outputs[outputName], input: inputs[inputName] }))
    );
    for (const { output, input } of places) {
      if (output === undefined || input === undefined || inPlace.has(output)) continue;
      const base = baseOf(input), owner = owners.get(base) ?? base;
      const before = lifetimes.get(owner), after = lifetimes.get(output);
      const isRead = Object.values(inputs).filter((other) => baseOf(other) === base).length;
      const fits = output.dtype === input.dtype && bytesOf(output) === bytesOf(input) &&
        bytesOf(base) === bytesOf(input);
      if (before === undefined || after === undefined || before.last !== i || isRead > 1 || !fits) continue;
      if (kept.has(base)) continue;
      before.last = after.last;
      lifetimes.delete(output);
      inPlace.set(output, base);
      owners.set(output, owner);
    }
  }
  return { inPlace, owners };
}

/** @param limit Largest buffer in bytes, a multiple of the binding alignment. */
function place(lifetimes: ReadonlyMap<Tensor, { first: number; last: number }>, limit: number) {
  const order = [...lifetimes].sort(([a, la], [b, lb]) =>
    bytesOf(b) - bytesOf(a) || la.first - lb.first || a.id - b.id
  );
  // Placed values by address in one long address space that no value may straddle at multiples of the buffer limit.
  const placed: { start: number; end: number; first: number; last: number }[] = [];
  const placements = new Map<Tensor, Placement>();
  const sizes: number[] = [];
  for (const [tensor, { first, last }] of order) {
    const bytes = align(bytesOf(tensor));
    let start = 0;
    const fit = (candidate: number) => {
      const room = limit - (candidate % limit);
      return room < bytes ? candidate + room : candidate;
    };
    for (const other of placed) {
      if (other.first > last || other.last < first) continue;
      if (start + bytes <= other.start) break;
      start = fit(Math.max(start, other.end));
    }
    const at = { start, end: start + bytes, first, last };
    let low = 0, high = placed.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (placed[middle].start < start) low = middle + 1;
      else high = middle;
    }
    placed.splice(low, 0, at);
    const chunk = Math.floor(start / limit), offset = start % limit;
    placements.set(tensor, { chunk, offset, bytes });
    while (sizes.length <= chunk) sizes.push(0);
    sizes[chunk] = Math.max(sizes[chunk], offset + bytes);
  }
  return { placements, chunks: sizes };
}

/** A readable list of a plan: allocate, run, free, with bytes. One line a step. */
export function* describePlan(plan: Plan): Generator<string> {
  let live = 0;
  for (const [i, { node, allocates, frees }] of plan.steps.entries()) {
    for (const tensor of allocates) live += align(bytesOf(tensor));
    const made = allocates.map((t) => `[${t.shape}] ${t.dtype}`).join(" ");
    const work = node.op.work(node);
    yield `${String(i).padStart(5)}  ${node.phase.padEnd(8)} ${describeNode(node)}  ${made}  ` +
      `live ${(live / 2 ** 20).toFixed(1)} MiB  ${(work.flops / 1e9).toFixed(3)} GFLOP`;
    for (const tensor of frees) live -= align(bytesOf(tensor));
    if (frees.length > 0) yield `       free     ${frees.map((t) => t.label).join(" ")}`;
  }
}
