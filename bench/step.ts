/** Measures training steps of a recipe on generated frames: clips per second, and where the time goes. */

import type { Gpu } from "../gpu/device.ts";
import { profileProgram } from "../gpu/profile.ts";
import { createModel, picturesOf } from "../models/mod.ts";
import type { Config } from "../train/recipe/config.ts";
import { modelSpec } from "../train/recipe/model.ts";
import { LocalDevice } from "../train/runtime/device/device.ts";
import { Session } from "../train/runtime/session.ts";
import { planSession, PROGRAMS, stepPlans } from "../train/runtime/session_plan.ts";
import { ratesOf } from "../train/runtime/update_rules.ts";
import { optimizerOf, sessionOptions, taskOfRecipe } from "../train/tasks/session_options.ts";
import type { Measurement } from "./matmul.ts";

const REPEATS = 5;

/** A step's measurement: clips per second beside the common fields. */
export interface StepMeasurement extends Measurement {
  clips_per_second: number;
  gpu_bytes: number;
}

/**
 * Times whole training steps of a recipe (forward, backward, update) without data loading.
 *
 * @param options.profile Also yields the time of every kernel label, largest first.
 */
export async function* benchStep(
  gpu: Gpu,
  config: Config,
  options: { profile: boolean },
): AsyncGenerator<Measurement> {
  const model = createModel(modelSpec(config)), task = taskOfRecipe(config), optimizer = optimizerOf(config);
  const { largestFrame: _frame, ...rest } = sessionOptions(config, {
    lastBatch: 0,
    largestFrame: { width: 1, height: 1 },
  });
  const device = new LocalDevice(gpu);
  const own = { ...rest, largestFrame: null, limits: gpu };
  const planned = planSession(model, own, gpu.environment);
  const session = await Session.open(device, model, own, planned);
  await session.initialise(config.seed);
  const clips = rest.trainClips[0], { frames, backbone } = model.config;
  const pixels = new Float32Array(clips * picturesOf(model) * 3 * backbone.imageSize ** 2).map((_, i) =>
    Math.sin(0.013 * i)
  );
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
  const rates = ratesOf(optimizer, 1e-3);
  let best = Infinity;
  for (let i = 0; i <= REPEATS; i++) {
    const started = performance.now();
    await session.stepOnFrames(pixels, { clips, inputs }, rates);
    await session.finish();
    if (i > 0) best = Math.min(best, performance.now() - started);
  }
  const [{ flops, bytesMoved }] = stepPlans(planned, clips); // one: its batch goes through whole
  const shape = `${clips}x${frames}x3x${backbone.imageSize}x${backbone.imageSize}`;
  const common = { shape, adapter: gpu.name };
  const step: StepMeasurement = {
    name: "step",
    variant: `${config.system}/${config.network.arch}/${config.precision}/${config.memory}`,
    ms: best,
    gflops: flops / best / 1e6,
    gbps: bytesMoved / best / 1e6,
    clips_per_second: 1000 * clips / best,
    gpu_bytes: session.allocatedBytes,
    ...common,
  };
  yield step;
  if (options.profile) {
    const program = device.runtime.program(PROGRAMS.train(clips));
    await profileProgram(gpu, program); // warms up
    const byLabel = new Map<string, number>();
    for (const { label, ms } of await profileProgram(gpu, program)) {
      byLabel.set(label, (byLabel.get(label) ?? 0) + ms);
    }
    for (const [variant, ms] of [...byLabel].sort((a, b) => b[1] - a[1])) {
      yield { name: "launches", variant, ms, gflops: 0, gbps: 0, ...common };
    }
  }
  await device[Symbol.asyncDispose]();
}
