import assert from "node:assert/strict";
import { AdapterError } from "../../../lib/errors.ts";
import { createModel, type ModelSpec } from "../../../models/mod.ts";
import { type FitOptions, planFittingSession, refusedError } from "../../../train/runtime/fit.ts";
import { freeMemory, parseNvidiaFree } from "../../../train/runtime/free_memory.ts";
import { planSession, type SessionOptions } from "../../../train/runtime/session_plan.ts";
import { parseConfig } from "../../../train/recipe/config.ts";
import { modelSpec } from "../../../train/recipe/model.ts";
import { sessionOptions as recipeOptions } from "../../../train/tasks/session_options.ts";
import type { ClipClassifierSizes } from "../../../models/parts/clip_classifier.ts";
import { contrastOptions, tinyEncoder } from "../../_util/tiny_encoder.ts";
import { tinySession, tinyTraining } from "../../_util/tiny_model.ts";

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
  features: new Set(["shader-f16"]),
  isSoftware: false,
  vendor: "",
  architecture: "",
  description: "",
  choices: new Map<string, string>(),
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

/** The message of the refusal, and the batch it names. */
function refusal(
  options: SessionOptions,
  fit: Omit<FitOptions, "environment">,
  model = createModel(SPEC),
) {
  try {
    planFittingSession(model, options, { environment: ENVIRONMENT, ...fit });
  } catch (error) {
    if (!(error instanceof AdapterError)) throw error;
    return {
      message: error.message,
      batch: Number(/data\.batch_size=(\d+) would fit/.exec(error.message)?.[1]),
    };
  }
  assert.fail("the plan was accepted");
}

const bytesFor = (clips: number, changes: Partial<SessionOptions> = {}) =>
  planSession(createModel(SPEC), sessionOptions(clips, changes), ENVIRONMENT).memory.total;

Deno.test("a plan beyond the free memory is refused with the largest batch that fits", () => {
  const freeBytes = bytesFor(11) + 100;
  const { message, batch } = refusal(sessionOptions(64), { freeBytes, clipsPerVideo: 1 });
  assert.match(
    message,
    /^Cannot train with 64 clips a batch: the plan needs [\d.]+ MiB, the adapter has [\d.]+ MiB; data\.batch_size=11 would fit \([\d.]+ MiB\)$/,
  );
  assert.equal(batch, 11);
  assert.ok(bytesFor(12) > freeBytes);
  const plan = planFittingSession(createModel(SPEC), sessionOptions(11), {
    environment: ENVIRONMENT,
    freeBytes,
    clipsPerVideo: 1,
  });
  assert.equal(plan.memory.total, bytesFor(11));
});

Deno.test("the batch named counts videos where each becomes several clips", () => {
  const fit = { freeBytes: bytesFor(11) + 100, clipsPerVideo: 2 };
  assert.equal(refusal(sessionOptions(64), fit).batch, 5);
});

Deno.test("a session for evaluation alone says so, needs less, and fits a larger batch", () => {
  const freeBytes = bytesFor(11);
  const { message, batch } = refusal(sessionOptions(999, { trainClips: [] }), {
    freeBytes,
    clipsPerVideo: 1,
  });
  assert.match(message, /^Cannot evaluate with 999 clips a batch: /);
  assert.ok(batch > 11, `batch ${batch}`);
  assert.ok(bytesFor(batch, { trainClips: [] }) <= freeBytes);
});

Deno.test("a tensor beyond the adapter's limits is refused in the same words, whatever is free", () => {
  const limits = { maxBindingBytes: MIB, maxBufferBytes: 4 * MIB };
  const fit = { freeBytes: null, clipsPerVideo: 1 };
  const { message, batch } = refusal(sessionOptions(1000, { limits }), fit);
  assert.match(
    message,
    /needs [\d.]+ MiB in one piece, the adapter allows \d\.\d+ MiB; data\.batch_size=\d+ would fit/,
  );
  planFittingSession(createModel(SPEC), sessionOptions(batch, { limits }), {
    environment: ENVIRONMENT,
    ...fit,
  });
  refusal(sessionOptions(batch + 1, { limits }), fit);
});

Deno.test("where not even one clip fits, other ways out are named", () => {
  assert.match(
    refusal(sessionOptions(8), { freeBytes: 2048, clipsPerVideo: 1 }).message,
    /the adapter has 2\.00 KiB; no batch would fit: use precision=f16, memory=recompute or a smaller backbone$/,
  );
});

