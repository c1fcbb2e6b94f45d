/** Measures training steps of a recipe on generated frames: clips per second, and what the host does between submissions. */

import type { Gpu } from "../gpu/device.ts";
import { ownTimes, StepRecorder } from "../gpu/profiling/recorder.ts";
import { createModel, picturesOf, type VideoModel } from "../models/mod.ts";
import { tapShape } from "../models/video_model.ts";
import type { Config } from "../train/recipe/config.ts";
import { trainingSpec } from "../train/recipe/model.ts";
import { deviceInfo, LocalDevice } from "../train/runtime/device/device.ts";
import { planFittingSession } from "../train/runtime/fit.ts";
import { requireHalves } from "../train/runtime/open_session.ts";
import { Session } from "../train/runtime/session.ts";
import {
  PROGRAMS,
  type SessionClip,
  type SessionPlan,
  stepPrograms,
  type TrainBatch,
} from "../train/runtime/session_plan.ts";
import { ratesOf } from "../train/runtime/update_rules.ts";
import {
  clipsPerBatch,
  halvesNeed,
  optimizerOf,
  sessionOptions,
  taskOfRecipe,
} from "../train/tasks/session_options.ts";
import type { Measurement } from "./matmul.ts";

const REPEATS = 5;
/** Steps are timed together until they take so long, because the end of work on a GPU is seen on a 10 ms poll; not too many, as their batches wait in memory. */
const SERIES_MS = 300, MOST_STEPS = 32;
/** No further repeat begins after so long: a software adapter takes a minute for one step of a large network. */
const ENOUGH_MS = 20_000;

/** What the host does in a step. */
export interface HostTime {
  /** Between submissions: encoding, handing bytes over, and all else. */
  encode_ms: number;
  write_ms: number;
  other_ms: number;
  /** Of their sum, in the step. */
  share_of_step: number;
  /** In submissions, where some drivers wait for what was submitted before. */
  submit_ms: number;
  written_bytes: number;
}

/** A step's measurement: clips per second beside the common fields. */
export interface StepMeasurement extends Measurement {
  clips_per_second: number;
  gpu_bytes: number;
  host: HostTime;
}

/** A recipe's training on a device, a step at a time, on one batch of generated frames. */
export interface OpenStep extends AsyncDisposable {
  readonly config: Config;
  readonly model: VideoModel;
  readonly session: Session;
  readonly device: LocalDevice;
  readonly planned: SessionPlan;
  /** Clips of a batch; a step takes `solver.grad_accumulation_steps` of them. */
  readonly clips: number;
  /** Programs of a step in order, its update among them. */
  readonly programs: readonly string[];
  /** Queues a step. Resolves when all of it is submitted. */
  step(): Promise<void>;
}

/** Opens a recipe's training as a run would on this adapter, in parts where it cannot hold the batch. */
export async function openStep(gpu: Gpu, config: Config): Promise<OpenStep> {
  const model = createModel(trainingSpec(config)), task = taskOfRecipe(config), clips = clipsPerBatch(config);
  const device = new LocalDevice(gpu);
  requireHalves(device, halvesNeed(config, { stored: model.taps === "stored" }));
  const { info } = device;
  const { largestFrame: _frame, ...rest } = sessionOptions(config, {
    lastBatch: 0,
    largestFrame: { width: 1, height: 1 },
  });
  const { options, plan: planned } = planFittingSession(
    model,
    { ...rest, largestFrame: null, limits: deviceInfo(gpu).limits },
    { environment: info.environment, freeBytes: null, clipsPerVideo: config.data.num_sample },
  );
  const session = await Session.open(device, model, options, planned);
  await session.initialise(config.seed);
  await session.computeConstants();
  if (options.average) await session.beginAverages();
  const batch = await batchFor(config, model, clips), rates = ratesOf(optimizerOf(config), 1e-3);
  const batches = config.solver.grad_accumulation_steps, once = stepPrograms(planned, clips);
  const guards = planned.plans[PROGRAMS.guard] ? [PROGRAMS.guard] : [];
  return {
    config,
    model,
    session,
    device,
    planned,
    clips,
    programs: [
      ...Array.from({ length: batches }, () => [...once, ...guards]).flat(),
      PROGRAMS.update,
    ],
    step: async () => {
      for (let i = 0; i < batches; i++) await session.step(batch, rates);
    },
    [Symbol.asyncDispose]: () => device[Symbol.asyncDispose](),
  };

  /** Generated frames, finished, with what the task's batches bring besides. */
  async function batchFor(config: Config, model: VideoModel, clips: number): Promise<TrainBatch> {
    const { frames, backbone } = model.config, { imageSize } = backbone;
    const place = Array.from(
      { length: clips },
      (_, i) => ({ index: i, label: i % Math.max(1, config.data.num_classes), frameCount: frames }),
    );
    const records = place.map(({ label }, i) => ({
      path: `clip ${i}`,
      label,
      captions: [`a clip of the kind ${i}`],
      frames: null,
      line: 0,
    }));
    const encode = await task.encoder(config, { clips: records, classWeights: null });
    const { inputs } = encode({ clips: place, epoch: 0, batch: 0 });
    const values = picturesOf(model) * 3 * imageSize ** 2, [rows, tokens, width] = tapShape(model, 1);
    // Every clip has the same frames, moved on by one value: memory for one.
    const pixels = Float32Array.from({ length: values + clips }, (_, i) => Math.sin(0.013 * i));
    const halves = Uint16Array.from({ length: rows * tokens * width }, (_, i) => 0x3000 + i % 0x800);
    const tap = new Uint8Array(halves.buffer);
    const whole = { x: 0, y: 0, width: imageSize, height: imageSize };
    const clipOf = (i: number): SessionClip => ({
      frames: new Uint8Array(0),
      width: imageSize,
      height: imageSize,
      transform: { resize: null, crop: whole, resizeCrop: null, flip: false },
      planes: new Uint8Array(pixels.buffer, 4 * i, 4 * values),
      ...model.taps === "stored" && { taps: model.tapped.map(() => tap) },
    });
    return { clips: place.map((_, i) => clipOf(i)), inputs, mix: null };
  }
}

