import assert from "node:assert/strict";
import { dirname, join, resolve } from "node:path";
import { loadRunConfig, locateRunFiles } from "../../../train/files/run_config.ts";
import { type Config, formatConfig, parseConfig } from "../../../train/recipe/config.ts";
import { inTempFolder } from "../../_util/frame_folders.ts";
import { TINY_RECIPE } from "../../cli/_tiny.ts";

const { config: TINY } = parseConfig(TINY_RECIPE, { source: "tiny.yaml" });

/** A file and the folders around it. */
async function put(path: string, text = ""): Promise<string> {
  await Deno.mkdir(dirname(path), { recursive: true });
  await Deno.writeTextFile(path, text);
  return path;
}

const withData = (data: Partial<Config["data"]>, rest: Partial<Config> = {}): Config => ({
  ...TINY,
  ...rest,
  data: { ...TINY.data, ...data },
});

Deno.test("lists that a run keeps are found in its folder after a move or a copy; lists of others stay where they are", () =>
  inTempFolder(async (root) => {
    const first = join(root, "runs", "a"), copy = join(root, "elsewhere", "b");
    for (const run of [first, copy]) {
      for (const name of ["config.yaml", "train.txt", "val.txt", "labels.csv"]) await put(join(run, name));
    }
    const own = withData({
      train_list: join(first, "train.txt"),
      val_list: join(first, "val.txt"),
      label_list: join(first, "labels.csv"),
    });
    const at = { folder: copy, overrides: [] as string[] };
    const listsOf = ({ data }: Config) => [data.train_list, data.val_list, data.label_list];
    const inCopy = ["train.txt", "val.txt", "labels.csv"].map((name) => join(copy, name));
    assert.deepEqual(listsOf(await locateRunFiles(own, at)), inCopy);
    await Deno.remove(first, { recursive: true });
    assert.deepEqual(listsOf(await locateRunFiles(own, at)), inCopy);
    // A user's own list of the same name.
    const theirs = await put(join(root, "lists", "val.txt"));
    assert.equal((await locateRunFiles(withData({ val_list: theirs }), at)).data.val_list, theirs);
    const given = { folder: copy, overrides: [`data.val_list=${own.data.val_list}`] };
    assert.equal((await locateRunFiles(own, given)).data.val_list, own.data.val_list);
  }));

Deno.test("relative paths are those of where the run was started, and of the working folder once nothing is there", () =>
  inTempFolder(async (root) => {
    await put(join(root, "data", "train.txt"));
    const config = withData({ root: "data", train_list: "data/train.txt", val_root: "/abs" }, {
      started_in: root,
    });
    const { data, network } = await locateRunFiles(
      { ...config, network: { ...config.network, weights: "ViT.pt" } },
      { folder: join(root, "runs/a"), overrides: ["data.label_list=given.csv"] },
    );
    assert.deepEqual(
      [data.root, data.train_list, data.val_root, network.weights, data.label_list],
      [
        join(root, "data"),
        join(root, "data/train.txt"),
        "/abs",
        join(root, "ViT.pt"),
        resolve("data/labels.csv"),
      ],
    );
    await Deno.remove(join(root, "data"), { recursive: true });
    const gone = await locateRunFiles(config, { folder: join(root, "runs/a"), overrides: [] });
    assert.deepEqual([gone.data.root, gone.data.train_list], ["data", "data/train.txt"]);
  }));

Deno.test("a run's recipe written before it said where it was started reads back as it was", () =>
  inTempFolder(async (root) => {
    const old = formatConfig(TINY).replace(/^started_in:.*\n/m, "");
    assert.doesNotMatch(old, /started_in/);
    await put(join(root, "config.yaml"), old);
    assert.deepEqual((await loadRunConfig(root)).config, TINY);
  }));
