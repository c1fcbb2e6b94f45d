/**
 * The functions of MPI that we use, from MPICH (and its relatives) or from Open MPI. Both have the same functions; what differs is
 * how handles look: numbers in MPICH, addresses of symbols in Open MPI.
 */

import { ConfigError } from "../lib/errors.ts";
import { LIBRARY_VARIABLE, MPI_NAMES, type MpiKind } from "./launcher.ts";

/** A communicator, datatype or operation: a number (MPICH) or an address (Open MPI). Plain data, for a Worker to take. */
export type Handle = number | bigint;

type Pointer = Deno.PointerValue;
type Bytes =
  | Uint8Array<ArrayBuffer>
  | Float32Array<ArrayBuffer>
  | Float64Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>;

/** `MPI_THREAD_MULTIPLE`. */
const THREAD_MULTIPLE = 3;
const ANY_TAG = -1;
/** Room for an `MPI_Status` of any library. */
const STATUS_BYTES = 64;
const HANDLE_BYTES = 8;

const MPICH_HANDLES = {
  world: 0x44000000,
  float: 0x4c00040a,
  double: 0x4c00080b,
  byte: 0x4c00010d,
  sum: 0x58000003,
  max: 0x58000001,
  errorsReturn: 0x54000001,
};

const OPEN_MPI_SYMBOLS = {
  world: "ompi_mpi_comm_world",
  float: "ompi_mpi_float",
  double: "ompi_mpi_double",
  byte: "ompi_mpi_byte",
  sum: "ompi_mpi_op_sum",
  max: "ompi_mpi_op_max",
  errorsReturn: "ompi_mpi_errors_return",
};

type HandleName = keyof typeof MPICH_HANDLES;

/** The functions, with handles of one kind. */
function functionsWith<H extends "i32" | "pointer">(handle: H) {
  return {
    // On a thread of its own: it waits for all ranks, and nothing else could end the process meanwhile.
    MPI_Init_thread: {
      parameters: ["pointer", "pointer", "i32", "buffer"],
      result: "i32",
      nonblocking: true,
    },
    MPI_Finalize: { parameters: [], result: "i32" },
    MPI_Abort: { parameters: [handle, "i32"], result: "i32" },
    MPI_Comm_rank: { parameters: [handle, "buffer"], result: "i32" },
    MPI_Comm_size: { parameters: [handle, "buffer"], result: "i32" },
    MPI_Comm_dup: { parameters: [handle, "buffer"], result: "i32" },
    MPI_Comm_set_errhandler: { parameters: [handle, handle], result: "i32" },
    MPI_Get_library_version: { parameters: ["buffer", "buffer"], result: "i32" },
    MPI_Ibarrier: { parameters: [handle, "buffer"], result: "i32" },
    MPI_Test: { parameters: ["buffer", "buffer", "buffer"], result: "i32" },
    MPI_Iprobe: { parameters: ["i32", "i32", handle, "buffer", "buffer"], result: "i32" },
    MPI_Isend: { parameters: ["buffer", "i32", handle, "i32", "i32", handle, "buffer"], result: "i32" },
    MPI_Recv: { parameters: ["buffer", "i32", handle, "i32", "i32", handle, "buffer"], result: "i32" },
    MPI_Allreduce: { parameters: ["buffer", "buffer", "i32", handle, handle, handle], result: "i32" },
    MPI_Bcast: { parameters: ["buffer", "i32", handle, "i32", handle], result: "i32" },
    MPI_Allgatherv: {
      parameters: ["buffer", "i32", handle, "buffer", "buffer", "buffer", handle, handle],
      result: "i32",
    },
  } as const;
}

// deno-lint-ignore no-explicit-any -- the two kinds differ in the type of their handles alone
type Call = (...args: any[]) => number;
type FunctionName = keyof ReturnType<typeof functionsWith>;

/** An open library. It stays open until the process ends: MPI cannot be loaded twice. */
export class MpiLibrary {
  readonly path: string;
  readonly kind: MpiKind;
  readonly #functions: Readonly<Record<FunctionName, Call>>;
  readonly #handles: Readonly<Record<HandleName, Handle>>;

  /**
   * Opens the first of these files that there is.
   *
   * @throws {ConfigError} where there is none, or it is no MPI library.
   */
  static open(candidates: readonly string[]): MpiLibrary {
    const reasons: string[] = [];
    for (const path of candidates) {
      try {
        return new MpiLibrary(path);
      } catch (error) {
        if (error instanceof Deno.errors.NotCapable) throw error;
        reasons.push((error as Error).message);
      }
    }
    throw new ConfigError(unloadable(candidates, reasons));
  }

