import assert from "node:assert/strict";
import { AdapterError } from "../../../lib/errors.ts";
import { createModel, type ModelSpec } from "../../../models/mod.ts";
import { freeMemory, parseNvidiaFree, planFittingSession, refusedError } from "../../../train/runtime/fit.ts";
import { planSession, type SessionOptions } from "../../../train/runtime/session_plan.ts";

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
const GPU = {
  environment: {
    features: new Set<string>(),
    isSoftware: false,
    vendor: "",
    architecture: "",
    description: "",
    choices: new Map<string, string>(),
  },
};

function sessionOptions(clips: number, changes: Partial<SessionOptions> = {}): SessionOptions {
  return {
    trainClips: [clips],
    evalClips: clips,
    recompute: false,
    accumulation: 1,
    smoothing: 0.1,
    clipGradNorm: null,
    optimizer: { betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0.1 },
    limits: { maxBindingBytes: 128 * MIB, maxBufferBytes: 1024 * MIB },
    largestFrame: { width: 20, height: 20 },
    ...changes,
  };
}

/** The message of the refusal, and the batch it names. */
function refusal(options: SessionOptions, fit: Parameters<typeof planFittingSession>[3]) {
  try {
    planFittingSession(createModel(SPEC), options, GPU, fit);
  } catch (error) {
    assert(error instanceof AdapterError);
    return {
      message: error.message,
      batch: Number(/data\.batch_size=(\d+) would fit/.exec(error.message)?.[1]),
    };
  }
  assert.fail("the plan was accepted");
}

const bytesFor = (clips: number, changes: Partial<SessionOptions> = {}) =>
  planSession(createModel(SPEC), sessionOptions(clips, changes), GPU).memory.total;

Deno.test("a plan beyond the free memory is refused with the largest batch that fits", () => {
  const freeBytes = bytesFor(11) + 100;
  const { message, batch } = refusal(sessionOptions(64), { freeBytes, clipsPerVideo: 1 });
  assert.match(
    message,
    /^Cannot train with 64 clips a batch: the plan needs [\d.]+ MiB, the adapter has [\d.]+ MiB; data\.batch_size=11 would fit \([\d.]+ MiB\)$/,
  );
  assert.equal(batch, 11);
  assert.ok(bytesFor(12) > freeBytes);
  const plan = planFittingSession(createModel(SPEC), sessionOptions(11), GPU, {
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
  planFittingSession(createModel(SPEC), sessionOptions(batch, { limits }), GPU, fit);
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
  const { message } = refusedError(createModel(SPEC), sessionOptions(64), GPU, {
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
