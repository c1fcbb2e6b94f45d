/** Exported files in onnxruntime, against what the engine computes; where it is not installed, the files' own structure. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { MODEL } from "../../../onnx/schema.ts";
import { exportSession } from "../../../train/export/export_model.ts";
import { findRuntime } from "../../../train/export/runtime.ts";
import { engineTest } from "../../_util/engine.ts";
import { exportedRecipes, randomSession } from "./_systems.ts";

const hasRuntime = findRuntime() !== null;

for (const [name, config] of exportedRecipes()) {
  engineTest(`${name}: the exported files give what the engine gives, for any batch`, async (gpu) => {
    const folder = await Deno.makeTempDir(), out = join(folder, "model.onnx");
    try {
      const session = await randomSession(gpu, config), labels = ["a", "b"], weights = "best.safetensors";
      const options = { out, withPreprocessing: false, external: false, version: "0", check: hasRuntime };
      const asked = { weights, config, labels };
      const { files, check } = await exportSession(session, asked, { ...options, dtype: "f32" });
      for (const { path } of files) {
        const { opsetImport, graph } = MODEL.decode(await Deno.readFile(path));
        assert.equal(opsetImport![0].version, 17);
        const known = new Set([...graph!.input, ...graph!.initializer].map(({ name }) => name));
        for (const { input, output } of graph!.node) {
          for (const read of input) assert.ok(known.has(read), `${read} is read before it is made`);
          for (const made of output) assert.ok(!known.has(made), `${made} is made twice`), known.add(made);
        }
        for (const { name } of graph!.output) assert.ok(known.has(name), name);
      }
      if (check) assert.ok(check.ok, JSON.stringify(check));
    } finally {
      gpu.memory[Symbol.dispose]();
      await Deno.remove(folder, { recursive: true });
    }
  });
}
