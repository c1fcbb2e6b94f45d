/** Child processes that read video files: their output as it comes, what they complain of, and an end in every case. */
import { spawn } from "node:child_process";
import { ConfigError } from "../../lib/errors.ts";
import { REFUSED_FORMAT, REFUSED_SIZE } from "./formats.ts";

/** How a child process is run. */
export interface ChildOptions {
  timeoutMs: number;
  /** Folder in which it runs; this process's own by default. */
  cwd?: string;
  /** Kills the process. */
  signal?: AbortSignal;
  /**
   * Takes standard output as it comes; `false` asks for no more, and the process is killed. Where it answers later, nothing
   * more is read until then.
   */
  onOutput: (chunk: Uint8Array) => boolean | Promise<boolean>;
}

/** How a child process ended. */
export interface ChildEnd {
  /** Exit code; null when it was killed. */
  code: number | null;
  /** Somebody else ended it: what it gave says nothing about the file. */
  stopped: boolean;
  timedOut: boolean;
  /** The line of standard error that tells most, the last but for refusals; null when nothing was said. */
  words: string | null;
}

/** Bytes of standard error that are kept, counted from its end. */
const STDERR_KEPT = 4096;

/** Signals by which a program is stopped, and the exit code of ffmpeg when it obeys one. */
const STOP_SIGNALS = ["SIGHUP", "SIGINT", "SIGTERM", "SIGKILL"];
const STOPPED_CODE = 255;

/** Runs a program without a shell until it ends, is aborted or has used its time. */
export function runChild(program: string, args: readonly string[], options: ChildOptions): Promise<ChildEnd> {
  const { timeoutMs, signal, onOutput, cwd } = options;
  const { promise, resolve, reject } = Promise.withResolvers<ChildEnd>();
  signal?.throwIfAborted();
  // Ctrl-C in a terminal goes to every process of its group: what runs here still finishes the clips under way.
  const detached = Deno.build.os !== "windows";
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], detached, cwd });
  let stderr = "", timedOut = false, killed = false;
  let failure: { error: unknown } | null = null;
  const decoder = new TextDecoder();
  const kill = () => {
    killed = true;
    child.kill("SIGKILL");
    child.stdout.destroy(); // what is left in the pipe is not waited for
  };
  const timer = setTimeout(() => {
    timedOut = true;
    kill();
  }, timeoutMs);
  signal?.addEventListener("abort", kill, { once: true });
  const settle = () => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", kill);
  };
  const read = async () => {
    try {
      for await (const chunk of child.stdout) {
        if (!await onOutput(chunk)) return kill();
      }
    } catch (error) {
      if (killed) return; // the pipe was closed on purpose
      failure = { error };
      kill();
    }
  };
  const reading = read();
  child.stderr.on("data", (chunk: Uint8Array) => {
    stderr = (stderr + decoder.decode(chunk, { stream: true })).slice(-STDERR_KEPT);
  });
  child.on("error", (error: Error & { code?: string }) => {
    settle();
    reject(
      error.code === "ENOENT"
        ? new ConfigError(
          `Cannot read videos: ${program} must be on the PATH, nothing is there; apt-get install --no-install-recommends ffmpeg`,
        )
        : error,
    );
  });
  child.on("close", async (code: number | null, by: string | null) => {
    settle();
    await reading;
    const stopped = !killed && (code === STOPPED_CODE || (by !== null && STOP_SIGNALS.includes(by)));
    if (signal?.aborted) reject(signal.reason);
    else if (failure !== null) reject(failure.error);
    else resolve({ code, stopped, timedOut, words: lastWords(stderr, args) });
  });
  return promise;
}

/** What ffmpeg says after a line that told the reason. */
const AFTERMATH = /^(Error marking filters as finished|Error while (filtering|processing)|Conversion failed)/;

/**
 * What was refused, or the last line that tells a reason, without the address of the part that says it and without the name of the file, which the
 * reader knows.
 */
function lastWords(stderr: string, args: readonly string[]): string | null {
  const unnamed = args.filter((arg) => arg.startsWith("file:"))
    .reduce((text, file) => text.replaceAll(`${file}: `, "").replaceAll(file, "it"), stderr);
  const lines = unnamed.split("\n").map((line) => line.replace(/^(\[[^\]]* @ 0x[0-9a-f]+\] )+/, "").trim())
    .filter((line) => line !== "");
  return lines.find((line) => REFUSED_FORMAT.test(line) || REFUSED_SIZE.test(line)) ??
    lines.findLast((line) => !AFTERMATH.test(line)) ?? lines.at(-1) ?? null;
}
