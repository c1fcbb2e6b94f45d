import assert from "node:assert/strict";
import * as keys from "../../cli/keys.ts";
import { runVerb } from "../_util/run_verb.ts";

Deno.test("keys lists every key by section, and says one in full", async () => {
  const all = await runVerb(keys, []);
  assert.equal(all.code, 0);
  assert.match(all.stdout, /^solver: training$/m);
  assert.match(all.stdout, /^ {2}data\.colour_jitter\.hue +0\.1 +share of the colour circle/m);
  const one = await runVerb(keys, ["solver.lr"]);
  assert.deepEqual(one.stdout.trimEnd().split("\n"), [
    "solver.lr",
    "    learning rate at the end of the warm-up",
    "    default 0.001; number from 0",
    "    published (dist): OPTIMIZER.BASE_LR",
  ]);
});

Deno.test("keys --json holds what the text says", async () => {
  const { stdout } = await runVerb(keys, ["network.backbone", "--json"]);
  const { keys: told } = JSON.parse(stdout);
  assert.equal(told[0].name, "network.backbone");
  const size = told.find(({ name }: { name: string }) => name === "network.backbone.image_size");
  assert.deepEqual([size.required, size.default, size.systems], [true, null, null]);
});

Deno.test("a word that no key holds is an error with the nearest key", async () => {
  await assert.rejects(runVerb(keys, ["smothing"]), {
    name: "ConfigError",
    message:
      'Cannot find a key for "smothing": it must be a section, a key or a word of its text; the nearest is "smoothing"',
  });
});
