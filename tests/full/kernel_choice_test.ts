/** The automatic choice of kernels as a user meets it: a first and a second run on an adapter that is not known. Takes a minute. */

import assert from "node:assert/strict";
import { TinyFolder } from "../cli/_tiny.ts";

/** Runs after which all must be measured. */
const MOST_RUNS = 12;
/** A software driver on which no defaults were measured. */
const SWIFTSHADER = "/usr/lib/chromium/vk_swiftshader_icd.json";

Deno.test({
  name:
    "the first run on an unknown adapter measures kernels within its limit, later ones know them, --no-tune measures none",
  ignore: !await Deno.stat(SWIFTSHADER).then(() => true, () => false),
  async fn() {
    await using folder = await TinyFolder.create();
    const train = (name: string, ...flags: string[]) =>
      folder.sidenet(["train", "tiny.yaml", `name=${name}`, "solver.max_steps=2", ...flags], {
        env: { VK_DRIVER_FILES: SWIFTSHADER, XDG_CACHE_HOME: folder.path, SIDENET_TUNE: "on" },
      });
    const told = /^kernels: (\d+) measured in ([\d.]+) s, \d+ other than the default/m;
    const plain = await train("plain", "--no-tune");
    assert.equal(plain.code, 0, plain.stderr);
    assert.doesNotMatch(plain.stderr, told);
    const first = await train("first");
    assert.equal(first.code, 0, first.stderr);
    const [, measured, seconds] = told.exec(first.stderr) ?? assert.fail(first.stderr);
    assert.ok(Number(measured) > 0 && Number(seconds) > 0);
    const kept = await folder.json<Record<string, string>>("sidenet", "tuned.json");
    assert.ok(Object.keys(kept).length >= Number(measured));
    assert.ok(Object.keys(kept).every((key) => /SwiftShader.*\|(matmul|attention)/.test(key)));
    // What the time did not suffice for is measured by the next runs, each in its own time; then none measures any more.
    let last = first, runs = 1;
    for (; told.test(last.stderr); runs++) {
      assert.ok(runs < MOST_RUNS, "it never comes to an end");
      last = await train(`run${runs}`);
      assert.equal(last.code, 0, last.stderr);
    }
    const known = await folder.json<Record<string, string>>("sidenet", "tuned.json");
    assert.deepEqual({ ...known, ...kept }, known, "what was chosen stays");
    assert.equal((await train("again")).code, 0);
    const losses = async (name: string) =>
      (await Deno.readTextFile(folder.file("runs", name, "metrics.jsonl"))).match(/"loss":[\d.]+/g);
    assert.ok((await losses("again"))!.length > 0);
    assert.deepEqual(await losses("again"), await losses(`run${runs - 1}`));
  },
});
