/** From a recipe to what a session is made for: its system's optimiser groups, its task's inputs and loss, its own numbers. */

import { mostPixelOps } from "../../data/transforms/recipe.ts";
import type { Recompute } from "../../gpu/autodiff.ts";
import { ALONE, type World } from "../../mpi/world.ts";
import { systemOf } from "../../models/registry.ts";
import type { Config } from "../recipe/config.ts";
import { transformRecipe } from "../recipe/transform.ts";
import type { ExpectedFrame } from "../runtime/frame_buffers.ts";
import type { HalvesNeed } from "../runtime/open_session.ts";
import { rankClips } from "../runtime/micro_batches.ts";
import type { Query } from "../runtime/query.ts";
import type { SessionOptions } from "../runtime/session_plan.ts";
import { type Optimizer, RULES } from "../runtime/update_rules.ts";
import { taskOf } from "./registry.ts";
import type { Task } from "./task.ts";

/** Options without what only the adapter knows. */
export type RecipeSessionOptions = Omit<SessionOptions, "limits">;

/** What `memory` means to the backward pass. */
export const RECOMPUTED: Readonly<Record<Config["memory"], Recompute>> = {
  keep: false,
  recompute: true,
  least: "groups",
};

/** The task that a recipe's system is trained for. */
export function taskOfRecipe({ system }: Pick<Config, "system">): Task {
  return taskOf(systemOf(system).task);
}

/** Clips of a full batch: every video counts once a repeated augmentation. */
export function clipsPerBatch({ data }: Pick<Config, "data">): number {
  return data.batch_size * data.num_sample;
}

/** What a recipe needs halves for, on the adapter; null: nothing. @param options.stored Taps come from stored features. */
export function halvesNeed(
  { precision, arithmetic }: Pick<Config, "precision" | "arithmetic">,
  options: { stored?: boolean } = {},
): HalvesNeed | null {
  if (precision === "f16") {
    return { what: "precision f16", instead: "precision=f32", multiplies: arithmetic === "f16" };
  }
  return options.stored ? { what: "data.features", instead: "data.features=null" } : null;
}

/** How a recipe's weights are updated. */
export function optimizerOf(config: Config): Optimizer {
  const { solver, system } = config, { betas, optimizer } = solver, { rule, eps } = RULES[optimizer];
  return { rule, options: { betas, eps }, groups: systemOf(system).recipe.groups(config) };
}

/**
 * What a session for training is made for.
 *
 * @param options.lastBatch Clips of the last, short batch of an epoch; 0: there is none.
 * @param options.resumedBatch The same of the epoch in which an interrupted run goes on, where its other batches were of another size.
 */
export function sessionOptions(
  config: Config,
  options: {
    lastBatch: number;
    resumedBatch?: number;
    largestFrame: ExpectedFrame;
    /** The ranks that batches are cut over; one alone by default. */
    world?: Pick<World, "rank" | "size">;
  },
): RecipeSessionOptions {
  const { solver, data } = config, recipe = transformRecipe(config), task = taskOfRecipe(config);
  const clips = clipsPerBatch(config), short = [options.lastBatch, options.resumedBatch ?? 0];
  const batches = [...new Set([clips, ...short.filter((count) => count > 0)])];
  const { world = ALONE } = options, pairs = solver.mixup, copies = data.num_sample;
  const ofRank = (count: number, rank = world.rank) =>
    rankClips(count, { rank, ranks: world.size, copies, pairs });
  const trainClips = [...new Set(batches.map((count) => ofRank(count)))].filter((count) => count > 0);
  return {
    ...task.training(config),
    optimizer: optimizerOf(config),
    collects: task.collects,
    queries: task.queries?.(config),
    leftAlone: systemOf(config.system).leftAlone,
    trainClips,
    ...world.size > 1 && {
      ranks: {
        rank: world.rank,
        ranks: world.size,
        batches,
        syncNorms: config.network.sync_bn,
        mixed: false,
      },
    },
    evalClips: Math.min(ofRank(clips, 0), data.micro_batch_size ?? Infinity),
    microClips: data.micro_batch_size ?? undefined,
    recompute: RECOMPUTED[config.memory],
    streamFrozen: config.frozen === "stream",
    accumulation: solver.grad_accumulation_steps,
    clipGradNorm: solver.clip_grad_norm,
    skipNonFinite: solver.skip_nonfinite,
    average: solver.ema === null ? null : { decay: solver.ema, warmup: solver.ema_warmup },
    largestFrame: options.largestFrame,
    // Stored features are augmented already.
    augmentation: data.features !== null
      ? undefined
      : { pixelOps: mostPixelOps(recipe), erase: recipe.eraseProbability > 0 },
  };
}

/**
 * What a session for evaluation alone is made for: it has no memory for gradients and moments.
 *
 * @param options.queries What else is asked of the model; by default what the evaluation of its task asks.
 */
export function evaluationOptions(
  config: Config,
  options: { clips: number; largestFrame: ExpectedFrame; queries?: readonly Query[] },
): RecipeSessionOptions {
  // Nothing is mixed or weighted, so nothing but labels would come with a batch.
  const plain = {
    ...config,
    solver: { ...config.solver, mixup: false },
    data: { ...config.data, balance: "none" as const },
  };
  return {
    ...sessionOptions(config, { lastBatch: 0, largestFrame: options.largestFrame }),
    ...taskOfRecipe(config).training(plain),
    ...options.queries && { queries: options.queries },
    trainClips: [],
    microClips: undefined,
    evalClips: options.clips,
    augmentation: undefined,
  };
}