  private constructor(path: string) {
    this.path = path;
    const symbols = openMpiSymbols(path);
    this.kind = symbols === null ? "mpich" : "openmpi";
    this.#handles = symbols ?? MPICH_HANDLES;
    this.#functions =
      (symbols === null
        ? Deno.dlopen(path, functionsWith("i32")).symbols
        : Deno.dlopen(path, functionsWith("pointer")).symbols) as unknown as Record<FunctionName, Call>;
  }

  /** Its name for people. */
  get name(): string {
    return MPI_NAMES[this.kind];
  }

  /** First words of what it says of itself. */
  get version(): string {
    const text = new Uint8Array(8192), length = new Int32Array(1);
    this.#call("MPI_Get_library_version", text, length);
    const all = new TextDecoder().decode(text.subarray(0, length[0]));
    const number = /(?:Version:|v)\s*(\d+(?:\.\d+)+)/.exec(all)?.[1];
    return number === undefined ? this.name : `${this.name} ${number}`;
  }

  /** Of all ranks. */
  get world(): Handle {
    return this.#handles.world;
  }

  /**
   * Joins the world. Once in a process.
   *
   * @throws {ConfigError} where the library cannot be called from several threads.
   */
  async init(): Promise<void> {
    const provided = new Int32Array(1);
    // The one function that is not called on this thread.
    const init = this.#functions.MPI_Init_thread as unknown as (...args: unknown[]) => Promise<number>;
    this.#requireSuccess("MPI_Init_thread", await init(null, null, THREAD_MULTIPLE, provided));
    if (provided[0] < THREAD_MULTIPLE) {
      throw new ConfigError(
        `Cannot use "${this.path}": it must grant MPI_THREAD_MULTIPLE, current level is ${
          provided[0]
        }; take a library built with threads`,
      );
    }
    this.#call("MPI_Comm_set_errhandler", this.#handle(this.world), this.#handle(this.#handles.errorsReturn));
  }

  rank(comm: Handle): number {
    return this.#number("MPI_Comm_rank", comm);
  }

  size(comm: Handle): number {
    return this.#number("MPI_Comm_size", comm);
  }

  /** The same ranks, whose messages mix with no others. All ranks call it. */
  duplicate(comm: Handle): Handle {
    const out = new Uint8Array(HANDLE_BYTES), view = new DataView(out.buffer);
    this.#call("MPI_Comm_dup", this.#handle(comm), out);
    return this.kind === "mpich" ? view.getInt32(0, true) : view.getBigUint64(0, true);
  }

  /** Begins a barrier. @returns Tells whether all ranks have come to it. */
  startBarrier(comm: Handle): () => boolean {
    const request = new Uint8Array(HANDLE_BYTES);
    this.#call("MPI_Ibarrier", this.#handle(comm), request);
    return this.#ending(request);
  }

  /** Begins to send a few numbers, which must stay as they are until then. @returns Tells whether they are on their way. */
  startSend(values: Float64Array<ArrayBuffer>, to: number, comm: Handle): () => boolean {
    const request = new Uint8Array(HANDLE_BYTES);
    this.#call("MPI_Isend", values, values.length, this.#of("double"), to, 0, this.#handle(comm), request);
    return this.#ending(request);
  }

