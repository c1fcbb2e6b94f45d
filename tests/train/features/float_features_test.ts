/** Stored features of a recipe whose pictures are floats: they are stored without loss, and runs from them compute the same bits. */
import assert from "node:assert/strict";
import { createModel } from "../../../models/mod.ts";
import { differenceFrom, entryBytes, makeManifest } from "../../../train/features/features.ts";
import { ShardBuilder } from "../../../train/features/shard.ts";
import { modelSpec } from "../../../train/recipe/model.ts";
import { engineTest } from "../../_util/engine.ts";
import { FeatureRuns, tensorsOf } from "../../_util/feature_runs.ts";
import { assertSameBits } from "../../_util/same_bits.ts";
import { configOf, entryOf, listOf, modelOf, TINY } from "./_small.ts";

const FLOATS = ["data.family=dist", "data.resize=auto"];
const VIEWS = [
  "data.crop=random_resized",
  "data.grey=0.3",
  "data.colour_jitter={}",
  "data.random_shift=true",
];

engineTest(
  "a run from stored floats computes the bits of the ordinary run, same views or random ones",
  async () => {
    await using runs = await FeatureRuns.create();
    for (const [name, views, epochs] of [["same", [], 1], ["drawn", VIEWS, 2]] as const) {
      const overrides = [...FLOATS, ...views];
      const extracted = await runs.extract(name, { overrides, shardBytes: 20_000, epochs });
      assert.deepEqual([extracted.clips, extracted.bad], [10 * epochs + 3, 0]);
      const ordinary = await runs.train(`${name}-ordinary`, overrides);
      const stored = await runs.train(`${name}-stored`, [...overrides, `data.features=${runs.file(name)}`]);
      assert.deepEqual(stored.losses, ordinary.losses);
      assert.deepEqual(stored.evals, ordinary.evals);
      assertSameBits(stored.weights, ordinary.weights, "last");
      const tensors = Object.fromEntries(await tensorsOf(runs.file(name, "val-00000.safetensors")));
      const pixels = new Float32Array(tensors.pixels.slice().buffer);
      assert.ok(
        pixels.every((value) => Math.abs(value) < 3) && new Set(pixels).size > 600,
        "they are no levels",
      );
    }
  },
);

Deno.test("an entry of floats takes four bytes a value, and its shape is the network's", async () => {
  const config = configOf(...TINY, ...FLOATS), model = createModel(modelSpec(config));
  const clips = { train: listOf(4), val: listOf(2) };
  const manifest = await makeManifest(config, model, { clips, epochs: 1 });
  assert.deepEqual([manifest.pictures, manifest.shapes.pixels], ["F32", [1, 3, 4, 4]]);
  assert.equal(entryBytes(model, "F32") - entryBytes(model), 3 * 3 * 4 * 4);
  const bytes = await makeManifest(configOf(...TINY), modelOf(configOf(...TINY)), { clips, epochs: 1 });
  assert.deepEqual([bytes.pictures, bytes.shapes.pixels], [undefined, [1, 4, 4, 3]]);
  assert.ok(!("data.frame_rule" in bytes.recipe), "older features do not know the key");
});

Deno.test("features are refused by the key of the family that differs", async () => {
  const clips = { train: listOf(4), val: listOf(2) };
  const of = (...more: string[]) => configOf(...TINY, ...FLOATS, ...more);
  const manifest = await makeManifest(of(), modelOf(of()), { clips, epochs: 1 });
  const difference = async (...more: string[]) => (await differenceFrom(manifest, of(...more), clips))?.key;
  assert.equal(await difference("data.frame_rule=interval"), "data.frame_rule");
  assert.equal(await difference("data.test_side=9"), "data.test_side");
  assert.equal(await difference("data.family=kinetics"), "data.family");
  // What the recipe does not ask for makes no difference.
  assert.equal(await difference("data.frame_interval=3", "data.crop_scale=[0.5, 1]"), undefined);
});

Deno.test("floats that are not finite are not stored", async () => {
  const config = configOf(...TINY, ...FLOATS), clips = { train: listOf(4), val: listOf(2) };
  const manifest = await makeManifest(config, modelOf(config), { clips, epochs: 1 });
  const { clip, features } = entryOf(3), planes = new Float32Array(3 * 4 * 4);
  const entry = () => ({ ...features, pixels: new Uint8Array(planes.slice().buffer) });
  new ShardBuilder(manifest, 1).add(clip, entry());
  planes[7] = NaN;
  assert.throws(() => new ShardBuilder(manifest, 1).add(clip, entry()), {
    name: "NonFiniteError",
    message: /Cannot store features of "clip3": .*pixels/,
  });
});
