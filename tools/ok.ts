/**
 * Everything that must hold before a commit: format, lint, types, and the tests, which include that every shader compiles and
 * that imports point one way. All of it runs, then the failures are named.
 *
 *     deno run -A tools/ok.ts
 */

const STEPS: readonly { name: string; args: readonly string[] }[] = [
  { name: "format", args: ["fmt", "--check", "--quiet"] },
  { name: "lint", args: ["lint", "--quiet"] },
  { name: "types", args: ["check", "--quiet", "."] },
  // Types have been checked by the step before.
  { name: "tests", args: ["run", "-A", "tools/test.ts", "--no-check"] },
];

const failed: string[] = [];
for (const { name, args } of STEPS) {
  const start = performance.now();
  console.error(`── ${name}`);
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: [...args],
    stdout: "inherit",
    stderr: "inherit",
  })
    .spawn().status;
  console.error(
    `── ${name}: ${code === 0 ? "ok" : "FAILED"} in ${((performance.now() - start) / 1000).toFixed(1)} s`,
  );
  if (code !== 0) failed.push(name);
}
if (failed.length > 0) {
  console.error(`Not ok: ${failed.join(", ")}`);
  Deno.exit(1);
}
console.error("All ok");
