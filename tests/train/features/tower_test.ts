/** The frozen tower alone, and sessions that are given its taps. */
import assert from "node:assert/strict";
import type { ClipTransform } from "../../../pixels/clip_transform.ts";
import { TooLargeError } from "../../../gpu/plan.ts";
import { Graph, resident } from "../../../gpu/graph.ts";
import { runGraph } from "../../../gpu/run.ts";
import { normaliseFrame, transformFrame } from "../../../data/transforms/apply.ts";
import { toHalfArray } from "../../../lib/half.ts";
import { createPrng } from "../../../lib/random.ts";
import { createModel, type ModelSpec, type VideoModel } from "../../../models/mod.ts";
import { planFittingTower, planTower, Tower, type TowerOptions } from "../../../train/features/tower.ts";
import { LocalDevice } from "../../../train/runtime/device/device.ts";
import { planSession } from "../../../train/runtime/session_plan.ts";
import type { Gpu } from "../../../gpu/device.ts";
import type { ClipClassifierSizes } from "../../../models/parts/clip_classifier.ts";
import { engineTest } from "../../_util/engine.ts";
import { NO_ADAPTER, ROOMY, sameRates, tinyModel, tinySession } from "../../_util/tiny_model.ts";
import { openTiny, rgbClip } from "../../_util/tiny_session.ts";

const OPTIONS: TowerOptions = { clips: 2, largestFrame: { width: 40, height: 24 }, limits: ROOMY };

const SPEC: ModelSpec = {
  system: "side4video",
  sizes: {
    backbone: { imageSize: 16, patchSize: 8, width: 32, layers: 2, heads: 2 },
    frames: 3,
    sideDim: 64,
    classes: 4,
  },
  backboneDtype: "f32",
};
const STORED: ModelSpec = { ...SPEC, taps: "stored" };

async function withTower<R>(
  gpu: Gpu,
  model: VideoModel,
  options: TowerOptions,
  body: (tower: Tower) => Promise<R>,
): Promise<R> {
  const device = new LocalDevice(gpu);
  const tower = await Tower.open(device, model, planTower(model, options, gpu.environment));
  try {
    await tower.initialise(7);
    return await body(tower);
  } finally {
    gpu.memory[Symbol.dispose](); // the device itself is shared by all tests
  }
}

for (const streamFrozen of [false, true]) {
  engineTest(
    `a tower allocates what its plan says, weights ${streamFrozen ? "streamed" : "resident"}`,
    async (gpu) => {
      const model = tinyModel();
      await withTower(gpu, model, { ...OPTIONS, streamFrozen }, async (tower) => {
        const { bytes, hostBytes } = tower.planned;
        assert.equal(tower.allocatedBytes, bytes);
        assert.equal(hostBytes > 0, streamFrozen);
        await tower.run([rgbClip(model, 1), rgbClip(model, 2)]);
        await tower.run([rgbClip(model, 3)]);
        assert.equal(tower.allocatedBytes, bytes);
      });
    },
  );
}

engineTest("frames larger than expected make a tower's upload buffers grow", async (gpu) => {
  const model = tinyModel(), clip = rgbClip(model, 1);
  const small = { ...OPTIONS, largestFrame: { width: 20, height: 20 } };
  const grown = await withTower(gpu, model, small, async (tower) => {
    const features = await tower.run([clip]);
    assert.ok(tower.allocatedBytes > tower.planned.bytes);
    return features;
  });
  assert.deepEqual(grown, await withTower(gpu, model, OPTIONS, (tower) => tower.run([clip])));
});

