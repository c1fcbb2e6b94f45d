/** Processes that a test watches while they run, in a terminal of their own where it is to type something. */
import assert from "node:assert/strict";

export const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** A started process, what it has said, and how it ended. */
export class Started implements AsyncDisposable {
  said = "";
  readonly child: Deno.ChildProcess;
  readonly ended: Promise<Deno.CommandStatus>;
  readonly #reading: Promise<void>[];

  constructor(program: string, args: string[], options: { cwd?: string; stdin?: "piped" } = {}) {
    const { cwd, stdin = "null" } = options;
    const env = { NO_COLOR: "1", SIDENET_HANGUP: "" };
    this.child = new Deno.Command(program, { args, cwd, env, stdin, stdout: "piped", stderr: "piped" })
      .spawn();
    this.ended = this.child.status;
    this.#reading = [this.child.stdout, this.child.stderr].map(async (stream) => {
      for await (const part of stream.pipeThrough(new TextDecoderStream() as ReadableWritablePair)) {
        this.said += part;
      }
    });
  }

  /** Waits until it says something. */
  async says(text: string): Promise<void> {
    let running = true;
    this.ended.then(() => running = false);
    while (!this.said.includes(text)) {
      assert.ok(running, `it ended without saying ${JSON.stringify(text)}: ${this.said}`);
      await sleep(5);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.child.kill("SIGKILL");
    } catch {
      // it has ended
    }
    await Promise.all([this.ended, ...this.#reading]);
  }
}

/** `script` of util-linux runs a command in a terminal of its own; what it is told goes to that terminal's keyboard. */
export const hasTerminal = Deno.build.os === "linux" &&
  (await new Deno.Command("script", { args: ["--version"], stdout: "null", stderr: "null" }).output()
      .catch(() => null))?.success === true;

/**
 * Runs a command in a terminal.
 *
 * @param meanwhile Types on its keyboard.
 */
export async function inTerminal(
  command: string,
  cwd: string,
  meanwhile: (process: Started, type: (keys: string) => Promise<void>) => Promise<void>,
): Promise<{ code: number; said: string }> {
  await using process = new Started("script", ["-qec", `exec ${command}`, "/dev/null"], {
    cwd,
    stdin: "piped",
  });
  const keyboard = process.child.stdin.getWriter();
  await meanwhile(process, (keys) => keyboard.write(new TextEncoder().encode(keys)));
  const { code } = await process.ended;
  await keyboard.close().catch(() => {}); // the terminal is gone
  return { code, said: process.said };
}
