import assert from "node:assert/strict";
import { TooLargeError } from "../../../gpu/plan.ts";
import { AdapterError } from "../../../lib/errors.ts";
import { createModel, type ModelSpec } from "../../../models/mod.ts";
import { describeParts, type FitOptions, planFittingSession } from "../../../train/runtime/fit.ts";
import { freeMemory, parseNvidiaFree } from "../../../train/runtime/device/free_memory.ts";
import { planSession, type SessionOptions } from "../../../train/runtime/session_plan.ts";
import { parseConfig } from "../../../train/recipe/config.ts";
import { modelSpec } from "../../../train/recipe/model.ts";
import { sessionOptions as recipeOptions } from "../../../train/tasks/session_options.ts";
import type { ClipClassifierSizes } from "../../../models/parts/clip_classifier.ts";
import { contrastOptions, tinyEncoder } from "../../_util/tiny_encoder.ts";
import { tinySession, tinyTraining } from "../../_util/tiny_model.ts";
import { PLAIN_GPU } from "../../../gpu/tuning/family.ts";

const MIB = 2 ** 20;
const SPEC: ModelSpec = {
  system: "side4video",
  sizes: {
    backbone: { imageSize: 16, patchSize: 8, width: 32, layers: 1, heads: 1 },
    frames: 4,
    sideDim: 64,
    classes: 2,
  },
  backboneDtype: "f32",
};
const ENVIRONMENT = {
  ...PLAIN_GPU,
  features: new Set(["shader-f16"]),
};

function sessionOptions(clips: number, changes: Partial<SessionOptions> = {}): SessionOptions {
  return {
    ...tinySession(),
    ...tinyTraining({ classes: 2 }),
    trainClips: [clips],
    evalClips: clips,
    limits: { maxBindingBytes: 128 * MIB, maxBufferBytes: 1024 * MIB },
    largestFrame: { width: 20, height: 20 },
    ...changes,
  };
}

type Fit = Omit<FitOptions, "environment">;

const fitOf = (options: SessionOptions, fit: Fit, model = createModel(SPEC)) =>
  planFittingSession(model, options, { environment: ENVIRONMENT, ...fit });

const bytesFor = (clips: number, changes: Partial<SessionOptions> = {}) =>
  planSession(createModel(SPEC), sessionOptions(clips, changes), ENVIRONMENT).memory.total;

/** Clips at once of the session that fits; that one more would not is checked. */
function mostAtOnce(options: SessionOptions, fit: Fit, model = createModel(SPEC)): number {
  const { options: own, plan, against } = fitOf(options, fit, model);
  assert.notEqual(against, null);
  assert.deepEqual(own.trainClips, options.trainClips);
  const trains = options.trainClips.length > 0, clips = trains ? own.microClips! : own.evalClips;
  const more = trains
    ? { ...options, microClips: clips + 1, evalClips: Math.min(options.evalClips, clips + 1) }
    : { ...options, evalClips: clips + 1 };
  assert.ok(fit.freeBytes === null || plan.memory.total <= fit.freeBytes);
  let fits = true;
  try {
    const { memory } = planSession(model, more, ENVIRONMENT);
    fits = fit.freeBytes === null || memory.total <= fit.freeBytes;
  } catch (error) {
    if (!(error instanceof TooLargeError)) throw error;
    fits = false;
  }
  assert.equal(fits, false, `${clips} at once, but one more fits as well`);
  return clips;
}

Deno.test("a batch beyond the free memory goes through the GPU in parts, as large as fit", () => {
  const freeBytes = bytesFor(64, { microClips: 16, evalClips: 16 }) + 100;
  const { against, plan } = fitOf(sessionOptions(64), { freeBytes, clipsPerVideo: 1 });
  assert.match(against!, /^the plan needs [\d.]+ MiB, the adapter has [\d.]+ MiB$/);
  assert.equal(mostAtOnce(sessionOptions(64), { freeBytes, clipsPerVideo: 1 }), 16);
  assert.ok(plan.memory.total <= freeBytes);
  assert.equal(fitOf(sessionOptions(16), { freeBytes, clipsPerVideo: 1 }).against, null);
});

