/** What a software adapter says of itself. */

import type { KernelEnvironment } from "../op.ts";

/**
 * Lanes of a subgroup of a software adapter: llvmpipe names its vector width, "llvmpipe (LLVM 15.0.6, 256 bits)".
 * 0 where the adapter has no subgroups or does not tell.
 */
export function softwareLanes(adapter: Pick<KernelEnvironment, "description" | "features">): number {
  const bits = /(\d+) bits/.exec(adapter.description)?.[1];
  return adapter.features.has("subgroups") && bits !== undefined ? Number(bits) / 32 : 0;
}
