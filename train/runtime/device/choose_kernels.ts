/**
 * The automatic choice of kernels: before a session compiles on an adapter that is not known, the heaviest of its launches are
 * measured with the most promising kernels, for ten seconds at most, and what was found is kept for the next run.
 */

import type { Plan } from "../../../gpu/plan.ts";
import { softwareLanes } from "../../../gpu/adapter.ts";
import type { KernelAdapter } from "../../../gpu/op.ts";
import { type Tunable, tunablesOf } from "../../../gpu/tuning/tunables.ts";
import type { TellStage } from "../../../lib/stage.ts";
import { ALONE, type World } from "../../../mpi/world.ts";
import type { ChoosingDevice } from "./device.ts";
import type { ChoicesByKey, Measured, TunedChoices } from "./tuned.ts";

/** Time after which nothing further is begun, compiling included: some ten seconds in all. */
const LIMIT_MS = 9_000;
/** Candidates of a launch, and GPU time for each. */
const CANDIDATES = 6, BUDGET_MS = 60;
/** The lightest launches are left to their defaults: together they do no more than this share of the operations. */
const LIGHTEST = 0.03;

/** How much is measured. */
export interface ChoosingLimits {
  readonly limitMs: number;
  readonly candidates: number;
  readonly budgetMs: number;
  /** Share of the operations that the launches left to their defaults may do. */
  readonly lightest: number;
}

/** Of `bench tune`: everything. */
export const THOROUGH: ChoosingLimits = {
  limitMs: Infinity,
  candidates: Infinity,
  budgetMs: 150,
  lightest: 0,
};

const AUTOMATIC: ChoosingLimits = {
  limitMs: LIMIT_MS,
  candidates: CANDIDATES,
  budgetMs: BUDGET_MS,
  lightest: LIGHTEST,
};

/** Whether the fixed estimate was made from measurements on such an adapter, so that nothing needs to be measured on it. */
export function isKnownAdapter(adapter: KernelAdapter): boolean {
  return adapter.isSoftware && softwareLanes(adapter) > 0;
}

/** The launches worth measuring, heaviest first. */
export function worthMeasuring(
  tunables: readonly Tunable[],
  { known, lightest }: { known: ChoicesByKey; lightest: number },
): Tunable[] {
  const all = tunables.reduce((sum, { flops }) => sum + flops, 0);
  let left = all;
  return tunables.filter(({ key, flops }) => {
    const isHeavy = left > lightest * all;
    left -= flops;
    return isHeavy && !known.has(key);
  });
}

/** Measures launches one after the other on an idle device, until the time is up. @param signal Ends it between two launches. */
export async function measureKernels(
  device: Pick<ChoosingDevice, "choose">,
  tunables: readonly Tunable[],
  { limits = AUTOMATIC, stage, signal, onChosen }: {
    limits?: ChoosingLimits;
    stage?: TellStage;
    signal?: AbortSignal;
    /** Told of every choice. */
    onChosen?: (
      tunable: Tunable,
      chosen: Awaited<ReturnType<ChoosingDevice["choose"]>>,
    ) => void | Promise<void>;
  } = {},
): Promise<Measured> {
  const started = performance.now(), choices = new Map<string, string>(), wrong: string[] = [];
  let changed = 0, longest = 0;
  for (const [i, tunable] of tunables.entries()) {
    const begun = performance.now(), limitMs = limits.limitMs - (begun - started);
    if (limitMs < longest) break;
    signal?.throwIfAborted();
    stage?.({ what: "choosing kernels", done: i, of: tunables.length, unit: "launches" });
    const { family, spec, key } = tunable, { candidates: most, budgetMs } = limits;
    const chosen = await device.choose({ family, spec }, { most, budgetMs, limitMs });
    longest = Math.max(longest, (performance.now() - begun) / chosen.tried);
    choices.set(key, chosen.name);
    if (chosen.name !== chosen.byDefault) changed++;
    for (const [name, what] of Object.entries(chosen.wrong)) wrong.push(`${family} ${name}: ${what}`);
    await onChosen?.(tunable, chosen);
  }
  const seconds = (performance.now() - started) / 1000, measured = choices.size;
  return { choices, measured, changed, seconds, left: tunables.length - measured, wrong };
}

/**
 * Chooses the kernels of plans where that was not done before. Of several ranks rank 0 does it for all; ranks on other
 * adapters go by their own earlier choices.
 *
 * @returns Whether there are new choices: then programs must be lowered anew.
 */
export async function chooseKernels(
  device: ChoosingDevice,
  plans: Iterable<Plan>,
  { choices, stage, signal, world = ALONE }: {
    choices: TunedChoices | undefined;
    stage?: TellStage;
    signal?: AbortSignal;
    world?: World;
  },
): Promise<boolean> {
  if (!choices?.keep && world.size === 1) return false;
  const { environment } = device.info;
  let measured: Measured | null = null;
  if (choices?.keep && !device.hasChosen && !isKnownAdapter(environment) && world.rank === 0) {
    device.hasChosen = true;
    const { lightest } = AUTOMATIC, known = environment.choices;
    const tunables = worthMeasuring(tunablesOf(plans, environment), { known, lightest });
    if (tunables.length > 0) measured = await measureKernels(device, tunables, { stage, signal });
  }
  const entries = await world.share(measured && [...measured.choices], "the choice of kernels");
  if (entries === null || entries.length === 0) return false;
  device.adopt({ choices: new Map([...environment.choices, ...entries]) });
  if (measured) await choices?.keep?.(measured);
  return true;
}
