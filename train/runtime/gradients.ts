/** Where the gradients of a recorded loss go: beside the weights, written or added. */

import { differentiate } from "../../gpu/autodiff.ts";
import { type Graph, sizeOf, type Tensor } from "../../gpu/graph.ts";
import { accumulateInto, copyInto } from "../../gpu/ops/mod.ts";
import { type Plan, planGraph } from "../../gpu/plan.ts";
import type { Weight } from "../../models/params.ts";
import { isTwoPass, type ProgramOptions } from "./program_options.ts";

/** Whether several programs give the gradients of one update: then each adds its own to what is there. */
export function addsGradients(
  options: Pick<ProgramOptions, "accumulation" | "trainClips" | "microClips" | "objective" | "ranks">,
): boolean {
  const { accumulation, trainClips, microClips = Infinity } = options;
  return accumulation > 1 || trainClips.some((clips) => clips > microClips) || isTwoPass(options);
}

/** Sends the gradients of a sweep to their places beside the weights. */
export class GradientWriter {
  /** Weights that got one. */
  readonly reached = new Set<Weight>();
  readonly #g: Graph;
  readonly #options: ProgramOptions;
  readonly #adds: boolean;
  readonly #trained: readonly Weight[];
  readonly #homes: ReadonlyMap<Tensor, { weight: Weight; home: Tensor }>;
  readonly #pinned = new Map<Tensor, Tensor>();

  /** @param more.adds Several programs of a step write gradients: each adds its own. */
  constructor(
    g: Graph,
    { trained, gradients }: { readonly trained: readonly Weight[]; readonly gradients: readonly Tensor[] },
    options: ProgramOptions,
    more: { adds: boolean },
  ) {
    this.#g = g;
    this.#options = options;
    this.#adds = more.adds;
    this.#trained = trained;
    this.#homes = new Map(trained.map((weight, i) => [weight.tensor, { weight, home: gradients[i] }]));
  }

  /** Differentiates and returns the gradients of `wrt`. */
  sweep(
    seeds: readonly { output: Tensor; gradient: Tensor }[],
    wrt: readonly Tensor[] = [],
  ): Map<Tensor, Tensor> {
    return differentiate(this.#g, {
      seeds,
      wrt,
      recompute: this.#options.recompute,
      onGradient: (tensor, gradient) => this.#take(tensor, gradient, wrt),
    });
  }

  #take(tensor: Tensor, gradient: Tensor, wrt: readonly Tensor[]): void {
    if (wrt.includes(tensor)) return;
    const found = this.#homes.get(tensor);
    if (!found) {
      throw new Error(`Cannot train: "${tensor.label}" must be left alone, but the loss depends on it`);
    }
    const { weight, home } = found;
    this.reached.add(weight);
    const owner = gradient.base ?? gradient;
    const whole = owner.role === "value" && sizeOf(owner.shape) === sizeOf(home.shape) &&
      !this.#pinned.has(owner);
    if (this.#adds) this.#add(gradient, home);
    else if (whole) this.#pinned.set(owner, home); // written where it belongs, without a copy
    else copyInto(this.#g, gradient, home);
  }

  #add(gradient: Tensor, home: Tensor): void {
    const { producer } = gradient;
    if (producer?.op.addInto && producer.outputs.out === gradient) {
      producer.op.addInto(this.#g, producer, home);
    } else accumulateInto(this.#g, gradient, { dst: home });
  }

  /** @throws {Error} naming a trained weight that the loss does not depend on. */
  requireAll(): void {
    requireReached(this.#trained, this.reached);
  }

  plan(): Plan {
    return planGraph(this.#g, { limits: this.#options.limits, pinned: this.#pinned });
  }
}

/** @throws {Error} naming a trained weight that no loss reaches. */
export function requireReached(trained: readonly Weight[], reached: ReadonlySet<Weight>): void {
  const unread = trained.find((weight) => !reached.has(weight));
  if (!unread) return;
  throw new Error(
    `Cannot train "${unread.name}": the loss must depend on it; a weight that no node reads is declared as left alone`,
  );
}
