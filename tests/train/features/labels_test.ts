/** Labels of stored features against those of the lists. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { SOMETHING_MIRROR_PAIRS } from "../../../data/transforms/recipe.ts";
import {
  entryBytes,
  FEATURES_FILE,
  type FeatureSplit,
  makeManifest,
  shardPath,
} from "../../../train/features/features.ts";
import { openFeatures } from "../../../train/features/reader.ts";
import { configOf, listOf, modelOf, TINY, writeShard } from "./_small.ts";

Deno.test("labels that are not those of the lists are refused by shard, entry and value", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const config = configOf(...TINY, `data.features=${folder}`), classes = config.data.num_classes;
    const model = modelOf(config), shardBytes = 2 * entryBytes(model);
    // As entryOf() labels them.
    const clips = { train: listOf(3), val: listOf(4).slice(3) };
    const manifest = await makeManifest(config, model, { clips, epochs: 1, shardBytes });
    await Deno.writeTextFile(join(folder, FEATURES_FILE), JSON.stringify(manifest));
    await writeShard(folder, manifest, { split: "train", shard: 0, numbers: [0, 1] });
    await writeShard(folder, manifest, { split: "train", shard: 1, numbers: [2] });
    await writeShard(folder, manifest, { split: "val", shard: 0, numbers: [3] });
    await openFeatures(config, clips);
    for (
      const [split, shard, entry, must, label] of [
        ["train", 0, 1, 1, 77],
        ["train", 1, 0, 2, -1],
        ["train", 0, 0, 0, 1], // a class, and not its own
        ["val", 0, 0, 3, 4],
      ] as const
    ) {
      const path = shardPath(folder, split, shard), bytes = await Deno.readFile(path);
      const header = Number(new DataView(bytes.buffer).getBigUint64(0, true));
      const { label: { data_offsets: [begin] } } = JSON.parse(
        new TextDecoder().decode(bytes.subarray(8, 8 + header)),
      );
      const changed = bytes.slice();
      new DataView(changed.buffer).setInt32(8 + header + begin + 4 * entry, label, true);
      await Deno.writeFile(path, changed);
      await assert.rejects(openFeatures(config, clips), {
        name: "DataError",
        message:
          `Cannot use entry ${entry} of "${path}": its label must be ${must} as data.${split}_list has it ` +
          `(${classes} classes, from 0), current value is ${label}; extract into a new folder`,
      });
      await Deno.writeFile(path, bytes);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a mirrored clip may have the label of the mirrored class, in training alone", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const [[left, right]] = SOMETHING_MIRROR_PAIRS;
    const recipe = [...TINY, "data.flip=sth", "data.num_classes=174", "data.label_list=null"];
    const config = configOf(...recipe, `data.features=${folder}`), [clip] = listOf(1);
    const clips = { train: [{ ...clip, label: left }], val: [{ ...clip, label: left }] };
    const manifest = await makeManifest(config, modelOf(config), { clips, epochs: 1 });
    await Deno.writeTextFile(join(folder, FEATURES_FILE), JSON.stringify(manifest));
    const write = (split: FeatureSplit, label: number) =>
      writeShard(folder, manifest, { split, shard: 0, numbers: [0], labelOf: () => label });
    await write("val", left);
    for (const label of [left, right]) {
      await write("train", label);
      await openFeatures(config, clips);
    }
    await write("train", right + left + 1);
    await assert.rejects(
      openFeatures(config, clips),
      /its label must be \d+ or \d+ as data\.train_list has it/,
    );
    await write("train", left);
    await write("val", right);
    await assert.rejects(openFeatures(config, clips), /its label must be \d+ as data\.val_list has it/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
