/** What goes into the executable that no import names. */
import assert from "node:assert/strict";
import { compileArguments } from "../../tools/compile.ts";
import { ROOMS } from "../../tools/layers.ts";
import { readSources } from "../../tools/sources.ts";

const root = new URL("../../", import.meta.url);

Deno.test("the executable holds every Worker, the recipes and what pages are built of", async () => {
  const args = compileArguments({ out: "x", target: "aarch64-apple-darwin" });
  const included = args.flatMap((arg) =>
    arg.startsWith("--include=") ? [arg.slice("--include=".length)] : []
  );
  for (const path of included) assert.ok(await Deno.stat(new URL(path, root)), path);
  const workers = (await readSources(root, { folders: ROOMS })).flatMap(({ file, workers = [] }) =>
    file.startsWith("web/") || file.startsWith("bench/") ? [] : workers
  );
  assert.ok(workers.length >= 2, "the sources start Workers");
  for (const worker of workers.filter((path) => /worker/.test(path))) {
    assert.ok(included.includes(worker), worker);
  }
  assert.ok(["configs/", "web/"].every((folder) => included.includes(folder)));
  assert.ok(args.includes("--target=aarch64-apple-darwin") && args.includes("--self-extracting"));
});
