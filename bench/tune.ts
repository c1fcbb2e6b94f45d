/** Measures which kernels are fastest for every launch of a recipe's training step and evaluation: all candidates, all launches. */

import type { Gpu } from "../gpu/device.ts";
import type { Plan } from "../gpu/plan.ts";
import { chooseKernel, type Chosen, familyOf } from "../gpu/tuning/choose.ts";
import { tunablesOf } from "../gpu/tuning/tunables.ts";
import { createModel } from "../models/mod.ts";
import type { Config } from "../train/recipe/config.ts";
import { modelSpec } from "../train/recipe/model.ts";
import { measureKernels, THOROUGH } from "../train/runtime/device/choose_kernels.ts";
import type { ChoosingDevice } from "../train/runtime/device/device.ts";
import type { Measured } from "../train/runtime/device/tuned.ts";
import { planSession } from "../train/runtime/session_plan.ts";
import { sessionOptions } from "../train/tasks/session_options.ts";

/** The choice for one launch. */
export interface TunedLaunch extends Chosen {
  readonly key: string;
  readonly family: string;
  /** Its sizes, for people. */
  readonly shape: string;
}

/** The plans of a recipe's training on this adapter. */
export function plansOf(gpu: Gpu, config: Config): Plan[] {
  const session = sessionOptions(config, { lastBatch: 0, largestFrame: { width: 1, height: 1 } });
  const { plans } = planSession(
    createModel(modelSpec(config)),
    { ...session, largestFrame: null, limits: gpu },
    gpu.environment,
  );
  return Object.values(plans);
}

/** Measures the launches of a recipe, whether they have a choice already or not. */
export async function tuneRecipe(
  gpu: Gpu,
  config: Config,
  options: { signal?: AbortSignal; onChosen: (launch: TunedLaunch) => void | Promise<void> },
): Promise<Measured> {
  const { signal, onChosen } = options;
  const environment = { ...gpu.environment, multipliesHalves: config.arithmetic === "f16" };
  const device: Pick<ChoosingDevice, "choose"> = {
    choose: (launch, more) => chooseKernel(gpu, launch, more),
  };
  return await measureKernels(device, tunablesOf(plansOf(gpu, config), environment), {
    limits: THOROUGH,
    signal,
    onChosen: ({ key, family, spec }, chosen) =>
      onChosen({ ...chosen, key, family, shape: familyOf({ family }).describe(spec) }),
  });
}