Deno.test("what is said of parts names the obstacle, the parts, and what batch norms see", () => {
  const text = describeParts(createModel(SPEC), {
    against: "the plan needs 2.00 GiB, the adapter has 1.00 GiB",
    clips: 10,
    parts: [4, 3, 3],
  });
  assert.equal(
    text,
    "the plan needs 2.00 GiB, the adapter has 1.00 GiB: a batch of 10 clips goes through the GPU in 3 parts of up to 4 " +
      "(data.micro_batch_size), with one update as before; batch norms see a part at a time",
  );
});

Deno.test("a session for evaluation alone needs less, and takes more at once", () => {
  const freeBytes = bytesFor(11);
  const clips = mostAtOnce(sessionOptions(999, { trainClips: [] }), { freeBytes, clipsPerVideo: 1 });
  assert.ok(clips > 11, `${clips}`);
});

Deno.test("a tensor beyond the adapter's limits makes parts too, whatever is free", () => {
  const limits = { maxBindingBytes: MIB, maxBufferBytes: 4 * MIB };
  const fit = { freeBytes: null, clipsPerVideo: 1 };
  const { against } = fitOf(sessionOptions(1000, { limits }), fit);
  assert.match(against!, /needs [\d.]+ MiB in one piece, the adapter allows \d\.\d+ MiB$/);
  mostAtOnce(sessionOptions(1000, { limits }), fit);
});

Deno.test("batches that are mixed are cut into pairs, never into single clips", () => {
  const mixed = sessionOptions(64, tinyTraining({ classes: 2, mixes: true }));
  const freeBytes = planSession(createModel(SPEC), { ...mixed, microClips: 2, evalClips: 2 }, ENVIRONMENT)
    .memory.total;
  assert.equal(fitOf(mixed, { freeBytes, clipsPerVideo: 1 }).options.microClips, 2);
  assert.throws(() => fitOf(mixed, { freeBytes: freeBytes - 1, clipsPerVideo: 1 }), AdapterError);
});

Deno.test("where not even one clip fits, other ways out are named", () => {
  assert.throws(
    () => fitOf(sessionOptions(8), { freeBytes: 2048, clipsPerVideo: 1 }),
    /^AdapterError: Cannot train with 8 clips a batch: the plan needs [\d.]+ MiB, the adapter has 2\.00 KiB; no batch would fit: use precision=f16, memory=least, fewer frames \(data\.num_segments\) or a smaller backbone$/,
  );
});

Deno.test("free memory of a card is read by its name; of equal cards the freest counts", () => {
  const text = "NVIDIA T4, 15000\nNVIDIA A100, 40000\nNVIDIA T4, 9000\n";
  assert.equal(parseNvidiaFree(text, "NVIDIA T4"), 15000 * MIB);
  assert.equal(parseNvidiaFree("NVIDIA H200, 143000\n", "another name"), 143000 * MIB);
  assert.equal(parseNvidiaFree("NVIDIA Orin, [N/A]\n", "NVIDIA Orin"), null);
});

Deno.test("a software adapter has a share of the host's free memory", async () => {
  const info = { vendor: "", architecture: "", device: "", description: "llvmpipe" } as GPUAdapterInfo;
  const free = await freeMemory({ isSoftware: true, name: "llvmpipe", info });
  assert.ok(free !== null && free > 0 && free < Deno.systemMemoryInfo().total);
  assert.equal(
    await freeMemory({ isSoftware: false, name: "AMD Radeon", info: { ...info, description: "" } }),
    null,
  );
});

/** Options of a published recipe with so many clips a batch. */
function published(system: string, clips: number) {
  const { config } = parseConfig(`system: ${system}\ndata: { num_classes: 174 }\nprecision: f16`, {
    overrides: [`data.batch_size=${clips}`],
  });
  const frame = { width: 456, height: 256 };
  const limits = { maxBindingBytes: 2 ** 31 - 2 ** 20, maxBufferBytes: 2 ** 31 - 2 ** 20 };
  return { config, options: { ...recipeOptions(config, { lastBatch: 0, largestFrame: frame }), limits } };
}

