/** The plan of a recipe, for `plan` and `train --plan-only`: bytes, FLOPs and steps, without allocating anything. */
import type { KernelEnvironment } from "../../gpu/op.ts";
import { describePlan, type Plan, type PlanLimits } from "../../gpu/plan.ts";
import { AdapterError, ConfigError } from "../../lib/errors.ts";
import { createModel, type ModelSpec, type VideoModel } from "../../models/mod.ts";
import type { Config } from "../../train/recipe/config.ts";
import { pictureForm } from "../../train/features/pictures.ts";
import { checkStorable, entryBytes, obstacleOf, storedCopies } from "../../train/features/features.ts";
import { formatBytes, formatCount, formatShare } from "../../lib/text.ts";
import { clipsPerBatch, sessionOptions } from "../../train/tasks/session_options.ts";
import { describeParts, type FittingSession, planFittingSession } from "../../train/runtime/fit.ts";
import { microBatches } from "../../train/runtime/micro_batches.ts";
import { type SessionPlan, stepPlans } from "../../train/runtime/session_plan.ts";
import { idleRateRemarks } from "../../train/run/schedule.ts";
import { remarksOnLists } from "../../train/feed/list_remarks.ts";
import { hasCaptions, readSplit } from "../../train/feed/lists.ts";
import { loopBatches, readTrainingSet, type TrainingSet } from "../../train/feed/training_set.ts";
import type { ClipRecord } from "../../data/datasets/list.ts";
import { readingBytes } from "../../train/feed/frame_room.ts";
import { withFoundModality } from "../../train/feed/modality.ts";
import { trainingSpec } from "../../train/recipe/model.ts";
import type { Io } from "./output.ts";

/** Frames a plan assumes: 16:9 at the published short side, or the recipe's own synthetic size. */
const ASSUMED_FRAME = { width: 456, height: 256 };

/** A GPU of today, for planning on a machine without one. */
const ASSUMED_LIMITS: PlanLimits = { maxBindingBytes: 2 ** 31 - 2 ** 20, maxBufferBytes: 2 ** 31 - 2 ** 20 };
const ASSUMED_ENVIRONMENT: KernelEnvironment = {
  features: new Set(["shader-f16", "subgroups"]),
  isSoftware: false,
  vendor: "",
  architecture: "",
  description: "",
  choices: new Map(),
};

/** A variant of a recipe and what it takes. */
interface Planned extends Pick<FittingSession, "plan" | "against" | "options"> {
  precision: "f32" | "f16";
  memory: "recompute" | "keep";
  frozen: "resident" | "stream";
}

function planVariant(
  config: Config,
  spec: ModelSpec,
  variant: Pick<Planned, "precision" | "memory" | "frozen">,
): Planned {
  const side = config.data.input_size;
  const frame = spec.taps === "stored" ? { width: side, height: side } : config.data.synth ?? ASSUMED_FRAME;
  const model = createModel({ ...spec, backboneDtype: variant.precision });
  const options = sessionOptions({ ...config, ...variant }, { lastBatch: 0, largestFrame: frame });
  return {
    precision: variant.precision,
    memory: variant.memory,
    frozen: variant.frozen,
    ...planFittingSession(model, { ...options, limits: ASSUMED_LIMITS }, {
      environment: ASSUMED_ENVIRONMENT,
      freeBytes: null,
      clipsPerVideo: config.data.num_sample,
    }),
  };
}

/** Sizes of the parts in which a planned batch goes through the GPU. */
function partsOf({ cut }: SessionPlan, clips: number): number[] {
  return microBatches(clips, cut).map(({ length }) => length);
}

/** In place of the bytes of a variant that cannot be planned. */
const TOO_LARGE = `not possible: it has a tensor beyond ${formatBytes(ASSUMED_LIMITS.maxBindingBytes)}`;

/** A variant, or null where one of its tensors is larger than a GPU can address, even one clip at a time. */
function planIfPossible(...of: Parameters<typeof planVariant>): Planned | null {
  try {
    return planVariant(...of);
  } catch (error) {
    if (error instanceof AdapterError) return null;
    throw error;
  }
}