engineTest("a tower gives the prepared pictures and the outputs of its blocks as halves", async (gpu) => {
  const model = tinyModel(), clips = [rgbClip(model, 1), rgbClip(model, 2)];
  const features = await withTower(gpu, model, OPTIONS, (tower) => tower.run(clips));
  const pictures = clips.map(({ frames, width, height, transform }) =>
    Array.from({ length: 3 }, (_, t) => {
      const data = frames.subarray(t * width * height * 3, (t + 1) * width * height * 3);
      return transformFrame({ data, width, height }, transform as ClipTransform, 16);
    })
  );
  clips.forEach((_, i) =>
    assert.deepEqual(
      [...features[i].pixels],
      pictures[i].flatMap(({ data }) => [...data]),
      `pictures of ${i}`,
    )
  );
  const g = new Graph(), input = resident("input", "frames", [6, 3, 16, 16]);
  model.recordTaps(g, input).forEach((tap, k) => g.output(`tap.${k}`, tap));
  const values = new Map(
    model.weights.of("frozen").map(({ tensor, shape, init, place }) =>
      [tensor, init(shape.reduce((a, b) => a * b), createPrng(7, place))] as const
    ),
  );
  values.set(input, Float32Array.from(pictures.flat().flatMap((picture) => [...normaliseFrame(picture)])));
  const expected = await runGraph(gpu, g, values);
  for (const k of [0, 1]) {
    const halves = toHalfArray(expected.get(`tap.${k}`)!), bytes = new Uint8Array(halves.buffer);
    const actual = features.flatMap(({ taps }) => [...taps[k]]);
    assert.deepEqual(actual, [...bytes], `tap ${k}`);
  }
});

engineTest(
  "a session with stored taps allocates what its plan says, and takes clips with all taps alone",
  async (gpu) => {
    const model = createModel(STORED);
    const options = tinySession({ largestFrame: { width: 40, height: 24 } });
    const session = await openTiny(gpu, model, options);
    try {
      const { total, byUse } = session.memory;
      assert.equal(session.allocatedBytes, total);
      assert.equal(byUse.frozen_weights, 0);
      await session.initialise(7);
      const clip = rgbClip(tinyModel(), 1), tap = () => new Uint8Array(3 * 5 * 32 * 2);
      const rates = sameRates(1e-3);
      await session.step([1, 2].map(() => ({ ...clip, taps: [tap(), tap()] })), rates);
      assert.ok((await session.readLosses()).every(Number.isFinite));
      await assert.rejects(session.step([clip, clip], rates), /must come with 2 taps, current number is 0$/);
      await assert.rejects(
        session.evaluate([{ ...clip, taps: [tap(), tap().subarray(2)] }]),
        /"tap\.1" must have 960 bytes, current length is 958$/,
      );
      assert.equal(session.allocatedBytes, total);
    } finally {
      gpu.memory[Symbol.dispose]();
    }
  },
);

Deno.test("stored taps that are larger than a binding are refused by name", () => {
  // A tower so wide that its taps, [6 5 2048] in halves, are larger than all other inputs.
  const { backbone, ...sizes } = STORED.sizes as ClipClassifierSizes;
  const wide = { ...STORED, sizes: { ...sizes, backbone: { ...backbone, width: 2048 } } };
  const limits = { maxBindingBytes: 6 * 5 * 2048 * 2 - 1, maxBufferBytes: 2 ** 30 };
  assert.throws(
    () => planSession(createModel(wide), tinySession({ limits }), NO_ADAPTER),
    (error: Error) => {
      assert.ok(error instanceof TooLargeError);
      assert.match(error.message, /"tap\.0"/);
      return true;
    },
  );
});

Deno.test("a tower takes half the batch until it fits, and says when one clip does not", () => {
  const model = tinyModel(), options = { ...OPTIONS, clips: 8 };
  const bytesOf = (clips: number) => planTower(model, { ...OPTIONS, clips }, NO_ADAPTER).bytes;
  const fit = (freeBytes: number | null) =>
    planFittingTower(model, options, { environment: NO_ADAPTER, freeBytes }).clips;
  assert.equal(fit(null), 8);
  assert.equal(fit(bytesOf(8)), 8);
  assert.equal(fit(bytesOf(8) - 1), 4);
  assert.equal(fit(bytesOf(1)), 1);
  assert.throws(() => fit(bytesOf(1) - 1), {
    name: "AdapterError",
    message:
      /^Cannot extract features one clip at a time: the plan needs .*; use precision=f16 or frozen=stream$/,
  });
});