Deno.test("a plan that the adapter refuses while it is allocated comes with a batch to try", () => {
  const neededBytes = bytesFor(64);
  const { message } = refusedError(createModel(SPEC), sessionOptions(64), {
    environment: ENVIRONMENT,
    neededBytes,
    clipsPerVideo: 1,
  });
  const batch = Number(/with half of it free, data\.batch_size=(\d+) would fit/.exec(message)?.[1]);
  assert.ok(bytesFor(batch) <= neededBytes / 2 && bytesFor(batch + 1) > neededBytes / 2, message);
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

Deno.test("a batch whose pictures exceed a binding is refused, whatever pictures a system reads a frame", () => {
  // ViT-B/16, 8 frames: 96 clips of TDS-CLIP's windows of five pictures are 2.31 GB, and so are 480 of single pictures.
  const fit = { freeBytes: null, clipsPerVideo: 1 };
  for (const { system, window, clips } of WINDOWS) {
    const refused = published(system, clips);
    const { message, batch } = refusal(refused.options, fit, createModel(modelSpec(refused.config)));
    const pictures = clips * 8 * window;
    assert.match(
      message,
      new RegExp(
        `^Cannot train with ${clips} clips a batch: "frames" \\[${pictures},3,224,224\\] needs 2\\.15 GiB in one piece, ` +
          `the adapter allows 2\\.00 GiB; data\\.batch_size=\\d+ would fit`,
      ),
    );
    const most = Math.floor((2 ** 31 - 2 ** 20) / (8 * window * 3 * 224 ** 2 * 4));
    assert.ok(batch > 0 && batch <= most, `${batch} of at most ${most}`);
    const plan = ({ config, options }: ReturnType<typeof published>) =>
      planFittingSession(createModel(modelSpec(config)), options, { environment: ENVIRONMENT, ...fit });
    assert.ok(plan(published(system, batch)).memory.total > 0);
    assert.throws(() => plan(published(system, batch + 1)), AdapterError);
  }
});

Deno.test("what a batch brings besides pictures counts against a binding like everything", () => {
  const fit = { freeBytes: null, clipsPerVideo: 1 };
  const options = sessionOptions(64), limits = { maxBindingBytes: 40 * MIB, maxBufferBytes: 64 * MIB };
  // Targets over two hundred thousand classes, which no head reads.
  const inputs = { ...options.inputs, targets: { shape: [200_000] } };
  const { message, batch } = refusal({ ...options, limits, inputs }, fit);
  assert.match(
    message,
    /"targets" \[64,200000\] needs 48\.8 MiB in one piece, the adapter allows 40\.0 MiB; /,
  );
  assert.equal(batch, Math.floor(40 * MIB / 800_000));
  const tokens = { ...options.inputs, tokens: { shape: [500_000], dtype: "u32" as const } };
  const read = refusal({ ...options, limits, inputs: tokens }, fit);
  assert.match(read.message, /"tokens" \[64,500000\] needs 122 MiB in one piece/);
  assert.equal(read.batch, Math.floor(40 * MIB / 2_000_000));
});

Deno.test("stored taps count against a binding, and the batch that fits is found from them", () => {
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
  const { message, batch } = refusal(options, fit, model);
  assert.match(
    message,
    /"tap\.0" \[256,5,2048\] needs 5\.00 MiB in one piece, the adapter allows 4\.00 MiB; /,
  );
  assert.ok(batch > 0 && batch <= most, `${batch} of at most ${most}`);
  const plan = (clips: number) =>
    planFittingSession(model, sessionOptions(clips, { limits }), { environment: ENVIRONMENT, ...fit });
  assert.ok(plan(batch).memory.total > 0);
  assert.throws(() => plan(batch + 1), AdapterError);
});

Deno.test("a loss over the batch is refused by the size of the batch, not of what runs at once", () => {
  const model = tinyEncoder(), fit = { environment: ENVIRONMENT, freeBytes: null, clipsPerVideo: 1 };
  const inputs = { partners: { shape: [], dtype: "u32" as const }, more: { shape: [200_000] } };
  const limits = { maxBindingBytes: 40 * MIB, maxBufferBytes: 64 * MIB };
  const options = contrastOptions(model, { trainClips: [64], microClips: 2, inputs, limits });
  const { message, batch } = refusal(options, fit, model);
  assert.match(
    message,
    /^Cannot train with 64 clips a batch: "batch\.more" \[64,200000\] needs 48\.8 MiB in one piece/,
  );
  assert.equal(batch, 52);
});
