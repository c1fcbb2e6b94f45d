/** Rules by which an optimiser updates weights, as records. Another rule is another record, with the op that it launches. */

import type { Graph, Tensor } from "../../gpu/graph.ts";
import {
  adamw as recordAdamw,
  ADAMW_HYPER_LENGTH,
  BERT_ADAM_HYPER_LENGTH,
  bertAdam as recordBertAdam,
  type HyperPlace,
  packAdamwHyper,
  packBertAdamHyper,
} from "../../gpu/ops/mod.ts";
import type { OptimizerGroup, OptimizerName } from "../../models/system.ts";

/** Constants of a rule that are the same in every step. */
export interface RuleOptions {
  readonly betas: readonly [number, number];
  readonly eps: number;
}

/** The memory that one launch updates: a range of flat memory, in which all weights have one treatment. */
export interface UpdateWindow {
  readonly param: Tensor;
  readonly grad: Tensor;
  /** By the rule's names. */
  readonly moments: Readonly<Record<string, Tensor>>;
  /** Step constants of all groups, one after another. */
  readonly hyper: Tensor;
  /** `[1]`, a factor on the gradient. */
  readonly clip: Tensor;
  /** What marks the update as one to skip, and how many were (`gpu/ops/update_guard.ts`). */
  readonly guard: Tensor;
}

/** A rule. */
export interface UpdateRule {
  readonly id: string;
  /** What it keeps beside every weight, by the names of the originals' optimiser states. */
  readonly moments: readonly string[];
  /** Limit of the norm of every weight's own gradient, after that of all of them; none when absent. */
  readonly tensorNorm?: number;
  /** Floats of a group's step constants. */
  readonly hyperLength: number;
  /** A group's step constants. @param at.step Number of the update, from 1. */
  hyper(group: OptimizerGroup, at: { rate: number; step: number; options: RuleOptions }): Float32Array;
  /** Records the update, which changes nothing where the guard marks it. @param place Where the group's constants lie. */
  record(g: Graph, window: UpdateWindow, place: Required<HyperPlace>): void;
}

/** AdamW, in the order of `torch.optim.AdamW`. */
export const ADAMW: UpdateRule = {
  id: "adamw",
  moments: ["exp_avg", "exp_avg_sq"],
  hyperLength: ADAMW_HYPER_LENGTH,
  hyper: ({ weightDecay }, { rate, step, options: { betas: [beta1, beta2], eps } }) =>
    packAdamwHyper({ lr: rate, beta1, beta2, eps, weightDecay, step }),
  record: (g, { param, grad, moments: { exp_avg: m, exp_avg_sq: v }, hyper, clip, guard }, place) =>
    recordAdamw(g, { param, grad, m, v, hyper, clip, guard }, place),
};

/** BertAdam, as in BERT's own code: no bias correction, eps outside the root, a decay that is added to the update. */
export const BERT_ADAM: UpdateRule = {
  id: "bert_adam",
  moments: ["next_m", "next_v"],
  tensorNorm: 1,
  hyperLength: BERT_ADAM_HYPER_LENGTH,
  hyper: ({ weightDecay }, { rate, options: { betas: [beta1, beta2], eps } }) =>
    packBertAdamHyper({ lr: rate, beta1, beta2, eps, weightDecay }),
  record: (g, { param, grad, moments: { next_m: m, next_v: v }, hyper, clip, guard }, place) =>
    recordBertAdam(g, { param, grad, m, v, hyper, clip, guard }, place),
};

/** The rules by the names that recipes use, with what each adds to the root of the second moment. */
export const RULES: Readonly<Record<OptimizerName, { rule: UpdateRule; eps: number }>> = {
  adamw: { rule: ADAMW, eps: 1e-8 },
  bert_adam: { rule: BERT_ADAM, eps: 1e-6 },
};

/** An exponential moving average of a model's weights. */
export interface AverageOptions {
  /** Share of the average that an update leaves as it was. */
  readonly decay: number;
  /** Begin with a smaller decay: (1 + n) / (10 + n) after update n, as long as that is less. */
  readonly warmup: boolean;
}

/** The share of the new weights that an update moves the average by. @param update Its number, from 1. */
export function averageRate({ decay, warmup }: AverageOptions, update: number): number {
  return 1 - (warmup ? Math.min(decay, (1 + update) / (10 + update)) : decay);
}

/** How a model is trained. */
export interface Optimizer {
  readonly rule: UpdateRule;
  readonly options: RuleOptions;
  /** In memory order; every trained weight belongs to one of them by name. */
  readonly groups: readonly OptimizerGroup[];
}

/** Rate of the schedule by group, times the group's factor. */
export type GroupRates = Readonly<Record<string, number>>;

/** The rates of all groups at one rate of the schedule. */
export function ratesOf({ groups }: Pick<Optimizer, "groups">, lr: number): GroupRates {
  return Object.fromEntries(groups.map(({ name, lrScale }) => [name, lr * lrScale]));
}

/** What the update of every group reads, in group order, for each number that the update may have. @param steps From 1. */
export function packHyper(
  { rule, options, groups }: Optimizer,
  rates: GroupRates,
  steps: readonly number[],
): Float32Array {
  return Float32Array.from(
    steps.flatMap((step) =>
      groups.flatMap((group) => [...rule.hyper(group, { rate: rates[group.name], step, options })])
    ),
  );
}
