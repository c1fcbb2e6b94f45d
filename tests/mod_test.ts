/** The example of the public API, as it stands in `mod.ts`, run in a folder of its own. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { gpuTest } from "./_util/gpu.ts";

const ROOT = new URL("../", import.meta.url);

/** The code of the first example in a module's documentation. */
function exampleIn(text: string): string {
  const [, code] = /@example\n \* ```ts\n([^]*?) \* ```/.exec(text) ?? [];
  return code.replaceAll(/^ \* ?/gm, "");
}

gpuTest("the example of mod.ts trains, evaluates and predicts in twenty lines", async () => {
  const code = exampleIn(await Deno.readTextFile(new URL("mod.ts", ROOT)));
  assert.ok(code.trim().split("\n").length <= 20, code);
  const folder = await Deno.makeTempDir({ prefix: "sidenet-mod-" });
  try {
    await Deno.mkdir(join(folder, "configs"));
    await Deno.copyFile(new URL("configs/demo.yaml", ROOT), join(folder, "configs/demo.yaml"));
    // The same code, on less data: it is the example that is tested, not the demo.
    const quick = ["train_clips=64", "val_clips=16"].map((key) => `"data.synth.${key}", `).join("");
    const text = code.replace("./mod.ts", new URL("mod.ts", ROOT).href)
      .replace('["solver.max_steps=20", ', `["solver.max_steps=4", "logging.print_freq=2", ${quick}`);
    await Deno.writeTextFile(join(folder, "example.ts"), text);
    const { code: exit, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", "--config", new URL("deno.json", ROOT).pathname, "example.ts"],
      cwd: folder,
    }).output();
    const [lines, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    assert.equal(exit, 0, errors);
    assert.match(
      lines,
      /^2 \d[\d.]*\n4 \d[\d.]*\n4 .+\n[01](\.\d+)?\n {1,8}[\d.]+ % {2}(left|right|up|down)\n$/,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
