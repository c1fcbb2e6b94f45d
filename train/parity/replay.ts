/** Replays recorded reference cases on this machine's GPU. */

import type { Recompute } from "../../gpu/autodiff.ts";
import type { Gpu } from "../../gpu/device.ts";
import { DataError } from "../../lib/errors.ts";
import { SYSTEMS } from "../../models/registry.ts";
import { openCase } from "./case.ts";
import { replayClipCase } from "./clip_vit.ts";
import type { GroupResult } from "./compare.ts";
import { replayMetricsCase } from "./metrics.ts";
import { replayTokenizerCase } from "./tokenizer.ts";
import { replayVideoCase } from "./video_case.ts";

export type { GroupResult } from "./compare.ts";

/** Cases of a tower alone, which no system is. */
const TOWER_CASES = "clip-vit";
/** Cases of texts, which no GPU sees. */
const TOKENIZER_CASES = "tokenizer";
/** How the names of cases of metrics end, which no GPU sees either. */
const METRICS_CASES = "metrics";

/** Names by which cases say whose they are. */
export function paritySystems(): string[] {
  return [
    TOWER_CASES,
    TOKENIZER_CASES,
    METRICS_CASES,
    ...SYSTEMS.flatMap(({ cases }) => cases.map((form) => form.system)),
  ];
}

/**
 * Replays one case, whatever its size.
 *
 * @param options.recompute Recompute side blocks in the backward pass; the gradients must be the same.
 * @throws {DataError} when the case is of another system or incomplete.
 */
export async function replayCase(
  gpu: Gpu,
  path: string,
  options: { recompute?: Recompute } = {},
): Promise<GroupResult[]> {
  await using reference = await openCase(path);
  const { system: name } = reference.description, { recompute = true } = options;
  if (name === TOWER_CASES) return await replayClipCase(gpu, reference);
  if (name === TOKENIZER_CASES) return await replayTokenizerCase(reference);
  if (name.endsWith(METRICS_CASES)) return await replayMetricsCase(reference);
  for (const system of SYSTEMS) {
    const form = system.cases.find((form) => form.system === name);
    if (form) return await replayVideoCase(gpu, reference, { system, form, recompute });
  }
  throw new DataError(
    `Cannot replay "${path}": system must be one of ${
      paritySystems().join(", ")
    }, current value is "${name}"`,
  );
}
