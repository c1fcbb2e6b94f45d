/** The measured choice between the variants of a family: every candidate is checked, then timed; the fastest right one wins. */

import { ATTENTION, type AttentionPass, describeUse, triedUse } from "../ops/attention_kernel.ts";
import { MATMUL } from "../ops/matmul_kernel.ts";
import { attentionTrial } from "./attention_trial.ts";
import type { KernelAdapter, KernelFamily, KernelVariant } from "./family.ts";
import { describeProduct, matmulTrial, reducedProduct } from "./matmul_trial.ts";
import { createTrial, type TrialSetup } from "./trial.ts";

/**
 * How a family's launches are tried. Apart from the families themselves: who only runs kernels, such as the page in a browser,
 * need not carry it.
 */
interface TriedFamily<S> {
  readonly family: KernelFamily<S>;
  /** The launch that is tried instead of one that is too large. */
  reduce(spec: S): S;
  trial(spec: S): TrialSetup;
  /** The launch for people: "1576x768x768 nt f32/f16/f32". */
  describe(spec: S): string;
}

const entry = <S>(of: TriedFamily<S>) => [of.family.name, of as TriedFamily<unknown>] as const;

/** The families, by name. */
const FAMILIES = new Map<string, TriedFamily<unknown>>([
  entry({ family: MATMUL, reduce: reducedProduct, trial: matmulTrial, describe: describeProduct }),
  ...(Object.keys(ATTENTION) as AttentionPass[]).map((pass) =>
    entry({
      family: ATTENTION[pass],
      reduce: triedUse,
      trial: (use) => attentionTrial(pass, use),
      describe: describeUse,
    })
  ),
]);

/** A launch for which a kernel can be chosen, as plain data. */
export interface Launch {
  /** Name of its family. */
  readonly family: string;
  readonly spec: unknown;
}

/** The family of a launch. @throws {Error} when there is none of that name. */
export function familyOf({ family }: Pick<Launch, "family">): TriedFamily<unknown> {
  const found = FAMILIES.get(family);
  if (found) return found;
  throw new Error(
    `Cannot choose a kernel of "${family}": it must be one of the families ${
      [...FAMILIES.keys()].join(", ")
    }`,
  );
}

/** Share of its time by which the first candidate, the default, must be beaten: less may be chance. */
const GAIN = 0.05;

/** What a choice found. */
export interface Choice<S> {
  readonly variant: KernelVariant<S>;
  readonly ms: number;
  /** Names of the candidates that were timed, with their times, and of those that were wrong, with what was. */
  readonly tried: ReadonlyMap<string, number | string>;
}

/** How much is measured. */
export interface ChoiceOptions {
  /** GPU time to spend on each candidate, in ms. */
  readonly budgetMs?: number;
  /**
   * Time to spend in all, in ms, compiling included: no further candidate is begun that would take longer, as those before it did.
   * The first one is always tried.
   */
  readonly limitMs?: number;
}

/**
 * The fastest right candidate on this device.
 *
 * @throws {Error} when none is right.
 */
export async function chooseVariant<S>(
  device: GPUDevice,
  { family, spec, candidates }: {
    family: KernelFamily<S>;
    spec: S;
    candidates: readonly KernelVariant<S>[];
  },
  { budgetMs = 100, limitMs = Infinity }: ChoiceOptions = {},
): Promise<Choice<S>> {
  let best: { variant: KernelVariant<S>; ms: number } | undefined;
  let longest = 0;
  const started = performance.now(), tried = new Map<string, number | string>();
  const how = familyOf({ family: family.name }), launch = how.reduce(spec) as S;
  const trial = createTrial(device, how.trial(launch));
  try {
    for (const variant of candidates) {
      const begun = performance.now();
      if (tried.size > 0 && begun + longest - started > limitMs) break;
      const result = await trial.measure(variant.build(launch), { budgetMs, bestMs: best?.ms });
      longest = Math.max(longest, performance.now() - begun);
      tried.set(variant.name, result);
      if (typeof result !== "number") continue;
      if (best === undefined || result < best.ms * (best.variant === candidates[0] ? 1 - GAIN : 1)) {
        best = { variant, ms: result };
      }
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

/** The outcome of a choice as plain data, for another thread. */
export interface Chosen {
  readonly name: string;
  readonly ms: number;
  /** The fixed default and its time; null where it was wrong. */
  readonly byDefault: string;
  readonly defaultMs: number | null;
  /** What was wrong with candidates, by name. */
  readonly wrong: Readonly<Record<string, string>>;
  /** Candidates that were tried. */
  readonly tried: number;
}

/** Chooses among the first `most` candidates of a launch. */
export async function chooseKernel(
  { device, environment }: { device: GPUDevice; environment: KernelAdapter },
  launch: Launch,
  { most = Infinity, ...options }: ChoiceOptions & { readonly most?: number } = {},
): Promise<Chosen> {
  const { family } = familyOf(launch), { spec } = launch;
  const candidates = family.candidates(spec, environment).slice(0, most);
  const { variant, ms, tried } = await chooseVariant(device, { family, spec, candidates }, options);
  const byDefault = candidates[0].name, defaultMs = tried.get(byDefault);
  return {
    name: variant.name,
    ms,
    byDefault,
    defaultMs: typeof defaultMs === "number" ? defaultMs : null,
    wrong: Object.fromEntries(
      [...tried].flatMap(([name, what]) => typeof what === "string" ? [[name, what]] : []),
    ),
    tried: tried.size,
  };
}