/** Prints the plan of a recipe. */
export async function printPlan(config: Config, io: Io, options: { steps?: boolean } = {}): Promise<number> {
  const spec = trainingSpec(config), model = createModel(spec);
  if (config.data.features !== null) checkStorable(config, model);
  const chosen = planIfPossible(config, spec, config);
  if (chosen === null) {
    throw new ConfigError(
      `Cannot plan: no tensor may be larger than a GPU can address (${ASSUMED_LIMITS.maxBindingBytes} bytes), not even one clip at a time; ` +
        `use ${
          config.precision === "f32" ? "precision=f16, " : ""
        }fewer frames (data.num_segments) or a smaller backbone`,
    );
  }
  const { memory } = chosen.plan;
  const clips = clipsPerBatch(config), plans = stepPlans(chosen.plan, clips);
  const accumulation = config.solver.grad_accumulation_steps;
  const sum = (of: (plan: Plan) => number) => plans.reduce((total, plan) => total + of(plan), 0);
  const flops = sum((plan) => plan.flops) * accumulation;
  // One view of one clip in an evaluation; papers count a multiplication and an addition as one.
  const viewFlops = chosen.plan.programs.evaluation.plan.flops / chosen.options.evalClips;
  const plan = plans.reduce((most, one) => (one.arenaBytes > most.arenaBytes ? one : most));
  const trainable = model.weights.count("trained"), frozen = model.weights.count("frozen");
  // Stored features: a batch under way and two read ahead.
  const loadedBytes = spec.taps === "stored"
    ? 3 * clips * entryBytes(model, pictureForm(config))
    : readingBytes(config, config.data.synth ?? ASSUMED_FRAME) + memory.byUse.frame_preparation;
  const hostBytes = memory.hostBytes + loadedBytes;
  io.print(
    `${config.system} on ${config.network.arch}, ${clips} clips of ${config.data.num_segments} frames, ${config.precision} backbone, side blocks: ${config.memory}`,
  );
  const parts = partsOf(chosen.plan, clips);
  if (chosen.against !== null) {
    io.note(`warning: ${describeParts(model, { against: chosen.against, clips, parts })}`);
  }
  io.print(`  trainable parameters  ${formatCount(trainable)}`);
  io.print(`  frozen parameters     ${formatCount(frozen)}`);
  io.print(`  nodes of a step       ${formatCount(sum(({ steps }) => steps.length))}`);
  io.print(
    `  work a step           ${(flops / 1e12).toFixed(3)} TFLOP, ${
      formatBytes(sum((plan) => plan.bytesMoved))
    } moved`,
  );
  io.print(
    `  work a view           ${(viewFlops / 1e12).toFixed(3)} TFLOP: ${
      formatCount(Math.round(viewFlops / 2e9))
    } GMAC, as papers count`,
  );
  io.print(`  GPU memory            ${formatBytes(memory.total)}`);
  for (const [use, bytes] of Object.entries(memory.byUse)) {
    if (bytes === 0) continue;
    const assumed = use === "frame_preparation" && config.data.synth === null && spec.taps !== "stored"
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
    `  host memory           ${formatBytes(hostBytes)}, of it ${formatBytes(loadedBytes)} for reading clips`,
  );
  const cache = await planCache(config, model, plans, io);
  io.print("  the same recipe otherwise:");
  const alternatives: Record<string, number | null> = {};
  for (const precision of ["f16", "f32"] as const) {
    for (const mode of ["recompute", "keep"] as const) {
      const isChosen = precision === config.precision && mode === config.memory;
      const planned = isChosen
        ? chosen
        : planIfPossible(config, spec, { precision, memory: mode, frozen: config.frozen });
      const bytes = planned && planned.plan.memory.total;
      alternatives[`${precision}_${mode}`] = bytes;
      const text = planned === null ? TOO_LARGE : formatBytes(planned.plan.memory.total) +
        (planned.against === null ? "" : ` with ${Math.max(...partsOf(planned.plan, clips))} clips at once`);
      io.print(
        `    precision ${precision}, memory ${mode.padEnd(9)}  ${text}${isChosen ? "  (this recipe)" : ""}`,
      );
    }
  }
  // Without a tower there is nothing to stream.
  if (spec.taps !== "stored") {
    const frozenMode = config.frozen === "stream" ? "resident" : "stream";
    const moved = planVariant(config, spec, { ...chosen, frozen: frozenMode }).plan.memory;
    alternatives[frozenMode] = moved.total;
    const [streamed, resident] = frozenMode === "stream" ? [moved, memory] : [memory, moved];
    io.print(
      `    frozen blocks ${frozenMode === "stream" ? "streamed" : "resident"}: ${
        formatBytes(moved.total)
      }  ` +
        `(streaming moves ${formatBytes(resident.total - streamed.total)} to ${
          formatBytes(streamed.hostBytes)
        } of host memory)`,
    );
  }
  if (options.steps) { for (const line of plans.flatMap((one) => [...describePlan(one)])) io.print(line); }
  io.printJson({
    gpu_bytes: memory.total,
    gpu_bytes_by_use: memory.byUse,
    gpu_bytes_otherwise: alternatives,
    trainable_parameters: trainable,
    frozen_parameters: frozen,
    flops_per_step: flops,
    flops_per_view: viewFlops,
    clips_at_once: Math.max(...parts),
    host_bytes: hostBytes,
    ...cache,
  });
  return 0;
}

/** Prints what stored features of the recipe would take and spare; nothing of a recipe whose features cannot be stored at all. */
async function planCache(config: Config, model: VideoModel, plans: readonly Plan[], io: Io) {
  const clipBytes = entryBytes(model, pictureForm(config)), obstacle = obstacleOf(config, model);
  const clips = await listedClips(config, io), bytes = clips === null ? null : clips * clipBytes;
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

/** Views of both lists of a recipe in one epoch; null where one of them cannot be read. What a run on them would teach is told. */
async function listedClips(recipe: Config, io: Io): Promise<number | null> {
  const note = (text: string) => io.note(`warning: ${text}`);
  let lists: { config: Config; set: TrainingSet; val: ClipRecord[] };
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
  return clips.length * storedCopies(config) + val.length;
}
