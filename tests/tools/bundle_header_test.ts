/** The script in front of a bundle's archive. */
import assert from "node:assert/strict";
import { join } from "node:path";

const HEADER = await Deno.readTextFile(new URL("../../tools/bundle_header.sh", import.meta.url));

/** Runs a program and returns what it says. */
async function run(program: string, args: string[], env: Record<string, string> = {}): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args, env }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trim();
}

Deno.test("the first start removes what a killed one left, and not what another is unpacking", async () => {
  const folder = await Deno.makeTempDir({ prefix: "sidenet-" }),
    path = (...names: string[]) => join(folder, ...names);
  try {
    await Deno.mkdir(path("tree"));
    await Deno.writeTextFile(path("tree", "deno"), '#!/bin/sh\necho "started $#"\n', { mode: 0o755 });
    await run("tar", ["-C", path("tree"), "-czf", path("a.tar.gz"), "."]);
    const header = HEADER.replaceAll("@KEY@", "key").replaceAll("@SKIP@", String(HEADER.split("\n").length));
    const text = new TextEncoder().encode(header), archive = await Deno.readFile(path("a.tar.gz"));
    await Deno.writeFile(path("sidenet.run"), new Uint8Array([...text, ...archive]), { mode: 0o755 });
    const host = await run("uname", ["-n"]), gone = new Deno.Command("true").spawn();
    await gone.status;
    const dead = `unpacking.${host}.${gone.pid}`, alive = `unpacking.${host}.${Deno.pid}`;
    const elsewhere = `unpacking.${host}-2.${gone.pid}`;
    for (const name of [dead, alive, elsewhere]) {
      await Deno.mkdir(path("cache", name), { recursive: true });
      await Deno.writeTextFile(path("cache", name, "file"), "x");
    }
    for (let start = 0; start < 2; start++) {
      assert.match(await run(path("sidenet.run"), [], { SIDENET_CACHE: path("cache") }), /^started \d+$/);
    }
    const left = (await Array.fromAsync(Deno.readDir(path("cache")))).map(({ name }) => name).sort();
    assert.deepEqual(left, ["bundle-key", alive, elsewhere].sort());
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
