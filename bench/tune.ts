/** Measures which matmul kernel is fastest for every product of a recipe's training step, and keeps the winners. */

import type { Gpu } from "../gpu/device.ts";
import { matmulSpecs } from "../gpu/ops/mod.ts";
import { MATMUL, type MatmulSpec } from "../gpu/ops/matmul_kernel.ts";
import { chooseVariant } from "../gpu/tuning/choose.ts";
import { adapterKeyOf, tuneKey } from "../gpu/tuning/family.ts";
import { createModel } from "../models/mod.ts";
import type { Config } from "../train/recipe/config.ts";
import { planSession } from "../train/runtime/session_plan.ts";
import { modelSpec } from "../train/recipe/model.ts";
import { sessionOptions } from "../train/tasks/session_options.ts";

/** Candidates timed for one product: the most promising by estimate. Each costs a compilation. */
const CANDIDATES = 4;

/** One product's winner. */
export interface Tuned {
  key: string;
  spec: MatmulSpec;
  chosen: string;
  byDefault: string;
}

/** Measures the products of a recipe that have no choice yet. */
export async function* tuneRecipe(
  gpu: Gpu,
  config: Config,
  known: ReadonlyMap<string, string>,
): AsyncGenerator<Tuned> {
  const options = sessionOptions(config, { lastBatch: 0, largestFrame: { width: 1, height: 1 } });
  const plan = planSession(
    createModel(modelSpec(config)),
    { ...options, largestFrame: null, limits: gpu },
    gpu.environment,
  );
  const nodes = Object.values(plan.plans).flatMap(({ steps }) => steps.map((step) => step.node));
  const { environment } = gpu, adapterKey = adapterKeyOf(environment);
  const done = new Set<string>();
  for (const spec of matmulSpecs(nodes)) {
    const all = MATMUL.candidates(spec, environment);
    const key = tuneKey(MATMUL, spec, { adapterKey, candidates: all });
    if (done.has(key) || known.has(key)) continue;
    done.add(key);
    const candidates = all.slice(0, CANDIDATES);
    const { variant } = await chooseVariant(gpu.device, { family: MATMUL, spec, candidates });
    yield { key, spec, chosen: variant.name, byDefault: all[0].name };
  }
}
