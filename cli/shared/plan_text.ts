/** The plan of a recipe, for `plan` and `train --plan-only`: bytes, FLOPs and steps, without allocating anything. */
import { describePlan, type Plan } from "../../gpu/plan.ts";
import type { VideoModel } from "../../models/mod.ts";
import type { Config } from "../../train/recipe/config.ts";
import { pictureForm } from "../../train/features/pictures.ts";
import { entryBytes, obstacleOf, storedCopies } from "../../train/features/features.ts";
import { formatBytes, formatCount, formatShare } from "../../lib/text.ts";
import { describeParts } from "../../train/runtime/fit.ts";
import {
  ASSUMED_FRAME,
  ASSUMED_LIMITS,
  planRecipe,
  planVariant,
  type RecipePlan,
} from "../../train/planning/plan_recipe.ts";
import { idleRateRemarks } from "../../train/run/schedule.ts";
import { remarksOnLists } from "../../train/feed/list_remarks.ts";
import { hasCaptions, readSplit } from "../../train/feed/lists.ts";
import { loopBatches, readTrainingSet, type TrainingSet } from "../../train/feed/training_set.ts";
import type { ClipRecord } from "../../data/datasets/list.ts";
import { withFoundModality } from "../../train/feed/modality.ts";
import { printStepTime, ratesToPlan } from "../rates/step_time.ts";
import type { Io } from "./output.ts";

/** In place of the bytes of a variant that cannot be planned. */
const TOO_LARGE = `not possible: it has a tensor beyond ${formatBytes(ASSUMED_LIMITS.maxBindingBytes)}`;

/** Prints the plan of a recipe. */
export async function printPlan(
  config: Config,
  io: Io,
  options: { steps?: boolean; adapter?: string } = {},
): Promise<number> {
  const rates = await ratesToPlan(options.adapter, io);
  const planned = planRecipe(config), { model, parts, clips, programs: plans } = planned;
  const isStored = model.taps === "stored";
  const plan = plans.reduce((most, one) => (one.arenaBytes > most.arenaBytes ? one : most));
  io.print(
    `${config.system} on ${config.network.arch}, ${clips} clips of ${config.data.num_segments} frames, ${config.precision} backbone, side blocks: ${config.memory}`,
  );
  if (planned.against !== null) {
    io.note(`warning: ${describeParts(model, { against: planned.against, clips, parts })}`);
  }
  io.print(`  trainable parameters  ${formatCount(planned.trainableParameters)}`);
  io.print(`  frozen parameters     ${formatCount(planned.frozenParameters)}`);
  io.print(`  nodes of a step       ${formatCount(planned.nodesPerStep)}`);
  io.print(
    `  work a step           ${teraText(planned.flopsPerStep)} TFLOP, ${
      formatBytes(planned.bytesMovedPerStep)
    } moved`,
  );
  // Papers count a multiplication and an addition as one.
  io.print(
    `  work a view           ${teraText(planned.flopsPerView)} TFLOP: ${
      planned.flopsPerView < 2e11
        ? (planned.flopsPerView / 2e9).toPrecision(3)
        : formatCount(Math.round(planned.flopsPerView / 2e9))
    } GMAC, as papers count`,
  );
  const lists = await readLists(config, io);
  const time = printStepTime(planned, { rates, config, set: lists?.set ?? null }, io);
  io.print(`  GPU memory            ${formatBytes(planned.gpuBytes)}`);
  for (const [use, bytes] of Object.entries(planned.gpuBytesByUse)) {
    if (bytes === 0) continue;
    const assumed = use === "frame_preparation" && config.data.synth === null && !isStored
      ? `  (for frames of ${ASSUMED_FRAME.width}x${ASSUMED_FRAME.height}; a run looks how large its own are)`
      : "";
    io.print(`    ${use.replaceAll("_", " ").padEnd(20)}${formatBytes(bytes)}${assumed}`);
  }
  io.print(
    `  activations: ${formatBytes(plan.arenaBytes)} placed, ${
      formatBytes(plan.peakLiveBytes)
    } alive at the peak (step ${plan.peakStep}, ${plan.steps[plan.peakStep].node.scope})`,
  );
  io.print(
    `  host memory           ${formatBytes(planned.hostBytes)}, of it ${
      formatBytes(planned.readingBytes)
    } for reading clips`,
  );
  const cache = planCache(config, model, plans, { lists, io });
  const alternatives = printVariants(config, planned, io);
  if (options.steps) { for (const line of plans.flatMap((one) => [...describePlan(one)])) io.print(line); }
  io.printJson({
    gpu_bytes: planned.gpuBytes,
    gpu_bytes_by_use: planned.gpuBytesByUse,
    gpu_bytes_otherwise: alternatives,
    trainable_parameters: planned.trainableParameters,
    frozen_parameters: planned.frozenParameters,
    flops_per_step: planned.flopsPerStep,
    flops_per_view: planned.flopsPerView,
    clips_at_once: Math.max(...parts),
    host_bytes: planned.hostBytes,
    ...time,
    ...cache,
  });
  return 0;
}

