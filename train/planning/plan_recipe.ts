/** What a recipe takes, found by planning it: exact bytes and FLOPs, without a GPU and without allocating anything. */
import type { KernelEnvironment } from "../../gpu/op.ts";
import type { Plan, PlanLimits } from "../../gpu/plan.ts";
import type { DeviceInfo } from "../../gpu/runtime.ts";
import { AdapterError, ConfigError } from "../../lib/errors.ts";
import { createModel, picturesOf, type VideoModel } from "../../models/mod.ts";
import { checkStorable, entryBytes } from "../features/features.ts";
import { pictureForm } from "../features/pictures.ts";
import { readingBytes } from "../feed/frame_room.ts";
import type { Config } from "../recipe/config.ts";
import { trainingSpec } from "../recipe/model.ts";
import { type FittingSession, planFittingSession } from "../runtime/fit.ts";
import { microBatches } from "../runtime/micro_batches.ts";
import { type BytesByUse, PROGRAMS, stepPlans } from "../runtime/session_plan.ts";
import { clipsPerBatch, halvesNeed, sessionOptions } from "../tasks/session_options.ts";
import { PLAIN_GPU } from "../../gpu/tuning/family.ts";
import type { PlannedStep } from "./step_time.ts";

/** Frames a plan assumes: 16:9 at the published short side, or the recipe's own synthetic size. */
export const ASSUMED_FRAME = { width: 456, height: 256 } as const;

/** A GPU of today, for planning on a machine without one. */
export const ASSUMED_LIMITS: PlanLimits = {
  maxBindingBytes: 2 ** 31 - 2 ** 20,
  maxBufferBytes: 2 ** 31 - 2 ** 20,
};
const ASSUMED_ENVIRONMENT: KernelEnvironment = {
  ...PLAIN_GPU,
  features: new Set(["shader-f16", "subgroups"]),
};

/** The adapter to plan for, as an open device tells of it (`device.info`). */
export type PlannedAdapter = Pick<DeviceInfo, "limits" | "environment" | "freeBytes">;

/** How to plan. */
export interface PlanOptions {
  /** By default a GPU of today with 2 GiB a buffer, half precision, and memory without end. */
  readonly adapter?: PlannedAdapter;
}

/** How memory is spent and spared: three keys of a recipe that change no result beyond rounding. */
export type MemoryKeys = Pick<Config, "precision" | "memory" | "frozen">;

/** A recipe with other keys of that kind, and what it takes. */
export interface PlannedVariant extends MemoryKeys {
  /** null: it has a tensor larger than the adapter can address, even one clip at a time. */
  readonly gpuBytes: number | null;
  /** Clips that go through the GPU at once; null as above. */
  readonly clipsAtOnce: number | null;
  /** Whether that is the whole batch. */
  readonly isWhole: boolean;
  /** Of the host's memory, for frozen blocks that are streamed. */
  readonly hostBytes: number;
}

/** What a recipe takes. */
export interface RecipePlan {
  readonly trainableParameters: number;
  readonly frozenParameters: number;
  /** All that training allocates on the GPU, and the same by use. */
  readonly gpuBytes: number;
  readonly gpuBytesByUse: Readonly<BytesByUse>;
  /** Of the host's memory: frozen blocks that are streamed, and clips that are read ahead. */
  readonly hostBytes: number;
  readonly readingBytes: number;
  /** Clips of a batch, and of the parts in which it goes through the GPU; one part where it goes whole. */
  readonly clips: number;
  readonly parts: readonly number[];
  /** Why it does not go whole, in words; null: it does. */
  readonly against: string | null;
  /** Launches of an update, its FLOPs and the bytes that kernels read and write. */
  readonly nodesPerStep: number;
  readonly flopsPerStep: number;
  readonly bytesMovedPerStep: number;
  /** FLOPs of one view of one clip in an evaluation; papers count half of that, as multiply-accumulates. */
  readonly flopsPerView: number;
  /** Programs of an update in order, step by step. */
  readonly programs: readonly Plan[];
  /** The same with its update and what the host sends, for its time. */
  readonly step: PlannedStep;
  readonly model: VideoModel;
}

/**
 * Plans the training of a recipe. A run on such an adapter allocates what this says.
 *
 * @throws {ConfigError} where a tensor is larger than any GPU can address, even one clip at a time
 * @example `const { gpuBytes } = planRecipe((await loadConfig("configs/demo.yaml")).config)`
 */
