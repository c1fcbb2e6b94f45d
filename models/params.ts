/**
 * Declared weights of a model: name, shape, initial values and whether they train. Frozen and trainable weights are two
 * lists that come from how the model declares them, never from how a name looks.
 */

import { type Dtype, resident, sizeOf, type Tensor } from "../gpu/graph.ts";
import { DataError } from "../lib/errors.ts";
import { shorten } from "../lib/text.ts";
import type { Prng } from "../lib/random.ts";

/** Where weights come from: a checkpoint, a reference case. `data/checkpoint` implements it. */
export interface WeightSource {
  /** For messages: the file. */
  readonly label: string;
  names(): Iterable<string>;
  /** Shape of a tensor; undefined when there is none of that name. */
  shapeOf(name: string): readonly number[] | undefined;
  /** What stands under names where a tensor could, and is not read, in words; nothing when absent. */
  readonly foreign?: ReadonlyMap<string, string>;
  /** Whether `readF32` can give a tensor: complex numbers it cannot, nor floats of a few bits. It can when absent. */
  converts?(name: string): boolean;
  /** Values as f32, row-major. */
  readF32(name: string): Promise<Float32Array>;
}

/** Initial values of a weight. */
export type Init = (count: number, prng: Prng) => Float32Array;

/** Uniform in [−bound, bound]. */
export function uniform(bound: number): Init {
  return (count, prng) => Float32Array.from({ length: count }, () => (2 * prng.uniform() - 1) * bound);
}

/** Normal with mean 0. */
export function normal(deviation: number): Init {
  return (count, prng) => Float32Array.from({ length: count }, () => prng.normal() * deviation);
}

/** One value everywhere. */
export function constant(value: number): Init {
  return (count) => new Float32Array(count).fill(value);
}

/**
 * What becomes of a weight: `trained` by the optimiser, `statistic` updated by the forward pass, `constant` computed once a
 * run before its first step, `frozen` never changed.
 */
export type WeightKind = "trained" | "statistic" | "constant" | "frozen";

/** One declared weight. */
export interface Weight {
  readonly name: string;
  readonly shape: readonly number[];
  readonly kind: WeightKind;
  readonly init: Init;
  readonly tensor: Tensor;
  /** The optimiser group of a trained weight: one of those that the system's record lists. */
  readonly group: string;
  /** Whether it begins with the value that the backbone's file has for it: every frozen weight, and trained ones of a tower. */
  readonly pretrained: boolean;
  /** The backbone block a frozen weight belongs to; null for what all blocks share. Blocks can be streamed. */
  readonly block: number | null;
  /** Its place among all that were declared, those left out included: its stream of initial values. */
  readonly place: number;
}

/** The optimiser group of a weight, from the one that it is declared in, its name and its shape. */
export type GroupRule = (group: string, name: string, shape: readonly number[]) => string;

/** Collects the weights a model declares, in order. */
export class Weights {
  readonly list: Weight[] = [];
  /** Batch counters that PyTorch keeps beside running statistics (`num_batches_tracked`): a whole number, no tensor. */
  readonly counters: string[] = [];
  readonly #byName = new Map<string, Weight>();
  readonly #frozenDtype: Dtype;
  readonly #groupRule: GroupRule;
  #group: string;
  #unfrozen = false;
  #block: number | null = null;
  #place = 0;
  #leavesOut = false;

  /**
   * @param options.frozenDtype Storage type of frozen matrices; vectors stay f32.
   * @param options.group Optimiser group of what is declared outside `inGroup`: "trained" by default.
   * @param options.groupRule What becomes of the group that a weight is declared in, where its name or shape matters too.
   */
  constructor(
    options: { frozenDtype?: Dtype; group?: string; groupRule?: GroupRule } = {},
  ) {
    this.#frozenDtype = options.frozenDtype ?? "f32";
    this.#group = options.group ?? "trained";
    this.#groupRule = options.groupRule ?? ((group) => group);
  }

  trained(name: string, shape: readonly number[], init: Init): Tensor {
    return this.#declare(name, shape, "trained", init, resident("parameter", name, shape));
  }

  statistic(name: string, shape: readonly number[], init: Init): Tensor {
    return this.#declare(name, shape, "statistic", init, resident("state", name, shape));
  }

  /**
   * A value that is computed once a run, by the model's prologue or from the texts of its classes: not trained, kept in checkpoints with
   * the trained weights. Zeros until then.
   */
  constant(name: string, shape: readonly number[]): Tensor {
    return this.#declare(name, shape, "constant", constant(0), resident("state", name, shape));
  }