/** The best of several series of steps, after some that warm up: milliseconds of one. */
export async function measureStep(gpu: Gpu, open: OpenStep): Promise<StepMeasurement> {
  const { config, model, session, device: { runtime }, planned, clips } = open;
  const { frames, backbone } = model.config, began = performance.now();
  const isLate = () => performance.now() - began > ENOUGH_MS;
  const series = async (steps: number) => {
    const recorder = runtime.recorder = new StepRecorder(gpu, { launches: false }),
      started = performance.now();
    for (let i = 0; i < steps; i++) await open.step();
    const called = performance.now() - started;
    runtime.recorder = null;
    await session.finish();
    return { ms: (performance.now() - started) / steps, callMs: called / steps, steps, recorder };
  };
  await series(1); // makes the pipelines
  let best = await series(1);
  const steps = Math.max(1, Math.min(MOST_STEPS, Math.ceil(SERIES_MS / best.ms)));
  for (let i = 0; i < REPEATS && !isLate(); i++) {
    const one = await series(steps);
    if (one.ms < best.ms) best = one;
  }
  const plans = open.programs.map((name) => planned.plans[name]);
  const sum = (of: (plan: typeof plans[number]) => number) =>
    plans.reduce((total, plan) => total + of(plan), 0);
  const batches = config.solver.grad_accumulation_steps;
  return {
    name: "step",
    variant: `${config.system}/${config.network.arch}/${config.precision}/${config.memory}`,
    shape: `${clips}x${frames}x3x${backbone.imageSize}x${backbone.imageSize}`,
    ms: best.ms,
    gflops: sum(({ flops }) => flops) / best.ms / 1e6,
    gbps: sum(({ bytesMoved }) => bytesMoved) / best.ms / 1e6,
    adapter: gpu.name,
    clips_per_second: 1000 * clips * batches / best.ms,
    gpu_bytes: session.allocatedBytes,
    host: hostTime(best),
  };
}

function hostTime(
  { ms, callMs, steps, recorder }: { ms: number; callMs: number; steps: number; recorder: StepRecorder },
): HostTime {
  const own = ownTimes(recorder.host);
  const of = (is: RegExp) => [...own].reduce((sum, [what, ms]) => is.test(what) ? sum + ms : sum, 0) / steps;
  const [encode, write, submit, wait] = [/^encode/, /^(write|upload)/, /^submit/, /^wait/].map(of);
  return {
    encode_ms: encode,
    write_ms: write,
    submit_ms: submit,
    other_ms: Math.max(0, callMs - encode - write - submit - wait),
    share_of_step: Math.max(0, callMs - wait - submit) / ms,
    written_bytes: recorder.host.reduce((sum, { bytes = 0 }) => sum + bytes, 0) / steps,
  };
}

/** Times whole training steps of a recipe (forward, backward, update) without data loading. */
export async function* benchStep(gpu: Gpu, config: Config): AsyncGenerator<StepMeasurement> {
  await using open = await openStep(gpu, config);
  yield await measureStep(gpu, open);
}
