/** What a verb's paths turn out to be. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { sourceAt } from "../../cli/shared/sources.ts";
import { inTempFolder } from "../_util/frame_folders.ts";

Deno.test("recipes that come with the program are found from any folder, unless one of that name is there", async () => {
  await inTempFolder(async (root) => {
    const before = Deno.cwd(), shipped = fileURLToPath(new URL("../../configs/demo.yaml", import.meta.url));
    Deno.chdir(root);
    try {
      for (const path of ["configs/demo.yaml", "./configs/demo.yaml"]) {
        assert.deepEqual(await sourceAt(path), { kind: "recipe", path: shipped });
      }
      for (
        const path of [
          "configs/nosuch.yaml",
          "demo.yaml",
          "configs/../deno.yaml",
          `${root}/configs/demo.yaml`,
        ]
      ) {
        assert.deepEqual(await sourceAt(path), { kind: "recipe", path });
      }
      assert.equal(await sourceAt("configs/../deno.json"), null);
      await Deno.mkdir("configs");
      await Deno.writeTextFile("configs/demo.yaml", "");
      assert.deepEqual(await sourceAt("configs/demo.yaml"), { kind: "recipe", path: "configs/demo.yaml" });
    } finally {
      Deno.chdir(before);
    }
  });
});
