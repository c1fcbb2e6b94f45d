/**
 * The ranks that an MPI launcher has started, as verbs see them: joined once, rank 0 speaks and writes for all, and all end together.
 * Without a launcher nothing is loaded.
 */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError, InterruptedError } from "../../lib/errors.ts";
import { adapterName } from "../../gpu/adapter.ts";
import { formatCount } from "../../lib/text.ts";
import { findLauncher, type Launcher } from "../../mpi/launcher.ts";
import { AbsentRankError } from "../../mpi/exchange.ts";
import { MpiWorld } from "../../mpi/mpi_world.ts";
import { type WatchSetup, WORDS_MS } from "../../mpi/watch_loop.ts";
import { WatchMemory } from "../../mpi/watch_memory.ts";
import { ALONE, START_LIMIT_SECONDS, type World } from "../../mpi/world.ts";
import { SharedEnd } from "../../train/run/rank_batches.ts";
import { chooseDevice, describeDevice } from "./devices.ts";
import { commandText, INTERRUPTED_EXIT_CODE, type Io, type Streams } from "../shared/output.ts";

/** Names of the variable that limits how long a rank is waited for. */
const LIMIT_VARIABLE = "SIDENET_MPI_TIMEOUT";
/** What another rank has to say for all comes first. */
const LATER_MS = 1000;

let joined: MpiWorld | null = null;
/** Rejected when the watch has found that a rank is absent. */
const absent = Promise.withResolvers<never>();
absent.promise.catch(() => {}); // told by whoever waits for it
/** What `--device` says. */
let deviceFlag: string | null = null;

/** Settles the device of a process: at once where it is alone, and for a rank when it joins the others. */
export async function settleDevice(flag: string | null): Promise<void> {
  deviceFlag = flag;
  if (findLauncher(Deno.env.toObject()) === null) await chooseDevice(flag, ALONE);
}

/**
 * Joins the ranks that have been started with this one; one alone where none were.
 *
 * @throws {ConfigError} where they cannot be joined.
 */
export async function joinWorld(io: Io): Promise<World> {
  if (joined !== null) return joined;
  const env = Deno.env.toObject(), launcher = findLauncher(env);
  if (launcher === null) return ALONE;
  const limitSeconds = limitOf(env[LIMIT_VARIABLE]);
  try {
    joined = await Promise.race([
      MpiWorld.join(launcher, { env, limitSeconds, signal: io.signal, watch: startWatch }),
      absence(),
    ]);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotCapable)) throw error;
    throw new ConfigError(
      `Cannot join ${launcher.size} ranks: loading MPI's library must be allowed; start ranks with denow (mpiexec -n ${launcher.size} ./denow …)`,
    );
  }
  await requireSameArguments(joined);
  const chosen = await chooseDevice(deviceFlag, joined);
  joined.card = chosen && describeDevice(chosen);
  if (joined.rank === 0) io.note(`${formatCount(joined.size)} ranks of ${joined.mpi}`);
  return joined;
}

/** Each rank may have a card of its own choice; all else must be the same, as only rank 0's counts. */
async function requireSameArguments(world: World): Promise<void> {
  const all = await world.gather(withoutDevice(Deno.args), "the arguments of all ranks");
  const other = all.findIndex((args) => args.join("\0") !== all[0].join("\0"));
  if (other < 0) return;
  const alone = (args: readonly string[], others: readonly string[]) => {
    const own = args.filter((arg) => !others.includes(arg));
    return own.length > 0 ? commandText(own.slice(1), own[0]) : "nothing of its own";
  };
  throw new SharedEnd(
    `Cannot run as ${world.size} ranks: all must be started with the same arguments; rank 0 alone has ${
      alone(all[0], all[other])
    }, rank ${other} alone has ${alone(all[other], all[0])}`,
    { exitCode: 2 },
  );
}

function withoutDevice(args: readonly string[]): string[] {
  return args.filter((arg, i) => !arg.startsWith("--device") && args[i - 1] !== "--device");
}

/** Lets a thread of its own watch whether the others take part. */
function startWatch(setup: WatchSetup): void {
  const worker = new Worker(new URL("./watch_worker.ts", import.meta.url), { type: "module", name: "watch" });
  worker.onmessage = ({ data }: MessageEvent<string>) => {
    new WatchMemory(setup.memory).take();
    absent.reject(new AbsentRankError(data));
  };
  worker.onerror = (event) => {
    event.preventDefault();
    absent.reject(new Error(`Cannot watch the ranks: ${event.message}`));
  };
  worker.postMessage(setup);
}

/** Fails when another rank does not take part. */
export function absence(): Promise<never> {
  return absent.promise;
}

/** Verbs that ranks share, or whose ranks tell of themselves. */
const SHARED_VERBS = ["train", "eval", "extract", "doctor", "bench"];

/**
 * Refuses a verb that each rank would do for itself, in the way of the others.
 *
 * @param shared Names that are not refused.
 *
 * @throws {SharedEnd} on every rank.
 */
