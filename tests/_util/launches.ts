/** What is chosen for recorded nodes. */

import type { Node } from "../../gpu/graph.ts";
import type { KernelEnvironment } from "../../gpu/op.ts";
import type { Launch } from "../../gpu/tuning/choose.ts";
import { PLAIN_GPU } from "../../gpu/tuning/family.ts";

/** The launches of recorded nodes for which a kernel is chosen. */
export function launchesOf(nodes: Iterable<Node>, more: Partial<KernelEnvironment> = {}): Launch[] {
  const launches: Launch[] = [];
  const onChoice = (family: string, spec: unknown) => void launches.push({ family, spec });
  const environment = { ...PLAIN_GPU, features: new Set(["shader-f16"]), ...more, onChoice };
  for (const node of nodes) node.op.dispatches({ ...node, environment });
  return launches;
}