/** Prints what the recipe would take with other keys of precision and memory. @returns The bytes, by name. */
function printVariants(config: Config, planned: RecipePlan, io: Io): Record<string, number | null> {
  io.print("  the same recipe otherwise:");
  const bytes: Record<string, number | null> = {};
  for (const precision of ["f16", "f32"] as const) {
    for (const memory of ["least", "recompute", "keep"] as const) {
      const isChosen = precision === config.precision && memory === config.memory;
      const { gpuBytes, isWhole, clipsAtOnce } = isChosen
        ? {
          gpuBytes: planned.gpuBytes,
          isWhole: planned.against === null,
          clipsAtOnce: Math.max(...planned.parts),
        }
        : planVariant(config, { ...config, precision, memory });
      bytes[`${precision}_${memory}`] = gpuBytes;
      const text = gpuBytes === null
        ? TOO_LARGE
        : formatBytes(gpuBytes) + (isWhole ? "" : ` with ${clipsAtOnce} clips at once`);
      io.print(
        `    precision ${precision}, memory ${memory.padEnd(9)}  ${text}${isChosen ? "  (this recipe)" : ""}`,
      );
    }
  }
  if (planned.model.taps === "stored") return bytes; // without a tower there is nothing to stream
  const frozen = config.frozen === "stream" ? "resident" : "stream";
  const moved = planVariant(config, { ...config, frozen });
  bytes[frozen] = moved.gpuBytes;
  const own = { gpuBytes: planned.gpuBytes, hostBytes: planned.hostBytes - planned.readingBytes };
  const [streamed, resident] = frozen === "stream" ? [moved, own] : [own, moved];
  const difference = streamed.gpuBytes === null || resident.gpuBytes === null
    ? null
    : resident.gpuBytes - streamed.gpuBytes;
  io.print(
    `    frozen blocks ${frozen === "stream" ? "streamed" : "resident"}: ` +
      (moved.gpuBytes === null ? TOO_LARGE : formatBytes(moved.gpuBytes)) +
      (difference === null
        ? ""
        : `  (streaming takes ${formatBytes(difference)} off the GPU and ${
          formatBytes(streamed.hostBytes)
        } of host memory)`),
  );
  return bytes;
}

/** Three decimals, or three digits where there are more zeros. */
function teraText(flops: number): string {
  const tera = flops / 1e12;
  return tera < 0.1 ? tera.toPrecision(3) : tera.toFixed(3);
}

/** Prints what stored features of the recipe would take and spare; nothing of a recipe whose features cannot be stored at all. */
function planCache(
  config: Config,
  model: VideoModel,
  plans: readonly Plan[],
  { lists, io }: { lists: Lists | null; io: Io },
) {
  const clipBytes = entryBytes(model, pictureForm(config)), obstacle = obstacleOf(config, model);
  const clips = lists && lists.set.clips.length * storedCopies(lists.config) + lists.val.length,
    bytes = clips === null ? null : clips * clipBytes;
  if (hasCaptions(config)) return { feature_cache_bytes_per_clip: null, feature_cache_bytes: null };
  const total = bytes === null
    ? ""
    : `, ${formatBytes(bytes)} for ${formatCount(clips!)} clips with --epochs 1`;
  const tower = plans.flatMap(({ steps }) => steps).reduce(
    (sum, { node }) => node.scope.startsWith("backbone") ? sum + node.op.work(node).flops : sum,
    0,
  );
  const all = plans.reduce((sum, { flops }) => sum + flops, 0);
  const use = obstacle !== null
    ? `; not with ${obstacle.key}=${obstacle.value}`
    : model.taps === "stored"
    ? "; this recipe reads it"
    : `; it would spare ${formatShare(tower / all, 0)} of a step's FLOPs`;
  io.print(`  feature cache         ${formatBytes(clipBytes)} a clip${total}${use}`);
  return { feature_cache_bytes_per_clip: clipBytes, feature_cache_bytes: bytes };
}

/** Both lists of a recipe. */
interface Lists {
  readonly config: Config;
  readonly set: TrainingSet;
  readonly val: readonly ClipRecord[];
}

/** The lists of a recipe; null where one of them cannot be read. What a run on them would teach is told. */
async function readLists(recipe: Config, io: Io): Promise<Lists | null> {
  const note = (text: string) => io.note(`warning: ${text}`);
  let lists: Lists;
  try {
    const config = await withFoundModality(recipe, { splits: ["train", "val"], note });
    const set = await readTrainingSet(config), val = await readSplit(config, "val", { note });
    lists = { config, set, val };
  } catch {
    return null; // the plan of a recipe needs no data
  }
  const { config, set, val } = lists, { clips, loopClips, notes } = set;
  const rates = idleRateRemarks(config, { batchesPerLoop: loopBatches(config, set).batches });
  for (const text of [...notes, ...remarksOnLists(config, { train: clips, loopClips, val }), ...rates]) {
    note(text);
  }
  return lists;
}
