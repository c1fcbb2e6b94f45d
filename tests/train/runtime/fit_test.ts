import assert from "node:assert/strict";
import { AdapterError } from "../../../lib/errors.ts";
import { createModel, type ModelSpec } from "../../../models/mod.ts";
import { type FitOptions, planFittingSession, refusedError } from "../../../train/runtime/fit.ts";
import { freeMemory, parseNvidiaFree } from "../../../train/runtime/free_memory.ts";
import { planSession, type SessionOptions } from "../../../train/runtime/session_plan.ts";
import { parseConfig } from "../../../train/recipe/config.ts";
import { modelSpec } from "../../../train/recipe/model.ts";
import { sessionOptions as recipeOptions } from "../../../train/tasks/session_options.ts";
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

Deno.test("a batch whose pictures exceed a binding is refused, whatever pictures a system reads a frame", () => {
  // ViT-B/16, 8 frames: of TDS-CLIP's windows of five pictures 96 clips are 2.31 GB, of single pictures they are 462 MB.
  const fit = { freeBytes: null, clipsPerVideo: 1 }, tds = published("tds-clip", 96);
  const { message, batch } = refusal(tds.options, fit, createModel(modelSpec(tds.config)));
  assert.match(message, /^Cannot train with 96 clips a batch: "frames" .* needs 2\.15 GiB in one piece/);
  const most = Math.floor((2 ** 31 - 2 ** 20) / (8 * 5 * 3 * 224 ** 2 * 4));
  assert.ok(batch > 0 && batch <= most, `${batch} of at most ${most}`);
  const fits = published("tds-clip", batch), next = published("tds-clip", batch + 1);
  const plan = (of: typeof fits) =>
    planFittingSession(createModel(modelSpec(of.config)), of.options, { environment: ENVIRONMENT, ...fit });
  assert.ok(plan(fits).memory.total > 0);
  assert.throws(() => plan(next), AdapterError);
});

Deno.test("what a batch brings besides pictures counts against a binding like everything", () => {
  const fit = { environment: ENVIRONMENT, freeBytes: null, clipsPerVideo: 1 };
  const options = sessionOptions(64), limits = { maxBindingBytes: 40 * MIB, maxBufferBytes: 64 * MIB };
  const large = { ...options, limits, inputs: { ...options.inputs, more: { shape: [200_000] } } };
  assert.throws(
    () => planFittingSession(createModel(SPEC), large, fit),
    /"more" \[64,200000\] needs 48\.8 MiB in one piece, .* data\.batch_size=52 would fit/,
  );
});
