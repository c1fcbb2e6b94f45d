/**
 * Where a verb's words go: results to stdout, progress and people's text to stderr. With `--json` stdout holds JSON
 * alone, and what would have been text there goes to stderr.
 *
 * Every line may hold text out of files. It is made neutral here, so that no name can move the cursor, colour or hide
 * what stands around it, or look like another line; the escapes that are our own are added behind that.
 */
import { writeError } from "../../data/files.ts";
import { neutralJson, neutralText } from "../../lib/neutral.ts";

/** The tool's name, as texts write it. */
export const TOOL = "sidenet";

/** Output and interruption, as a verb sees them. */
export interface Io {
  /** The command as it can be typed again, for what pages tell of themselves; undefined where it is not known. */
  readonly command?: string;
  /** Whether `--json` was given. */
  readonly json: boolean;
  /** What people type before a verb: "sidenet", or as `denow` was called. */
  readonly program: string;
  /** Whether progress may be rewritten in place. */
  readonly isTerminal: boolean;
  /** Width of the terminal. */
  readonly columns: number;
  /** Aborted on Ctrl-C or a termination request: stop cleanly, with everything saved. */
  readonly signal: AbortSignal;
  /** A line of the result for people: on stdout, or on stderr with `--json`. Line ends inside it are shown, not made. */
  print(line: string): void;
  /** A result for programs: one line of JSON on stdout with `--json`, nothing otherwise. */
  printJson(value: unknown): void;
  /** A line of progress or a remark, on stderr. */
  note(line: string): void;
  /** A line on stderr that the next one replaces; without a terminal, nothing. */
  status(line: string): void;
}

/** Where the characters go; replaced by tests. */
export interface Streams {
  stdout(text: string): void;
  stderr(text: string): void;
  isTerminal: boolean;
  columns(): number;
}

/** Creates the output of one invocation. */
export function createIo(
  streams: Streams,
  options: { json: boolean; signal: AbortSignal; program?: string; command?: string },
): Io {
  let statusShown = false;
  const clearStatus = () => {
    if (statusShown) streams.stderr("\r\x1b[K");
    statusShown = false;
  };
  const note = (line: string) => {
    clearStatus();
    streams.stderr(neutralText(line) + "\n");
  };
  return {
    command: options.command,
    json: options.json,
    program: options.program ?? TOOL,
    signal: options.signal,
    isTerminal: streams.isTerminal,
    get columns() {
      return streams.columns();
    },
    print(line) {
      if (options.json) return note(line);
      clearStatus();
      streams.stdout(neutralText(line) + "\n");
    },
    printJson(value) {
      if (options.json) streams.stdout(neutralJson(JSON.stringify(value)) + "\n");
    },
    note,
    status(line) {
      if (!streams.isTerminal) return;
      streams.stderr("\r\x1b[K" + neutralText(line));
      statusShown = line !== "";
    },
  };
}

/** Arguments as a command of a POSIX shell: what it would not take as it stands is quoted. */
export function commandText(args: readonly string[], program: string = TOOL): string {
  const quoted = args.map((arg) => /^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", "'\\''")}'`);
  return [program, ...quoted].join(" ");
}

/** The process's own streams. */
export function processStreams(): Streams {
  const encoder = new TextEncoder(), isTerminal = Deno.stdout.isTerminal();
  const write = (stream: { writeSync(bytes: Uint8Array): number }, text: string) => {
    const bytes = encoder.encode(text);
    for (let written = 0; written < bytes.length;) written += stream.writeSync(bytes.subarray(written));
  };
  return {
    stdout(text) {
      try {
        write(Deno.stdout, text);
      } catch (error) {
        // The reader of a pipe may leave early (`sidenet … | head`), and a terminal be closed: nobody is left to tell.
        if (isTerminal || error instanceof Deno.errors.BrokenPipe) return;
        throw writeError("standard output", error);
      }
    },
    stderr(text) {
      try {
        write(Deno.stderr, text);
      } catch {
        // A closed terminal, a full disk: a remark that nobody can read is no reason to lose a run.
      }
    },
    isTerminal: Deno.stderr.isTerminal(),
    columns() {
      try {
        return Deno.consoleSize().columns || 80; // some terminals say 0
      } catch {
        return 80; // no terminal to ask
      }
    },
  };
}

/** Exit code of a verb that the user stopped. */
export const INTERRUPTED_EXIT_CODE = 130;
