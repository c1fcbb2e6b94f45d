import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import manifest from "../deno.json" with { type: "json" };

const PROBE = fileURLToPath(new URL("./_util/permission_probe.ts", import.meta.url));

/** Tasks that run verbs, with the arguments of `deno run` before the file. */
const VERB_TASKS = Object.entries(manifest.tasks).flatMap(([name, { command }]) => {
  const flags = / deno run (.*) "\$ROOT\/cli\/main\.ts"/.exec(command)?.[1];
  return flags === undefined ? [] : [{ name, flags: flags.split(" ") }];
});

Deno.test("tasks that run verbs give them a named set of permissions, never all, and never ask", () => {
  assert.deepEqual(VERB_TASKS.map(({ name }) => name), ["sidenet", "train", "bench"]);
  for (const { name, flags } of VERB_TASKS) {
    const set = name === "bench" ? "bench" : "verbs";
    assert.deepEqual(flags, ["-q", `-P=${set}`, "--no-remote", "--no-prompt"]);
  }
});

Deno.test("no set opens the network, and verbs start nothing but the programs that docs/security.md names", async () => {
  const { verbs, bench } = manifest.permissions;
  for (const set of [verbs, bench]) {
    assert.deepEqual([set.net, set.import, set.ffi], [{ deny: true }, { deny: true }, ["./node_modules"]]);
  }
  const text = await Deno.readTextFile(new URL("../docs/security.md", import.meta.url));
  for (const program of verbs.run) assert.ok(text.includes(`\`${program}\``), program);
});

Deno.test("under a task's permissions neither the network nor other programs nor foreign code can be reached", async () => {
  let requests = 0;
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, () => {
    requests++;
    return new Response("export {};", { headers: { "content-type": "application/typescript" } });
  });
  const address = `http://127.0.0.1:${server.addr.port}`;
  for (const { name, flags } of VERB_TASKS) {
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", ...flags, PROBE, address],
      env: { NO_COLOR: "1" },
    }).output();
    const seen = JSON.parse(new TextDecoder().decode(stdout) || new TextDecoder().decode(stderr));
    const started = name === "bench" ? "done" : "refused";
    assert.deepEqual(seen, {
      fetch: "refused",
      worker: "NotCapable",
      listen: "refused",
      shell: started,
      itself: started,
      library: "refused",
      remote: "refused",
    });
  }
  assert.equal(requests, 0);
});
