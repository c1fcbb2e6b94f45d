/**
 * `sidenet VERB …`: finds the verb, runs it, and turns errors into one line and an exit code. Nothing else in the
 * project prints an error or exits.
 */
import { ConfigError } from "../lib/errors.ts";
import { nearestName } from "../lib/nearest_name.ts";
import manifest from "../deno.json" with { type: "json" };
import { commonValue, hasCommonFlag, helpOf, twoColumns } from "./shared/args.ts";
import { discardUnfinished, toldError } from "../data/files.ts";
import { keepDecodeWorkers } from "../data/frames/decode_pool.ts";
import { keepGpuWorkers } from "../train/runtime/device/remote_device.ts";
import { abandoned, interruptionSignal } from "./shared/interruption.ts";
import {
  absence,
  endWorld,
  isFollower,
  isRank,
  requireSharedVerb,
  settleDevice,
  silent,
  toldByRank,
} from "./ranks/world.ts";
import {
  commandText,
  createIo,
  INTERRUPTED_EXIT_CODE,
  type Io,
  processStreams,
  type Streams,
  TOOL,
} from "./shared/output.ts";
import { type Verb, VERBS } from "./_verbs.ts";

/** What `main` needs of the process; replaced by tests. */
export interface Invocation {
  streams: Streams;
  signal: AbortSignal;
  verbs?: readonly Verb[];
  /** What people type before a verb; "sidenet" by default. */
  program?: string;
  /** Told of the error that ends it. */
  failed?: (error: unknown) => void;
}

/**
 * Runs the tool.
 *
 * @param args arguments after the program's name
 * @returns the exit code
 */
export async function main(args: readonly string[], invocation: Invocation): Promise<number> {
  const { streams, signal, verbs = VERBS, program = TOOL } = invocation;
  const io = createIo(streams, {
    json: hasCommonFlag(args, "json"),
    signal,
    program,
    command: commandText(args, program),
  });
  try {
    const [first, ...rest] = args;
    if (
      first === undefined || first === "help" && rest.length === 0 || first === "--help" || first === "-h"
    ) {
      streams.stdout(toolHelp(verbs, program) + "\n");
      return 0;
    }
    if (first === "--version" || first === "-V") {
      streams.stdout(`sidenet ${manifest.version}\n`);
      return 0;
    }
    const asksHelp = first === "help";
    const verb = findVerb(asksHelp ? rest[0] : first, verbs);
    const module = await verb.load();
    if (asksHelp || hasCommonFlag(rest, "help")) {
      streams.stdout(withProgram(helpOf(module.command, program, rest), { verbs, program }) + "\n");
      return 0;
    }
    requireSharedVerb(verb.name);
    await settleDevice(commonValue(rest, "device"));
    const { savesOnInterrupt = false } = module.command, verbEnds = module.run(rest, io);
    // A signal that came too late to stop anything changes nothing: what is done and written is done.
    const ends = [verbEnds, absence(), ...savesOnInterrupt ? [] : [abandoned(signal)]];
    return await Promise.race(ends);
  } catch (thrown) {
    const error = toldError(thrown);
    io.status("");
    invocation.failed?.(error);
    await tellError(error, { args, verbs, program, io });
    return exitCodeOf(error);
  }
}

/** Says what has gone wrong, where no other rank does. */
async function tellError(
  error: unknown,
  { args, verbs, program, io }: { args: readonly string[]; verbs: readonly Verb[]; program: string; io: Io },
): Promise<void> {
  const line = await toldByRank(error, withProgram(errorLine(error), { verbs, program }));
  if (line === null) return;
  io.note(line);
  if (hasCommonFlag(args, "debug")) { for (const line of stackOf(error).split("\n")) io.note(line); }
}

function findVerb(name: string, verbs: readonly Verb[]): Verb {
  const verb = verbs.find((one) => one.name === name);
  if (verb !== undefined) return verb;
  const nearest = nearestName(name, verbs.map((one) => one.name));
  const hint = nearest === undefined
    ? `run "sidenet --help" for the list`
    : `the nearest known verb is "${nearest}"`;
  throw new ConfigError(`Cannot run "${name}": there is no such verb; ${hint}`);
}

function toolHelp(verbs: readonly Verb[], program: string): string {
  return [
    `Usage: ${program} VERB [ARGUMENT …]`,
    "Train and run side networks on a frozen image backbone for video, on any GPU that WebGPU reaches.",
    "Verbs:\n" + twoColumns(verbs.map(({ name, summary }) => [name, summary])),
    "Options:\n" + twoColumns([
      ["--help", "show this help; after a verb, the help of the verb"],
      ["--version", "show the version"],
      ["--json", "results on stdout as JSON"],
      ["--debug", "show the stack of an error"],
    ]),
    ...program === TOOL ? [] : [
      "Also:\n" + twoColumns([
        [`${program} test`, "run the tests; ok: before a commit; task: the other tasks of deno.json"],
        [`${program} deno ARGUMENT…`, "Deno itself; for fmt, lint and run without the word"],
      ]),
    ],
    "Exit codes: 0 done, 1 failed, 2 wrong usage or config, 3 no usable GPU adapter, 4 bad input data, 130 interrupted",
  ].join("\n\n");
}

/** One line for people, whatever was thrown. */
export function errorLine(error: unknown): string {
  const message = error instanceof Error ? error.message || error.name : String(error);
  return `sidenet: ${message.replace(/\s*\n\s*/g, " ")}`;
}

/** A text as people can copy it: commands that it names begin with what they type. */
function withProgram(message: string, options: { verbs: readonly Verb[]; program: string }): string {
  const words = ["--help", ...options.verbs.map(({ name }) => name)].join("|");
  return message.replaceAll(new RegExp(`\\b${TOOL} (?=(?:${words})(?![\\w-]))`, "g"), `${options.program} `);
}

/** The exit code an error asks for; 1 when it asks for none. */
export function exitCodeOf(error: unknown): number {
  const code = (error as { exitCode?: unknown } | null)?.exitCode;
  if (typeof code === "number" && Number.isInteger(code)) return code;
  return error instanceof DOMException && error.name === "AbortError" ? INTERRUPTED_EXIT_CODE : 1;
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? "" : `\ncaused by ${stackOf(error.cause)}`;
  return (error.stack ?? String(error)) + cause;
}

if (import.meta.main) {
  keepGpuWorkers();
  keepDecodeWorkers();
  const streams = processStreams();
  const program = Deno.env.get("SIDENET_PROGRAM") || TOOL;
  let failure: unknown = null;
  const failed = (error: unknown) => failure = error;
  const signal = interruptionSignal(isFollower() ? silent(streams) : streams, { isRank: isRank() });
  const code = await main(Deno.args, { streams, signal, program, failed });
  discardUnfinished();
  const io = createIo(streams, { json: hasCommonFlag(Deno.args, "json"), signal, program });
  const tell = (error: unknown) => tellError(error, { args: Deno.args, verbs: VERBS, program, io });
  Deno.exit(await endWorld(code, failure, tell));
}
