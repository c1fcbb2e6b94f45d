import assert from "node:assert/strict";
import { commandText, createIo } from "../../cli/shared/output.ts";

/** What an Io sends to a terminal. */
function sent(
  use: (io: ReturnType<typeof createIo>) => void,
  json = false,
): { stdout: string; stderr: string } {
  let stdout = "", stderr = "";
  const streams = {
    stdout: (text: string) => void (stdout += text),
    stderr: (text: string) => void (stderr += text),
    isTerminal: true,
    columns: () => 80,
  };
  use(createIo(streams, { json, signal: new AbortController().signal }));
  return { stdout, stderr };
}

const NAME = "walk\x1b]0;owned\x07\nsidenet: all is well\r\u202e";
const SHOWN = "walk\\x1b]0;owned\\x07\\nsidenet: all is well\\r\\u202e";

Deno.test("text out of files is neutral in every kind of line, and our own escapes stay", () => {
  assert.deepEqual(sent((io) => io.print(NAME)), { stdout: `${SHOWN}\n`, stderr: "" });
  assert.deepEqual(sent((io) => io.note(NAME)), { stdout: "", stderr: `${SHOWN}\n` });
  assert.deepEqual(sent((io) => io.status(NAME)), { stdout: "", stderr: `\r\x1b[K${SHOWN}` });
});

Deno.test("with --json the values are exact, and nothing of them reaches the terminal as a control", () => {
  const { stdout } = sent((io) => io.printJson({ label: NAME + "\x9b" }), true);
  assert.deepEqual(JSON.parse(stdout), { label: NAME + "\x9b" });
  // deno-lint-ignore no-control-regex
  assert.doesNotMatch(stdout.trimEnd(), /[\x00-\x1f\x7f-\x9f\u202e]/);
});

Deno.test("a command can be typed again as it is told", async () => {
  const args = ["predict", "runs/a b", "it's.mp4", "data.root=/x", "$HOME", "", "--top=3"];
  const text = commandText(args);
  assert.equal(text, "sidenet predict 'runs/a b' 'it'\\''s.mp4' data.root=/x '$HOME' '' --top=3");
  const { stdout } = await new Deno.Command("sh", {
    args: ["-c", `sidenet() { printf '%s\\n' "$@"; }; ${text}`],
  }).output();
  assert.deepEqual(new TextDecoder().decode(stdout).split("\n").slice(0, -1), args);
});
