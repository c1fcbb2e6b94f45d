/** Tools that users start as tasks: what they say of themselves and of wrong options. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Starts a tool. */
async function tool(name: string, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", `tools/${name}.ts`, ...args],
    cwd: ROOT,
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: text(stdout), err: text(stderr) };
}

Deno.test("tools of users tell their usage, and what is wrong in one line before they build", async () => {
  using listener = Deno.listen({ hostname: "localhost", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const cases: [ReturnType<typeof tool>, number, RegExp][] = [
    [tool("web", "--port=99999"), 2, /^Cannot serve: --port must be 0 to 65535, current value is 99999\n$/],
    [
      tool("web", `--port=${port}`),
      1,
      new RegExp(`^Cannot serve on port ${port}: another program has it; choose another with --port.*\n$`),
    ],
    [
      tool("bundle", "--nope"),
      2,
      /^Unknown option '--nope'; \.\/denow task bundle --help lists the options\n$/,
    ],
    [
      tool("compile", "--target=foo"),
      2,
      /^Cannot compile: --target must be one of x86_64-.*, current value is foo\n$/,
    ],
  ];
  for (const [done, expected, message] of cases) {
    const { code, err } = await done;
    assert.match(err, message);
    assert.equal(code, expected);
  }
  const { code, out } = await tool("web", "--help");
  assert.equal(code, 0);
  assert.match(out, /--port=N/);
});
