import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import manifest from "../deno.json" with { type: "json" };
import { KNOWN_FILES } from "../models/known_files.ts";

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
    // $SIDENET_RANKS is empty but for ranks that an MPI launcher has started.
    assert.deepEqual(flags, ["-q", `-P=${set}$SIDENET_RANKS`, "--no-remote", "--no-prompt"]);
  }
});

Deno.test("verbs reach the hosts and start the programs that docs/security.md names and no others, bench reaches none", async () => {
  const { verbs, bench } = manifest.permissions;
  for (const set of [verbs, bench]) {
    assert.deepEqual([set.import, set.ffi], [{ deny: true }, ["./node_modules"]]);
  }
  for (const [name, { ffi: _, ...alone }] of Object.entries({ verbs, bench })) {
    const { ffi, ...ofRanks } = manifest.permissions[`${name}_of_ranks` as "verbs_of_ranks"];
    assert.deepEqual([ffi, ofRanks], [true, alone], "ranks may load MPI's library, and nothing else more");
  }
  const hosts = new Set(KNOWN_FILES.map(({ address }) => new URL(address).hostname));
  assert.deepEqual([verbs.net, bench.net], [[...hosts].map((host) => `${host}:443`), { deny: true }]);
  const text = await Deno.readTextFile(new URL("../docs/security.md", import.meta.url));
  for (const program of [...verbs.run, ...hosts]) assert.ok(text.includes(`\`${program}\``), program);
});

Deno.test("under a task's permissions neither other hosts nor other programs nor foreign code can be reached", async () => {
  let requests = 0;
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, () => {
    requests++;
    return new Response("export {};", { headers: { "content-type": "application/typescript" } });
  });
  const address = `http://127.0.0.1:${server.addr.port}`;
  for (const { name, flags } of VERB_TASKS) {
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", ...flags.map((flag) => flag.replace("$SIDENET_RANKS", "")), PROBE, address],
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