  #ending(request: Uint8Array<ArrayBuffer>): () => boolean {
    const flag = new Int32Array(1), status = new Uint8Array(STATUS_BYTES);
    return () => {
      if (flag[0] === 0) this.#call("MPI_Test", request, flag, status);
      return flag[0] !== 0;
    };
  }

  /** Takes what somebody has sent; false where nothing waits. For one thread of a communicator. */
  receive(into: Float64Array<ArrayBuffer>, comm: Handle): boolean {
    const flag = new Int32Array(1), status = new Uint8Array(STATUS_BYTES);
    const anySource = this.kind === "mpich" ? -2 : -1;
    this.#call("MPI_Iprobe", anySource, ANY_TAG, this.#handle(comm), flag, status);
    if (flag[0] === 0) return false;
    this.#call(
      "MPI_Recv",
      into,
      into.length,
      this.#of("double"),
      anySource,
      ANY_TAG,
      this.#handle(comm),
      status,
    );
    return true;
  }

  /** Sums over ranks. */
  sumFloats(from: Float32Array, into: Float32Array<ArrayBuffer>, comm: Handle): void {
    this.#call(
      "MPI_Allreduce",
      from,
      into,
      from.length,
      this.#of("float"),
      this.#of("sum"),
      this.#handle(comm),
    );
  }

  /** The largest of each place over ranks. */
  maxDoubles(from: Float64Array<ArrayBuffer>, comm: Handle): Float64Array<ArrayBuffer> {
    const into = new Float64Array(from.length);
    this.#call(
      "MPI_Allreduce",
      from,
      into,
      from.length,
      this.#of("double"),
      this.#of("max"),
      this.#handle(comm),
    );
    return into;
  }

  /** Gives one rank's bytes to all. */
  broadcast(bytes: Bytes, root: number, comm: Handle): void {
    this.#call("MPI_Bcast", bytes, bytes.byteLength, this.#of("byte"), root, this.#handle(comm));
  }

  /** Everybody's bytes, in the order of ranks. @param lengths Of each rank's. */
  gather(
    bytes: Uint8Array<ArrayBuffer>,
    lengths: readonly number[],
    comm: Handle,
  ): Uint8Array<ArrayBuffer>[] {
    const counts = Int32Array.from(lengths), starts = new Int32Array(lengths.length);
    for (let rank = 1; rank < lengths.length; rank++) starts[rank] = starts[rank - 1] + counts[rank - 1];
    const all = new Uint8Array(lengths.reduce((a, b) => a + b, 0));
    const byte = this.#of("byte");
    this.#call("MPI_Allgatherv", bytes, bytes.length, byte, all, counts, starts, byte, this.#handle(comm));
    return lengths.map((length, rank) => all.slice(starts[rank], starts[rank] + length));
  }

  /** Ends all ranks. */
  abort(code: number): void {
    this.#functions.MPI_Abort(this.#handle(this.world), code);
  }

  /** The same from a thread of the system, while this one goes on. */
  startAbort(code: number): void {
    const isNumber = this.kind === "mpich";
    const { MPI_Abort } = isNumber
      ? Deno.dlopen(this.path, {
        MPI_Abort: { parameters: ["i32", "i32"], result: "i32", nonblocking: true },
      }).symbols
      : Deno.dlopen(this.path, {
        MPI_Abort: { parameters: ["pointer", "i32"], result: "i32", nonblocking: true },
      })
        .symbols;
    void (MPI_Abort as (comm: number | Pointer, code: number) => Promise<number>)(
      this.#handle(this.world),
      code,
    );
  }

  /** Ends this process at once, without a word to anybody: for one that cannot say any. */
  exit(code: number): void {
    Deno.dlopen(this.path, { _exit: { parameters: ["i32"], result: "void" } }).symbols._exit(code);
  }

  /** Leaves the world, after which nothing may be asked. */
  finalize(): void {
    this.#call("MPI_Finalize");
  }

  #number(name: "MPI_Comm_rank" | "MPI_Comm_size", comm: Handle): number {
    const out = new Int32Array(1);
    this.#call(name, this.#handle(comm), out);
    return out[0];
  }

  #of(name: HandleName): number | Pointer {
    return this.#handle(this.#handles[name]);
  }

  #handle(handle: Handle): number | Pointer {
    return typeof handle === "number" ? handle : Deno.UnsafePointer.create(handle);
  }

  #call(name: FunctionName, ...args: unknown[]): void {
    this.#requireSuccess(name, this.#functions[name](...args));
  }

  #requireSuccess(name: FunctionName, code: number): void {
    if (code !== 0) throw new Error(`Cannot go on: ${name} of ${this.name} failed with code ${code}`);
  }
}

/** Why none of these files could be opened, from what the system said of each. */
export function unloadable(candidates: readonly string[], reasons: readonly string[]): string {
  const absent: string[] = [], wrong: string[] = [];
  candidates.forEach((path, i) => {
    const reason = reasons[i].replace(/^(Could not open library: )+/, "").trim();
    if (reason.startsWith(`${path}: cannot open shared object file: No such file`)) absent.push(`"${path}"`);
    else if (/undefined symbol: MPI_/.test(reason)) wrong.push(`"${path}" is a library, but not one of MPI`);
    else wrong.push(`"${path}" cannot be loaded (${reason.replace(`${path}: `, "")})`);
  });
  const missing = absent.length === 0
    ? []
    : [absent.length === 1 ? `${absent[0]} is not found` : `none of ${absent.join(", ")} is found`];
  return `Cannot load MPI: ${[...wrong, ...missing].join("; ")}; ` +
    `install the library of the launcher, or name its file in ${LIBRARY_VARIABLE}`;
}

/** Addresses of Open MPI's handles; null where the library has none, as MPICH. */
function openMpiSymbols(path: string): Record<HandleName, bigint> | null {
  const found = Deno.dlopen(path, {
    ...Object.fromEntries(
      Object.values(OPEN_MPI_SYMBOLS).map((name) => [name, { type: "pointer", optional: true } as const]),
    ),
    MPI_Init_thread: { parameters: [], result: "void" }, // what is no MPI library fails here
  }).symbols as unknown as Record<string, Pointer>;
  if (found[OPEN_MPI_SYMBOLS.world] === null) return null;
  return Object.fromEntries(
    Object.entries(OPEN_MPI_SYMBOLS).map(([name, symbol]) => [name, Deno.UnsafePointer.value(found[symbol])]),
  ) as Record<HandleName, bigint>;
}