  /** A weight of a tower, which the backbone's file has: frozen, but within `unfrozen`. */
  frozen(name: string, shape: readonly number[], init: Init, options: { dtype?: Dtype } = {}): Tensor {
    if (this.#unfrozen) {
      return this.#declare(name, shape, "trained", init, resident("parameter", name, shape), true);
    }
    const dtype = options.dtype ?? (shape.length >= 2 ? this.#frozenDtype : "f32");
    return this.#declare(name, shape, "frozen", init, resident("frozen", name, shape, dtype), true);
  }

  /** Declares what `body` declares in an optimiser group. */
  inGroup<R>(group: string, body: () => R): R {
    const outer = this.#group;
    this.#group = group;
    try {
      return body();
    } finally {
      this.#group = outer;
    }
  }

  /**
   * Declares the weights that `body` declares as frozen in an optimiser group instead: trained, in f32, and beginning with the
   * values of the backbone's file.
   */
  unfrozen<R>(group: string, body: () => R): R {
    const outer = this.#unfrozen;
    this.#unfrozen = true;
    try {
      return this.inGroup(group, body);
    } finally {
      this.#unfrozen = outer;
    }
  }

  /** Declares what `body` declares as part of a backbone block, in the order in which blocks run. */
  inBlock<R>(block: number, body: () => R): R {
    this.#block = block;
    try {
      return body();
    } finally {
      this.#block = null;
    }
  }

  /**
   * Declares what `body` declares for the sake of the order alone: those weights are not in the list and get no memory. All
   * others keep their initial values.
   */
  leaveOut<R>(body: () => R): R {
    this.#leavesOut = true;
    try {
      return body();
    } finally {
      this.#leavesOut = false;
    }
  }

  /** Frozen tensors by backbone block. */
  blocks(): Tensor[][] {
    const blocks: Tensor[][] = [];
    for (const { block, tensor } of this.of("frozen")) {
      if (block !== null) (blocks[block] ??= []).push(tensor);
    }
    return blocks;
  }

  counter(name: string): void {
    this.counters.push(name);
  }

  /** Weights of one kind, in declared order. */
  of(kind: WeightKind): Weight[] {
    return this.list.filter((weight) => weight.kind === kind);
  }

  get(name: string): Weight | undefined {
    return this.#byName.get(name);
  }

  /** Number of scalars of one kind. */
  count(kind: WeightKind): number {
    return this.of(kind).reduce((sum, weight) => sum + sizeOf(weight.shape), 0);
  }

  #declare(
    name: string,
    shape: readonly number[],
    kind: WeightKind,
    init: Init,
    tensor: Tensor,
    pretrained = false,
  ): Tensor {
    if (this.#byName.has(name)) throw new Error(`Cannot declare weight "${name}": the name must be new`);
    const place = this.#place++;
    if (this.#leavesOut) return tensor;
    const weight: Weight = {
      name,
      shape,
      kind,
      init,
      tensor,
      group: this.#groupRule(this.#group, name, shape),
      pretrained,
      block: this.#block,
      place,
    };
    this.list.push(weight);
    this.#byName.set(name, weight);
    return tensor;
  }
}

/** Which tensors of a source a model does without, as exact names or prefixes ending in ".". */
export type IgnoreList = readonly string[];

/** Whether a list names a tensor. */
export function isIgnored(name: string, list: IgnoreList): boolean {
  return list.some((entry) => entry === name || (entry.endsWith(".") && name.startsWith(entry)));
}

/** Whether a tensor is no weight of any network: a number beside the modules, or one that is not real. */
function isNoWeight(name: string, source: WeightSource): boolean {
  const isCounter = !name.includes(".") && source.shapeOf(name)?.length === 0;
  return isCounter || source.converts?.(name) === false;
}

/**
 * Settles the account of a source with the weights it should fill: everything expected is there with its shape, and
 * everything there is expected, on the ignore list, or no weight of a network.
 *
 * @throws {DataError} naming the first tensor that is missing, mis-shaped or unknown.
 */
export function checkAccount(
  weights: readonly Weight[],
  source: WeightSource,
  options: { ignore?: IgnoreList; explain?: (source: WeightSource) => string | undefined } = {},
): void {
  const { ignore = [] } = options;
  const cause = () => {
    const text = options.explain?.(source);
    return text ? `; ${text}` : "";
  };
  for (const { name, shape } of weights) {
    const found = source.shapeOf(name);
    if (!found) {
      const instead = source.foreign?.get(name);
      const what = instead === undefined
        ? `is missing${cause()}`
        : `must be a plain tensor, it is made by "${shorten(instead)}", which is not read`;
      throw new DataError(`Cannot load "${source.label}": tensor "${name}" [${shape}] ${what}`);
    }
    if (found.join() !== shape.join()) {
      throw new DataError(
        `Cannot load "${source.label}": tensor "${name}" must be [${shape}], current shape is [${found}]${cause()}`,
      );
    }
  }
  const expected = new Set(weights.map((weight) => weight.name));
  for (const name of source.names()) {
    if (expected.has(name)) continue;
    if (isIgnored(name, ignore) || isNoWeight(name, source)) continue;
    throw new DataError(
      `Cannot load "${source.label}": tensor "${shorten(name)}" is not known to this model${cause()}`,
    );
  }
}
