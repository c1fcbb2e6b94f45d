/**
 * A fixed pool of decode workers. Workers are never replaced (a terminated one does not give all its memory back), and
 * none is handed more than a few jobs at a time, because `postMessage` alone has no back-pressure.
 */
import type { DecodeAnswer, DecodeJob, DecodeRequest, DecodeResult } from "./decode_worker.ts";

/** Jobs a worker holds at most: the one it works on and the next, so that it never waits for a message. */
const CREDITS_PER_WORKER = 2;

interface Waiting {
  readonly job: DecodeJob;
  resolve(result: DecodeResult<DecodeRequest>): void;
  reject(error: Error): void;
}

interface Member {
  readonly worker: Worker;
  readonly held: Map<number, Waiting>;
}

/** Default number of workers: one core stays free for the run itself. */
export function defaultWorkerCount(): number {
  return Math.max(1, Math.min(4, navigator.hardwareConcurrency - 1));
}

/** Memory of the machine for each worker: its own, and the pictures that it works on. */
const WORKER_BYTES = 2 ** 29;

/** Workers, or programs that decode a video, at once at most: more than two a core only wait for each other. */
export function mostWorkers(): number {
  const byMemory = Math.floor(Deno.systemMemoryInfo().total / WORKER_BYTES);
  return Math.max(1, Math.min(Math.max(4, 2 * navigator.hardwareConcurrency), byMemory));
}

/** Workers at rest, for the next pool; null where they end with their own. */
let idleWorkers: Worker[] | null = null;

/**
 * Keeps the workers of closed pools for the next ones, until the process is gone: a run opens a pool for every evaluation, and a worker
 * takes an eighth of a second to start. For programs that end by an exit of their own, as kept workers would hold up any other.
 */
export function keepDecodeWorkers(): void {
  idleWorkers ??= [];
}

function startWorker(): Worker {
  return idleWorkers?.pop() ?? new Worker(new URL("./decode_worker.ts", import.meta.url), { type: "module" });
}

export class DecodePool implements AsyncDisposable {
  readonly #members: Member[] = [];
  readonly #queue: Waiting[] = [];
  #nextId = 0;
  #failure: Error | null = null;
  #isBroken = false;
  #idle: (() => void) | null = null;

  constructor(workers: number) {
    for (let i = 0; i < workers; i++) {
      const worker = startWorker();
      const member: Member = { worker, held: new Map() };
      worker.onmessage = (event: MessageEvent<DecodeAnswer>) => this.#take(member, event.data);
      worker.onerror = (event) => {
        event.preventDefault();
        idleWorkers = idleWorkers?.filter((other) => other !== worker) ?? null;
        this.#fail(new Error(`Cannot decode frames: a decode worker failed: ${event.message}`));
      };
      worker.onmessageerror = () =>
        this.#fail(new Error("Cannot decode frames: a worker's answer was unreadable"));
      this.#members.push(member);
    }
  }

  /** Decodes a clip in the least busy worker. The caller bounds how many clips it asks for at once. */
  decode<R extends DecodeRequest>(request: R): Promise<DecodeResult<R>> {
    if (this.#failure) return Promise.reject(this.#failure);
    const { promise, resolve, reject } = Promise.withResolvers<DecodeResult<DecodeRequest>>();
    this.#queue.push({ job: { ...request, id: this.#nextId++ }, resolve, reject });
    this.#dispatch();
    return promise as Promise<DecodeResult<R>>; // a worker answers each request with its own kind of result
  }

  #dispatch(): void {
    while (this.#queue.length > 0) {
      const member = this.#members.reduce((a, b) => (b.held.size < a.held.size ? b : a));
      if (member.held.size >= CREDITS_PER_WORKER) return;
      const waiting = this.#queue.shift()!;
      member.held.set(waiting.job.id, waiting);
      // Pictures to encode go over; the caller is done with them.
      member.worker.postMessage(waiting.job, "rgb" in waiting.job ? [waiting.job.rgb.buffer] : []);
    }
    if (this.#members.every((member) => member.held.size === 0)) this.#idle?.();
  }

  #take(member: Member, answer: DecodeAnswer): void {
    const waiting = member.held.get(answer.id);
    if (!waiting) return; // answered after a failure
    member.held.delete(answer.id);
    if ("result" in answer) waiting.resolve(answer.result);
    else waiting.reject(new Error(`Cannot decode "${waiting.job.path}": ${answer.error}`));
    this.#dispatch();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#isBroken = true;
    const abandoned = [
      ...this.#queue.splice(0),
      ...this.#members.flatMap((member) => [...member.held.values()]),
    ];
    for (const member of this.#members) member.held.clear();
    for (const waiting of abandoned) waiting.reject(this.#failure);
    this.#idle?.();
  }

  /** Waits for the jobs in work, refuses the others, ends the workers where they are not kept. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#failure ??= new Error("Cannot decode frames: the pool is closed");
    for (const waiting of this.#queue.splice(0)) waiting.reject(this.#failure);
    if (this.#members.some((member) => member.held.size > 0)) {
      await new Promise<void>((resolve) => this.#idle = resolve);
    }
    for (const { worker } of this.#members.splice(0)) {
      if (idleWorkers && !this.#isBroken) idleWorkers.push(worker);
      else worker.terminate();
    }
  }
}
