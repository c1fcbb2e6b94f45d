/** What a folder of features is made for, and what is refused before a GPU is opened. Some seconds. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { normaliseFrame } from "../../../data/transforms/apply.ts";
import type { OrderEntry } from "../../../data/sampling/epoch_order.ts";
import { createModel } from "../../../models/mod.ts";
import { parseConfig, transformRecipe } from "../../../train/recipe/config.ts";
import { openFeatures } from "../../../train/features/reader.ts";
import { openShard, readEntry, ShardBuilder } from "../../../train/features/shard.ts";
import { pixelsOf } from "../../../train/features/tower.ts";
import {
  checkStorable,
  differenceFrom,
  entryBytes,
  FEATURES_FILE,
  type FeatureSplit,
  makeManifest,
  parseShardInfo,
  randomKeys,
  readManifest,
  shardPath,
  shardRange,
  storedEpochs,
} from "../../../train/features/features.ts";
import { modelSpec } from "../../../train/recipe/model.ts";
import { configOf, entryOf, listOf, modelOf, TINY, writeShard } from "./_small.ts";

Deno.test("pixelsOf() gives back every level of every channel", () => {
  const data = Uint8Array.from({ length: 3 * 256 }, (_, i) => i % 3 === 1 ? 255 - Math.floor(i / 3) : i / 3);
  const planes = normaliseFrame({ width: 16, height: 16, data });
  assert.deepEqual(pixelsOf(planes, 16), data);
});

Deno.test("pixelsOf() keeps pictures apart", () => {
  const pictures = [3, 200].map((level) => new Uint8Array(3 * 4 * 4).fill(level));
  const planes = pictures.flatMap((data) => [...normaliseFrame({ width: 4, height: 4, data })]);
  assert.deepEqual([...pixelsOf(Float32Array.from(planes), 4)], pictures.flatMap((data) => [...data]));
});

Deno.test("a recipe may ask for the centre crop and name its features; neither is the default", () => {
  const { data } = parseConfig("data: { num_classes: 4 }").config;
  assert.deepEqual([data.crop, data.features], ["random_resized", null]);
  const config = configOf("data.features=feats");
  assert.deepEqual([config.data.features, transformRecipe(config).crop], ["feats", "centre"]);
});

Deno.test("an entry of ViT-B/16 with 8 frames takes its pictures, twelve taps of halves and a label", () => {
  assert.equal(entryBytes(modelOf(configOf())), 8 * 224 * 224 * 3 + 12 * 8 * 197 * 768 * 2 + 4);
});

Deno.test("an entry of TDS-CLIP holds the windows of pictures, and taps of the middle ones", () => {
  const config = configOf("system=tds-clip");
  assert.equal(entryBytes(modelOf(config)), 5 * 8 * 224 * 224 * 3 + 12 * 8 * 197 * 768 * 2 + 4);
});

Deno.test("an entry of an EVA tower holds the odd blocks", () => {
  const config = configOf("network.arch=EVA02-CLIP-bigE-14");
  assert.equal(entryBytes(modelOf(config)), 8 * 224 * 224 * 3 + 32 * 8 * 257 * 1792 * 2 + 4);
});

Deno.test("a model with stored taps has the weights of the ordinary one but the frozen, with the same initial values", () => {
  for (const overrides of [[], ["system=tds-clip"], ["network.arch=EVA02-CLIP-L-14"]]) {
    const spec = modelSpec(configOf(...overrides));
    const whole = createModel(spec), stored = createModel({ ...spec, taps: "stored" });
    const placesOf = (model: typeof whole) =>
      model.weights.list.filter(({ kind }) => kind !== "frozen").map(({ name, place }) => [name, place]);
    assert.deepEqual(placesOf(stored), placesOf(whole));
    assert.equal(stored.weights.of("frozen").length, 0);
    assert.deepEqual(stored.tapped, whole.tapped);
  }
});

for (
  const [override, message] of [
    [
      "solver.mixup=true",
      /^Cannot use stored features: solver\.mixup must be false: .*, current value is true$/,
    ],
    ["data.rand_erase=true", /^Cannot use stored features: data\.rand_erase must be false/],
  ] as const
) {
  Deno.test(`features are refused with ${override}`, () => {
    const config = configOf(override);
    assert.throws(() => checkStorable(config, modelOf(config)), { name: "ConfigError", message });
  });
}

Deno.test("the keys of random views are named, and a recipe without any needs one epoch", () => {
  assert.deepEqual(randomKeys(configOf()), []);
  assert.equal(storedEpochs(configOf(), undefined), 1);
  assert.throws(() => storedEpochs(configOf(), 3), /--epochs must be 1, current value is 3: every epoch/);
  const random = configOf("data.crop=random", "data.grey=0.2", "data.flip=plain", "data.random_shift=true");
  assert.deepEqual(randomKeys(random), [
    { key: "data.random_shift=true", fixed: "data.random_shift=false" },
    { key: "data.crop=random", fixed: "data.crop=centre" },
    { key: "data.flip=plain", fixed: "data.flip=none" },
    { key: "data.grey=0.2", fixed: "data.grey=0" },
  ]);
  assert.deepEqual(randomKeys(configOf(...randomKeys(random).map(({ fixed }) => fixed))), []);
  assert.equal(storedEpochs(random, 3), 3);
  assert.throws(
    () => storedEpochs(random, undefined),
    /--epochs must say how many .*solver\.epochs is 30.*data\.crop=random.*data\.crop=centre data\.flip=none data\.grey=0$/,
  );
});

Deno.test("shards hold whole batches where they hold one, and cover every entry once", async () => {
  const config = configOf("data.batch_size=4"), model = modelOf(config);
  const clips = { train: listOf(11), val: listOf(5) };
  const shardBytes = 10 * entryBytes(model);
  const { splits } = await makeManifest(config, model, { clips, epochs: 2, shardBytes });
  assert.deepEqual(splits.train, { clips: 11, copies: 1, entries: 22, entries_per_shard: 8, shards: 3 });
  assert.deepEqual(splits.val, { clips: 5, copies: 1, entries: 5, entries_per_shard: 8, shards: 1 });
  assert.deepEqual([0, 1, 2].map((shard) => shardRange(splits.train, shard)), [
    { first: 0, count: 8 },
    { first: 8, count: 8 },
    { first: 16, count: 6 },
  ]);
  const small = await makeManifest(config, model, { clips, epochs: 1, shardBytes: 1 });
  assert.equal(small.splits.train.entries_per_shard, 1, "a shard holds one clip at least");
  const twice = configOf("data.crop=random", "data.num_sample=2");
  const views = await makeManifest(twice, model, { clips, epochs: 3, shardBytes: 5 * entryBytes(model) });
  assert.deepEqual(views.splits.train, {
    clips: 11,
    copies: 2,
    entries: 66,
    entries_per_shard: 4,
    shards: 17,
  });
  assert.deepEqual(views.splits.val, { clips: 5, copies: 1, entries: 5, entries_per_shard: 4, shards: 2 });
});

Deno.test("a shard gives back each of its entries, and belongs to no other features", async () => {
  const clips = { train: listOf(5), val: listOf(2) }, model = modelOf(configOf(...TINY));
  const make = (...more: string[]) =>
    makeManifest(configOf(...TINY, ...more), model, { clips, epochs: 1, shardBytes: 3 * entryBytes(model) });
  const manifest = await make(), folder = await Deno.makeTempDir();
  try {
    const place = { split: "train", shard: 1 } as const; // the last and short one
    await writeShard(folder, manifest, { ...place, numbers: [0, 1] });
    const shard = await openShard(folder, manifest, place);
    assert.deepEqual([[...shard.labels], shard.bad], [[0, 1], [1]]);
    for (const i of [0, 1]) assert.deepEqual(await readEntry(shard, i), entryOf(i).features);
    await assert.rejects(openShard(folder, await make("seed=7"), place), {
      name: "DataError",
      message: /^Cannot read ".*train-00001.safetensors": it must be a part of features [0-9a-f]{16} as/,
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("features that are not finite are not stored, and those of a file that are not are refused by name", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const config = configOf(...TINY, `data.features=${folder}`), model = modelOf(config);
    const clips = { train: listOf(2), val: listOf(1) };
    const manifest = await makeManifest(config, model, { clips, epochs: 1 });
    await Deno.writeTextFile(join(folder, FEATURES_FILE), JSON.stringify(manifest));
    await writeShard(folder, manifest, { split: "train", shard: 0, numbers: [2, 3], labelOf: (n) => n - 2 });
    await writeShard(folder, manifest, { split: "val", shard: 0, numbers: [4] });

    const { clip, features: { pixels, taps } } = entryOf(5), infinite = taps[1].slice();
    infinite.set([0x00, 0xfc], 8); // minus infinity
    assert.throws(() => new ShardBuilder(manifest, 1).add(clip, { pixels, taps: [taps[0], infinite] }), {
      name: "NonFiniteError",
      message:
        /^Cannot store features of "clip5": tensor "tap\.1" must be finite, current value is infinite at element 4 \(1 of 30 is not finite\); /,
    });

    // The same in the file, as something else may have written it.
    const path = shardPath(folder, "train", 0), bytes = await Deno.readFile(path);
    const { taps: [, { begin, bytes: each }] } = await openShard(folder, manifest, {
      split: "train",
      shard: 0,
    });
    bytes.set([0x01, 0x7e], begin + each + 8);
    await Deno.writeFile(path, bytes);
    await using feed = (await openFeatures(config, clips))!.feed("train");
    const order = [0, 1].map((clip) => ({ clip, epoch: 0, repeat: 1 })),
      read = feed.epoch(order, 1)[Symbol.asyncIterator]();
    assert.equal((await read.next()).value.clips[0].path, "clip0");
    await assert.rejects(read.next(), {
      name: "DataError",
      message:
        `Cannot use entry 1 of "${path}": tensor "tap.1" must be finite, current value is NaN at element 4 (1 of 30 is not finite); extract into a new folder`,
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a manifest or a shard's metadata that cannot be is refused by the value that is wrong", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const config = configOf(...TINY), clips = { train: listOf(2), val: listOf(1) };
    const manifest = await makeManifest(config, modelOf(config), { clips, epochs: 1 });
    const path = join(folder, FEATURES_FILE);
    const train = manifest.splits.train,
      splits = (change: object) => ({ splits: { ...manifest.splits, train: { ...train, ...change } } });
    for (
      const [change, what] of [
        [{ format: "other" }, "it must be a manifest of features written by sidenet extract"],
        [{ version: 2 }, "version must be one of 1, current value is 2"],
        [{ epochs: -1 }, "epochs must be more than 0, current value is -1"],
        [
          { shapes: { pixels: [1, 4, 4], tap: [1, 5, 6] } },
          "shapes.pixels must have at least 4 entries, current value is [1,4,4]",
        ],
        [
          splits({ entries_per_shard: 0 }),
          "splits.train.entries_per_shard must be more than 0, current value is 0",
        ],
        [splits({ shards: 7 }), /^splits\.train must have as many shards as its entries fill, /],
        [splits({ clips: 3 }), /^it must have an entry for each copy of a clip in each epoch, /],
      ] as const
    ) {
      await Deno.writeTextFile(path, JSON.stringify({ ...manifest, ...change }));
      await assert.rejects(readManifest(folder), (error: Error) => {
        const found = error.message.replace(`Cannot read "${path}": `, "").replace(
          "; extract into a new folder",
          "",
        );
        if (typeof what === "string") assert.equal(found, what);
        else assert.match(found, what);
        assert.equal(error.name, "DataError");
        return true;
      });
    }
    for (
      const text of [
        undefined,
        "{}",
        '{"features": "x", "paths": [1], "problems": [], "bad": []}',
        "nonsense",
      ]
    ) {
      assert.throws(() => parseShardInfo(text, "x"), /^DataError: Cannot read "x": sidenet\.features: /);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("an epoch reads the views stored for it, and those of the next one where a clip comes again", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const config = configOf(...TINY, "data.crop=random", `data.features=${folder}`);
    const clips = { train: listOf(3), val: listOf(1) }, model = modelOf(config);
    const shardBytes = 2 * entryBytes(model);
    const manifest = await makeManifest(config, model, { clips, epochs: 2, shardBytes });
    await Deno.writeTextFile(join(folder, FEATURES_FILE), JSON.stringify(manifest));
    for (const shard of [0, 1, 2]) {
      const numbers = [2 * shard, 2 * shard + 1];
      await writeShard(folder, manifest, { split: "train", shard, numbers, labelOf: (number) => number % 3 });
    }
    await writeShard(folder, manifest, { split: "val", shard: 0, numbers: [7], labelOf: () => 0 });
    const features = (await openFeatures(config, clips))!;
    const numbersOf = async (split: FeatureSplit, order: OrderEntry[]) => {
      await using feed = features.feed(split);
      const batches: number[][] = [];
      for await (const { clips } of feed.epoch(order, 2)) {
        batches.push(clips.map(({ views: [{ frames, taps }] }) => {
          const number = frames[0] / 30;
          assert.deepEqual({ pixels: frames, taps }, entryOf(number).features);
          return number;
        }));
      }
      return batches;
    };
    const order = [[1, 0, 0], [1, 0, 1], [2, 3, 0], [0, 2, 2], [0, 3, 1]].map((
      [clip, epoch, occurrence],
    ) => ({
      ...{ clip, epoch, occurrence },
      repeat: 1,
    }));
    assert.deepEqual(await numbersOf("train", order), [[1, 4], [5, 0], [0]]);
    assert.deepEqual(await numbersOf("val", [{ clip: 0, epoch: 1, repeat: 1 }]), [[7]]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the first key that determines features and differs is named with both values", async () => {
  const clips = { train: listOf(4), val: listOf(2) };
  const manifest = await makeManifest(configOf(), modelOf(configOf()), { clips, epochs: 1 });
  const differs = (overrides: string[], lists = clips) =>
    differenceFrom(manifest, configOf(...overrides), lists);
  assert.equal(await differs([]), null);
  assert.deepEqual(await differs(["data.crop=random"]), {
    key: "data.crop",
    stored: '"centre"',
    current: '"random"',
  });
  assert.equal((await differs(["precision=f16", "data.crop=random"]))?.key, "precision");
  assert.equal((await differs(["data.num_segments=16"]))?.key, "data.num_segments");
  assert.equal((await differs(["network.arch=ViT-B/32"]))?.key, "network.arch");
  assert.equal((await differs(["data.frame_cache=cache"]))?.key, "data.frame_cache_side");
  assert.equal((await differs([], { ...clips, val: listOf(2, "other") }))?.key, "data.val_list");
  // Random weights come from the seed; what only training reads is free.
  assert.equal((await differs(["seed=7"]))?.key, "seed");
  assert.equal(
    await differs(["solver.lr=1", "solver.epochs=3", "network.side_dim=64", "data.batch_size=3"]),
    null,
  );
});

Deno.test("weights are told by content, and a file that is gone or unchanged is not read", async () => {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(path, "first");
    const clips = { train: listOf(4), val: listOf(2) }, config = configOf(`network.weights=${path}`);
    const manifest = await makeManifest(config, modelOf(config), { clips, epochs: 1 });
    assert.match(String(manifest.recipe["network.weights"]), /^sha256 [0-9a-f]{64}$/);
    assert.equal(manifest.recipe.seed, null, "nothing is drawn from the seed");
    assert.equal(await differenceFrom(manifest, configOf(`network.weights=${path}`, "seed=9"), clips), null);
    assert.equal((await differenceFrom(manifest, configOf(), clips))?.key, "network.weights");
    await Deno.writeTextFile(path, "other");
    await Deno.utime(path, 5, 5);
    assert.equal((await differenceFrom(manifest, config, clips))?.key, "network.weights");
    await Deno.writeTextFile(path, "first");
    assert.equal(await differenceFrom(manifest, config, clips), null, "the same content, later");
    await Deno.chmod(path, 0);
    await Deno.utime(path, manifest.weights!.modified / 1000, manifest.weights!.modified / 1000);
    await Deno.remove(path);
    assert.equal(await differenceFrom(manifest, config, clips), null, "gone: the features stand for it");
  } finally {
    await Deno.remove(path).catch(() => {});
  }
});