export function requireSharedVerb(name: string, shared: readonly string[] = SHARED_VERBS): void {
  const launcher = findLauncher(Deno.env.toObject());
  if (launcher === null || shared.includes(name)) return;
  throw new SharedEnd(
    `Cannot run "${name}" as ${launcher.size} ranks: ${
      [...SHARED_VERBS.slice(0, -1), "bench mpi"].join(", ")
    } are what ranks share; start it without mpiexec`,
    { exitCode: 2 },
  );
}

/** Whether a launcher has started this process as one of several. */
export function isRank(): boolean {
  return launcherIfAny() !== null;
}

/** Whether this process is a rank that another one speaks for. */
export function isFollower(): boolean {
  return (launcherIfAny()?.rank ?? 0) > 0;
}

function launcherIfAny(): Launcher | null {
  try {
    return findLauncher(Deno.env.toObject());
  } catch {
    return null; // told when the ranks are joined
  }
}

/** Output of a rank that another one speaks for: none. */
export function silent(streams: Streams): Streams {
  return { ...streams, isTerminal: false, stdout: () => {}, stderr: () => {} };
}

/**
 * Waits where others may have more to say of an error.
 *
 * @returns The error in words; null where another rank tells it.
 */
export async function toldByRank(error: unknown, message: string): Promise<string | null> {
  const rank = joined?.rank ?? launcherIfAny()?.rank ?? 0;
  if (rank === 0 && (joined !== null || !isRank())) return message;
  if (rank > 0 && joined !== null && endsTogether(error)) return null;
  // The watch of each rank knows already who is to speak.
  if (rank > 0 && !(error instanceof AbsentRankError)) {
    await new Promise((resolve) => setTimeout(resolve, LATER_MS));
  }
  if (joined === null) {
    if (await isTold(message)) return null;
    await noteTold(message);
  }
  return rank === 0 ? message : message.replace(/^sidenet: /, `sidenet: rank ${rank}: `);
}

/**
 * Ranks that have not joined cannot speak with each other, and mostly have the same error: one of a machine leaves word in a file that
 * it has told it.
 */
async function noteTold(message: string): Promise<void> {
  await Deno.writeTextFile(toldFile(), message).catch(() => {}); // then it is told twice
}

async function isTold(message: string): Promise<boolean> {
  try {
    const { mtime } = await Deno.stat(toldFile());
    // What is older than this process is of another job.
    return mtime!.getTime() >= performance.timeOrigin && await Deno.readTextFile(toldFile()) === message;
  } catch {
    return false;
  }
}

function toldFile(): string {
  return join(Deno.env.get("XDG_RUNTIME_DIR") || tmpdir(), "sidenet-told-by-ranks");
}

/**
 * Ends the ranks of this process's world: with all others where all have come to the end, and else all at once.
 *
 * @param tell Says an error that comes of this.
 * @returns The exit code.
 */
export async function endWorld(
  code: number,
  error: unknown,
  tell: (error: unknown) => Promise<void>,
): Promise<number> {
  if (joined === null) return code;
  if (code !== 0 && !endsTogether(error)) return await abort(joined, code);
  try {
    await Promise.race([leave(joined, code), absence()]);
    return code;
  } catch (failure) {
    await tell(failure);
    return await abort(joined, 1);
  }
}

async function leave(world: MpiWorld, code: number): Promise<void> {
  if (code !== INTERRUPTED_EXIT_CODE || !await world.endWith(code, START_LIMIT_SECONDS)) {
    await world.leave(START_LIMIT_SECONDS);
  }
}

async function abort(world: MpiWorld, code: number): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, WORDS_MS));
  world.abort(code);
  return code;
}

/** Whether all ranks end with this error, each by itself. */
function endsTogether(error: unknown): boolean {
  return error instanceof SharedEnd || error instanceof InterruptedError;
}

function limitOf(text: string | undefined): number | undefined {
  if (text === undefined || text === "") return undefined;
  const seconds = Number(text);
  if (seconds > 0 && Number.isFinite(seconds)) return seconds;
  throw new ConfigError(
    `Cannot wait for ranks: ${LIMIT_VARIABLE} must be a number of seconds above 0, current value is "${text}"`,
  );
}

/** For `doctor`: the world, and which card each rank has. All ranks call it or `tellCard`. */
export async function rankLines(world: World): Promise<string[]> {
  if (world.size === 1) return [];
  const all = await cardsOf(world);
  return [
    `${formatCount(world.size)} ranks of ${world.mpi}:`,
    ...all.map(({ host, localRank, card }, rank) => {
      const sharing = all.filter((other) => other.host === host && other.card === card).length;
      return `  rank ${rank}: local rank ${localRank} of ${host}, ${card ?? "no adapter"}${
        sharing > 1 ? `, shared by ${sharing} ranks` : ""
      }`;
    }),
  ];
}

/** The part of the ranks that say nothing. @returns The exit code. */
export async function tellCard(world: World): Promise<number> {
  await cardsOf(world);
  return 0;
}

async function cardsOf(world: World) {
  const { host, localRank } = world;
  // Without a choice it is the one that the system gives.
  const adapter = world.card === null ? await navigator.gpu?.requestAdapter() : null;
  const card = world.card ?? (adapter ? adapterName(adapter.info) : null);
  return await world.gather({ host, localRank, card }, "the cards of all ranks", {
    limitSeconds: START_LIMIT_SECONDS,
  });
}
