/** The measured choice between the variants of a family: every candidate is checked, then timed; the fastest right one wins. */

import { type AttentionUse, passOf } from "../ops/attention_kernel.ts";
import { MATMUL, type MatmulSpec } from "../ops/matmul_kernel.ts";
import { attentionTrial } from "./attention_trial.ts";
import type { KernelFamily, KernelVariant } from "./family.ts";
import { matmulTrial } from "./matmul_trial.ts";
import { createTrial, type TrialSetup } from "./trial.ts";

/** What a choice found. */
export interface Choice<S> {
  readonly variant: KernelVariant<S>;
  readonly ms: number;
  /** Names of the candidates that were timed, with their times, and of those that were wrong, with what was. */
  readonly tried: ReadonlyMap<string, number | string>;
}

/**
 * How a family's launches are tried. Apart from the families themselves: who only runs kernels, such as the page in a browser,
 * need not carry it.
 */
export function trialOf<S>(family: KernelFamily<S>, spec: S): TrialSetup {
  if (family.name === MATMUL.name) return matmulTrial(spec as MatmulSpec);
  const pass = passOf(family.name);
  if (pass) return attentionTrial(pass, spec as AttentionUse);
  throw new Error(`Cannot try a kernel of "${family.name}": it must be a family with a trial`);
}

/**
 * The fastest right candidate on this device.
 *
 * @param options.budgetMs GPU time to spend on each candidate.
 * @param options.deadline Time of `performance.now()` after which no further candidate is begun; the first one is always tried.
 * @throws {Error} when none is right.
 */
export async function chooseVariant<S>(
  device: GPUDevice,
  { family, spec, candidates }: {
    family: KernelFamily<S>;
    spec: S;
    candidates: readonly KernelVariant<S>[];
  },
  options: { budgetMs?: number; deadline?: number } = {},
): Promise<Choice<S>> {
  const { budgetMs = 100, deadline = Infinity } = options;
  let best: { variant: KernelVariant<S>; ms: number } | undefined;
  const tried = new Map<string, number | string>();
  const trial = createTrial(device, trialOf(family, spec));
  try {
    for (const variant of candidates) {
      if (tried.size > 0 && performance.now() > deadline) break;
      const result = await trial.measure(variant.build(spec), budgetMs);
      tried.set(variant.name, result);
      if (typeof result === "number" && result < (best?.ms ?? Infinity)) best = { variant, ms: result };
    }
  } finally {
    trial.destroy();
  }
  if (best) return { ...best, tried };
  const problems = [...tried].map(([name, result]) => `${name}: ${result}`).join("; ");
  throw new Error(
    `Cannot choose a kernel of "${family.name}": at least one candidate must be right, current failures are ${
      problems || "none, because there is no candidate"
    }`,
  );
}