/** Batches whose pictures are larger than a binding of published limits. */
const WINDOWS = [
  { system: "tds-clip", window: 5, clips: 96 },
  { system: "side4video", window: 1, clips: 480 },
];

Deno.test("a batch whose pictures exceed a binding is cut, whatever pictures a system reads a frame", () => {
  // ViT-B/16, 8 frames: 96 clips of TDS-CLIP's windows of five pictures are 2.31 GB, and so are 480 of single pictures.
  const fit = { freeBytes: null, clipsPerVideo: 1 };
  for (const { system, window, clips } of WINDOWS) {
    const { config, options } = published(system, clips), model = createModel(modelSpec(config));
    assert.equal(
      fitOf(options, fit, model).against,
      `"frames" [${clips * 8 * window},3,224,224] needs 2.15 GiB in one piece, the adapter allows 2.00 GiB`,
    );
    const most = Math.floor((2 ** 31 - 2 ** 20) / (8 * window * 3 * 224 ** 2 * 4));
    const atOnce = mostAtOnce(options, fit, model);
    assert.ok(atOnce > 0 && atOnce <= most, `${atOnce} of at most ${most}`);
  }
});

Deno.test("what a batch brings besides pictures counts against a binding like everything", () => {
  const fit = { freeBytes: null, clipsPerVideo: 1 };
  const options = sessionOptions(64), limits = { maxBindingBytes: 40 * MIB, maxBufferBytes: 64 * MIB };
  // Targets over two hundred thousand classes, which no head reads.
  const inputs = { ...options.inputs, targets: { shape: [200_000] } };
  const targets = fitOf({ ...options, limits, inputs }, fit);
  assert.equal(
    targets.against,
    `"targets" [64,200000] needs 48.8 MiB in one piece, the adapter allows 40.0 MiB`,
  );
  assert.equal(mostAtOnce({ ...options, limits, inputs }, fit), Math.floor(40 * MIB / 800_000));
  const tokens = { ...options.inputs, tokens: { shape: [500_000], dtype: "u32" as const } };
  const read = { ...options, limits, inputs: tokens };
  assert.match(fitOf(read, fit).against!, /^"tokens" \[64,500000\] needs 122 MiB in one piece/);
  assert.equal(mostAtOnce(read, fit), Math.floor(40 * MIB / 2_000_000));
});

Deno.test("stored taps count against a binding, and what fits is found from them", () => {
  // A tower so wide that its taps, [B*T N C] in halves, are larger than all other inputs.
  const { backbone, ...sizes } = SPEC.sizes as ClipClassifierSizes;
  const model = createModel({
    ...SPEC,
    sizes: { ...sizes, backbone: { ...backbone, width: 2048 } },
    taps: "stored",
  });
  const limits = { maxBindingBytes: 4 * MIB, maxBufferBytes: 64 * MIB };
  const tapBytes = 4 * 5 * 2048 * 2, most = Math.floor(limits.maxBindingBytes / tapBytes);
  const options = sessionOptions(64, { limits }), fit = { freeBytes: null, clipsPerVideo: 1 };
  assert.equal(
    fitOf(options, fit, model).against,
    `"tap.0" [256,5,2048] needs 5.00 MiB in one piece, the adapter allows 4.00 MiB`,
  );
  const atOnce = mostAtOnce(options, fit, model);
  assert.ok(atOnce > 0 && atOnce <= most, `${atOnce} of at most ${most}`);
});

Deno.test("a loss over the batch is refused where the batch is too large for it, however few run at once", () => {
  const model = tinyEncoder(), fit = { environment: ENVIRONMENT, freeBytes: null, clipsPerVideo: 1 };
  const inputs = { partners: { shape: [], dtype: "u32" as const }, more: { shape: [200_000] } };
  const limits = { maxBindingBytes: 40 * MIB, maxBufferBytes: 64 * MIB };
  const options = contrastOptions(model, { trainClips: [64], microClips: 2, inputs, limits });
  assert.throws(
    () => planFittingSession(model, options, fit),
    /^AdapterError: Cannot train with 64 clips a batch: "batch\.more" \[64,200000\] needs 48\.8 MiB in one piece, the adapter allows 40\.0 MiB; data\.batch_size=52 would fit /,
  );
});
