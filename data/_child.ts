/** Child processes that read video files: their output as it comes, their last words, and an end in every case. */
import { spawn } from "node:child_process";
import { ConfigError } from "../lib/errors.ts";

/** How a child process is run. */
export interface ChildOptions {
  timeoutMs: number;
  /** Kills the process. */
  signal?: AbortSignal;
  /** Takes standard output as it comes; `false` asks for no more, and the process is killed. */
  onOutput: (chunk: Uint8Array) => boolean;
}

/** How a child process ended. */
export interface ChildEnd {
  /** Exit code; null when it was killed. */
  code: number | null;
  timedOut: boolean;
  /** The last line of standard error in words; null when nothing was said. */
  lastWords: string | null;
}

/** Bytes of standard error that are kept, counted from its end. */
const STDERR_KEPT = 4096;

/** Runs a program without a shell until it ends, is aborted or has used its time. */
export function runChild(program: string, args: readonly string[], options: ChildOptions): Promise<ChildEnd> {
  const { timeoutMs, signal, onOutput } = options;
  const { promise, resolve, reject } = Promise.withResolvers<ChildEnd>();
  signal?.throwIfAborted();
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  let stderr = "", timedOut = false;
  const decoder = new TextDecoder();
  const kill = () => void child.kill("SIGKILL");
  const timer = setTimeout(() => {
    timedOut = true;
    kill();
  }, timeoutMs);
  signal?.addEventListener("abort", kill, { once: true });
  const settle = () => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", kill);
  };
  child.stdout.on("data", (chunk: Uint8Array) => {
    if (!onOutput(chunk)) kill();
  });
  child.stderr.on("data", (chunk: Uint8Array) => {
    stderr = (stderr + decoder.decode(chunk, { stream: true })).slice(-STDERR_KEPT);
  });
  child.on("error", (error: Error & { code?: string }) => {
    settle();
    reject(
      error.code === "ENOENT"
        ? new ConfigError(
          `Cannot read videos: ${program} must be on the PATH, nothing is there; apt-get install ffmpeg`,
        )
        : error,
    );
  });
  child.on("close", (code: number | null) => {
    settle();
    if (signal?.aborted) reject(signal.reason);
    else resolve({ code, timedOut, lastWords: lastWords(stderr) });
  });
  return promise;
}

/** The last line, without the address of the part that says it and without the name of the file, which the reader knows. */
function lastWords(stderr: string): string | null {
  const line = stderr.split("\n").map((text) => text.trim()).filter((text) => text !== "").at(-1);
  return line?.replace(/^\[[^\]]* @ 0x[0-9a-f]+\] /, "").replace(/^file:.*: (?=[A-Z])/, "") ?? null;
}