export function planRecipe(config: Config, options: PlanOptions = {}): RecipePlan {
  const spec = trainingSpec(config), model = createModel(spec);
  if (config.data.features !== null) checkStorable(config, model);
  const chosen = planIfPossible(config, config, options);
  if (chosen === null) {
    const { maxBindingBytes } = options.adapter?.limits ?? ASSUMED_LIMITS;
    throw new ConfigError(
      `Cannot plan: no tensor may be larger than a GPU can address (${maxBindingBytes} bytes), not even one clip at a time; ` +
        `use ${
          config.precision === "f32" ? "precision=f16, " : ""
        }fewer frames (data.num_segments) or a smaller backbone`,
    );
  }
  const { memory } = chosen.plan, clips = clipsPerBatch(config), programs = stepPlans(chosen.plan, clips);
  const sum = (of: (plan: Plan) => number) => programs.reduce((total, plan) => total + of(plan), 0);
  // Stored features: a batch under way and two read ahead.
  const reading = spec.taps === "stored"
    ? 3 * clips * entryBytes(model, pictureForm(config))
    : readingBytes(config, config.data.synth ?? ASSUMED_FRAME) + memory.byUse.frame_preparation;
  return {
    trainableParameters: model.weights.count("trained"),
    frozenParameters: model.weights.count("frozen"),
    gpuBytes: memory.total,
    gpuBytesByUse: memory.byUse,
    hostBytes: memory.hostBytes + reading,
    readingBytes: reading,
    clips,
    parts: microBatches(clips, chosen.plan.cut).map(({ length }) => length),
    against: chosen.against,
    nodesPerStep: sum(({ steps }) => steps.length),
    flopsPerStep: sum((plan) => plan.flops) * config.solver.grad_accumulation_steps,
    bytesMovedPerStep: sum((plan) => plan.bytesMoved),
    flopsPerView: chosen.plan.programs.evaluation.plan.flops / chosen.options.evalClips,
    programs,
    step: plannedStep(config, chosen, { model, programs, clips }),
    model,
  };
}

function plannedStep(
  config: Config,
  { plan }: FittingSession,
  { model, programs, clips }: { model: VideoModel; programs: readonly Plan[]; clips: number },
): PlannedStep {
  const batches = config.solver.grad_accumulation_steps, { plans, layout, memory } = plan;
  const { update, guard } = PROGRAMS, { imageSize } = model.config.backbone;
  const frameBytes = clips * picturesOf(model) * 3 * imageSize ** 2 * 4;
  const taps = model.taps === "stored" ? clips * entryBytes(model, pictureForm(config)) : 0;
  // A loss over the batch needs its frames twice: to encode, and to go backward.
  const passes = plan.programs.batch === null ? 1 : 2;
  const streams = layout.stream === null
    ? 0
    : programs.filter(({ residents }) => residents.some((tensor) => layout.find(tensor).block !== undefined))
      .length;
  return {
    programs,
    batches,
    updates: [
      ...plans[guard] ? Array.from({ length: batches }, () => plans[guard]) : [],
      ...plans[update] ? [plans[update]] : [],
    ],
    uploadedBytes: passes * (frameBytes + taps),
    multipliesHalves: halvesNeed(config)?.multiplies ?? false,
    streamedBytes: streams * memory.hostBytes,
  };
}

/**
 * Plans the same recipe with other keys of precision and memory.
 *
 * @example `planVariant(config, { precision: "f16", memory: "keep", frozen: "resident" }).gpuBytes`
 */
export function planVariant(config: Config, keys: MemoryKeys, options: PlanOptions = {}): PlannedVariant {
  const { precision, memory, frozen } = keys, of = { precision, memory, frozen };
  const planned = planIfPossible(config, of, options);
  if (planned === null) return { ...of, gpuBytes: null, clipsAtOnce: null, isWhole: false, hostBytes: 0 };
  const { plan, against } = planned, clips = clipsPerBatch(config);
  return {
    ...of,
    gpuBytes: plan.memory.total,
    clipsAtOnce: Math.max(...microBatches(clips, plan.cut).map(({ length }) => length)),
    isWhole: against === null,
    hostBytes: plan.memory.hostBytes,
  };
}

/** A session for the recipe with these keys; null where it cannot be, even one clip at a time. */
function planIfPossible(
  config: Config,
  { precision, memory, frozen }: MemoryKeys,
  { adapter }: PlanOptions,
): FittingSession | null {
  const spec = trainingSpec(config), side = config.data.input_size;
  const frame = spec.taps === "stored" ? { width: side, height: side } : config.data.synth ?? ASSUMED_FRAME;
  const model = createModel({ ...spec, backboneDtype: precision });
  const options = sessionOptions({ ...config, precision, memory, frozen }, {
    lastBatch: 0,
    largestFrame: frame,
  });
  try {
    return planFittingSession(model, { ...options, limits: adapter?.limits ?? ASSUMED_LIMITS }, {
      environment: adapter?.environment ?? ASSUMED_ENVIRONMENT,
      freeBytes: adapter?.freeBytes ?? null,
      clipsPerVideo: config.data.num_sample,
    });
  } catch (error) {
    if (error instanceof AdapterError) return null;
    throw error;
  }
}
