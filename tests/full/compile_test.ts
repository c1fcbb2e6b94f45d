/**
 * The payload of a compiled executable. Its runtime cannot be fetched everywhere, so Deno itself stands in for it: what comes out can be
 * listed, not run.
 */
import assert from "node:assert/strict";
import { productPackages } from "../../cli/extras/_packages.ts";
import { compileArguments } from "../../tools/compile.ts";
import { ROOMS } from "../../tools/layers.ts";
import { missingIn, Payload } from "../../tools/payload.ts";
import { readSources } from "../../tools/sources.ts";

const root = new URL("../../", import.meta.url);

Deno.test("the executable holds Workers, recipes, shaders, every verb, and sharp's library", async () => {
  const folder = await Deno.makeTempDir({ prefix: "sidenet-" }), out = `${folder}/sidenet`;
  try {
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: compileArguments({ out }),
      cwd: root,
      env: { DENORT_BIN: Deno.execPath() },
    }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
    const payload = new Payload(await Deno.readFile(out)), packages = await productPackages();
    const sources = await readSources(root, { folders: ROOMS });
    assert.deepEqual(await missingIn(payload, { sources, packages, root }), []);
    for (
      const path of [
        /^train\/runtime\/device\/gpu_worker\.ts$/,
        /^data\/frames\/decode_worker\.ts$/,
        /^configs\/demo\.yaml$/,
        /^cli\/extras\/licenses\.ts$/,
        /^gpu\/.*\.wgsl$/,
        /sharp-.*\.node$/,
        /libvips-cpp\.(so|dylib|dll)/,
        /esbuild\.wasm$/,
      ]
    ) assert.ok([...payload.files].some((file) => path.test(file)), String(path));
    // The check finds what is not there.
    payload.files.delete("data/frames/decode_worker.ts");
    assert.deepEqual(await missingIn(payload, { sources, packages, root }), ["data/frames/decode_worker.ts"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
