/** The launches of plans for which a kernel can be chosen, heaviest first. */

import type { KernelEnvironment } from "../op.ts";
import type { Plan } from "../plan.ts";
import { familyOf, type Launch } from "./choose.ts";
import { adapterKeyOf, tuneKey } from "./family.ts";

/** A launch, or several that share a choice. */
export interface Tunable extends Launch {
  /** The key under which its choice is kept. */
  readonly key: string;
  /** Floating-point operations of all of them. */
  readonly flops: number;
}

/** The launches that plans make, those of one shape range once. */
export function tunablesOf(plans: Iterable<Plan>, environment: KernelEnvironment): Tunable[] {
  const found = new Map<string, Tunable>(), keys = new Map<string, string>();
  const adapterKey = adapterKeyOf(environment);
  let launches: Launch[] = [];
  const listening: KernelEnvironment = {
    ...environment,
    onChoice: (family, spec) => void launches.push({ family, spec }),
  };
  for (const plan of plans) {
    for (const { node } of plan.steps) {
      launches = [];
      node.op.dispatches({ ...node, environment: listening });
      const flops = launches.length === 0 ? 0 : node.op.work(node).flops / launches.length;
      for (const launch of launches) {
        const id = launch.family + JSON.stringify(launch.spec);
        let key = keys.get(id);
        if (key === undefined) {
          const { family } = familyOf(launch), candidates = family.candidates(launch.spec, environment);
          keys.set(id, key = tuneKey(family, launch.spec, { adapterKey, candidates }));
        }
        const same = found.get(key);
        found.set(key, { ...(same ?? { ...launch, key }), flops: flops + (same?.flops ?? 0) });
      }
    }
  }
  return [...found.values()].sort((a, b) => b.flops - a.flops);
}
