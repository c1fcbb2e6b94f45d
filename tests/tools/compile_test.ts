/** What goes into the executable: what imports reach, and what no import names. */
import assert from "node:assert/strict";
import { compileArguments, failureOf, systemOfTarget } from "../../tools/compile.ts";
import { ROOMS } from "../../tools/layers.ts";
import { INCLUDED, Payload, reached, unheld } from "../../tools/payload.ts";
import { readSources, type SourceFile } from "../../tools/sources.ts";

const root = new URL("../../", import.meta.url);
const sources = await readSources(root, { folders: ROOMS });

Deno.test("the executable holds all that verbs reach by imports, start as Workers or read by URL", async () => {
  const args = compileArguments({ out: "x", target: "aarch64-apple-darwin" });
  for (const path of INCLUDED) {
    assert.ok(args.includes(`--include=${path}`), path);
    assert.ok(await Deno.stat(new URL(path, root)), path);
  }
  assert.ok(args.includes("--target=aarch64-apple-darwin") && args.includes("--self-extracting"));
  const files = reached(sources), workers = sources.flatMap(({ workers = [] }) => workers);
  for (const worker of workers.filter((path) => /_worker\.ts$/.test(path))) {
    assert.ok(files.has(worker), worker);
  }
  // Verbs are imported when they are asked for; shaders, tables and styles are texts.
  for (const ending of [".wgsl", ".css", ".html", "merges.txt", "extras/licenses.ts"]) {
    assert.ok([...files].some((file) => file.endsWith(ending)), ending);
  }
  assert.deepEqual(unheld(sources), []);
});

Deno.test("a Worker, a file or an import that the compiler cannot follow is found", () => {
  const file = "cli/main.ts";
  const of = (text: string): SourceFile[] => [{ file, text, imports: [] }];
  const names = (text: string) => unheld(of(text)).map(({ names }) => names);
  assert.deepEqual(names('new Worker(new URL("./other_worker.ts", import.meta.url))'), [
    "cli/other_worker.ts",
  ]);
  assert.deepEqual(names("read(new URL(`../tables/${name}.csv`, import.meta.url))"), ["tables/"]);
  assert.deepEqual(names("read(new URL(`../configs/${name}`, import.meta.url))"), []);
  assert.deepEqual(names("await import(name)"), ["import(name)"]);
  assert.deepEqual(names('await import("./train.ts")'), []);
});

Deno.test("an executable's own list of files is read, links among them", () => {
  const list = [
    { File: { n: "LICENSE" } },
    { Dir: { n: "a", e: [{ Dir: { n: "b", e: [{ File: { n: "c.node" } }] } }] } },
    { Symlink: { n: "linked", p: ["a", "b"] } },
  ];
  const json = new TextEncoder().encode(JSON.stringify(list)), bytes = new Uint8Array(json.length + 40);
  bytes.set(new TextEncoder().encode('[{"File":{"n":'), 10); // what is none
  new DataView(bytes.buffer).setBigUint64(28, BigInt(json.length), true);
  bytes.set(json, 36);
  const payload = new Payload(bytes);
  assert.deepEqual([...payload.files], ["LICENSE", "a/b/c.node"]);
  assert.deepEqual(["a/b/c.node", "linked/c.node", "linked/d", "c.node"].map((path) => payload.holds(path)), [
    true,
    true,
    false,
    false,
  ]);
  assert.throws(() => new Payload(new Uint8Array(100)), /Cannot list the executable/);
});

Deno.test("without a network one line says what to do; other failures are told whole", () => {
  const offline = "error: x\n 1: error sending request for url (https://dl.deno.land/a.zip): client error";
  assert.match(
    failureOf(offline),
    /^Cannot compile: the runtime .* from https:\/\/dl\.deno\.land\/a\.zip; .*bundle.*$/,
  );
  assert.match(failureOf("error: no such file\n"), /^error: no such file\nCannot compile: /);
});

Deno.test("packages of machine code are those of the target", () => {
  assert.deepEqual(systemOfTarget("x86_64-pc-windows-msvc"), { os: "win32", arch: "x64" });
  assert.deepEqual(systemOfTarget("aarch64-apple-darwin"), { os: "darwin", arch: "arm64" });
  assert.deepEqual(systemOfTarget("x86_64-unknown-linux-gnu"), { os: "linux", arch: "x64" });
});
