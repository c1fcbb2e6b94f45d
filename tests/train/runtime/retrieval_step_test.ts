/** Training steps of networks for retrieval: parts of a batch against the whole, memory, the scale's limit. */

import assert from "node:assert/strict";
import type { Gpu } from "../../../gpu/device.ts";
import { LocalDevice } from "../../../train/runtime/device/device.ts";
import { Session } from "../../../train/runtime/session.ts";
import { planSession, type SessionOptions } from "../../../train/runtime/session_plan.ts";
import { ratesOf } from "../../../train/runtime/update_rules.ts";
import { engineTest } from "../../_util/engine.ts";
import { NO_ADAPTER } from "../../_util/tiny_model.ts";
import { sentenceBatch, tinyRetrieval, tinyRetrievalSession } from "../../_util/tiny_retrieval.ts";

const SEED = 5;

/** Gradients and loss of one step at rate 0. */
async function stepped(
  gpu: Gpu,
  overrides: readonly string[],
  { batch, ...changes }: Partial<SessionOptions> & { batch: Parameters<typeof sentenceBatch>[2] },
): Promise<{ gradients: Map<string, Float32Array>; loss: number }> {
  const { model, options } = tinyRetrievalSession(tinyRetrieval(...overrides), { limits: gpu, ...changes });
  await using session = await Session.open(new LocalDevice(gpu), model, options);
  assert.equal(session.allocatedBytes, session.memory.total);
  await session.initialise(SEED);
  // At its initial zeros the side network would get no gradient.
  const width = model.config.backbone.width;
  await session.write("visual.side_proj", new Float32Array(64 * width).map((_, i) => 0.1 * Math.sin(i)));
  await session.step(sentenceBatch(model, options.trainClips[0], batch), ratesOf(options.optimizer, 0));
  const [loss] = await session.readLosses();
  return { gradients: await session.read(session.updated.map(({ name }) => name), "gradient"), loss };
}

function assertClose(actual: Map<string, Float32Array>, expected: Map<string, Float32Array>, share: number) {
  // Biases in front of a batch norm or a softmax have no gradient but rounding, which has no size to compare with.
  const all = [...expected.values()].reduce((most, values) => Math.max(most, ...values.map(Math.abs)), 0);
  for (const [name, values] of expected) {
    const largest = Math.max(1e-3 * all, ...values.map(Math.abs)), own = actual.get(name)!;
    values.forEach((value, i) => {
      assert.ok(Math.abs(own[i] - value) <= share * largest, `${name}[${i}] is ${own[i]}, expected ${value}`);
    });
  }
}

for (const interaction of ["wti", "mean"]) {
  engineTest(`gradients of a batch in parts are those of the batch at once (${interaction})`, async (gpu) => {
    const overrides = [`network.interaction=${interaction}`], batch = { distinct: 2 };
    // Parts of the same clips have the batch norms' statistics of the whole.
    const whole = await stepped(gpu, overrides, { batch });
    for (const recompute of [true, false]) {
      const parts = await stepped(gpu, overrides, { batch, microClips: 2, recompute });
      assert.ok(Math.abs(parts.loss - whole.loss) < 1e-5, `${parts.loss}, expected ${whole.loss}`);
      assertClose(parts.gradients, whole.gradients, 1e-5);
    }
    assert.ok(whole.loss > 0.5 && Number.isFinite(whole.loss));
  });
}

Deno.test("activations of a network for retrieval do not grow with the batch that goes through in parts", () => {
  const bytes = (clips: number, microClips?: number) => {
    // Evaluations compare blocks of one size whatever the batch.
    const { model, options } = tinyRetrievalSession(tinyRetrieval(), {
      trainClips: [clips],
      microClips,
      queries: [],
    });
    return planSession(model, { ...options, evalClips: 2 }, NO_ADAPTER).memory.byUse;
  };
  const small = bytes(8, 2), large = bytes(32, 2), atOnce = bytes(32);
  assert.ok(large.activations < 1.5 * small.activations, `${large.activations} against ${small.activations}`);
  assert.ok(atOnce.activations > 4 * large.activations, `${atOnce.activations} against ${large.activations}`);
});

engineTest("the scale of the scores stays at most 100", async (gpu) => {
  const { model, options } = tinyRetrievalSession(tinyRetrieval(), { limits: gpu });
  await using session = await Session.open(new LocalDevice(gpu), model, options);
  await session.initialise(SEED);
  await session.write("logit_scale", Float32Array.of(4.7));
  await session.step(sentenceBatch(model, 6), ratesOf(options.optimizer, 1e-4));
  const scale = (await session.read(["logit_scale"])).get("logit_scale")!;
  assert.ok(scale[0] <= Math.fround(Math.log(100)), String(scale[0]));
});
