/** At most so many at once, first come, first served. */
export class Slots {
  #free: number;
  readonly #queue: (() => void)[] = [];
  readonly #running = new Set<Promise<unknown>>();

  constructor(count: number) {
    this.#free = count;
  }

  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#queue.push(resolve));
    const running = Promise.try(() => {
      signal.throwIfAborted();
      return work();
    });
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
      const next = this.#queue.shift();
      if (next) next();
      else this.#free++;
    }
  }

  /** Resolves when nothing runs any more. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
  }
}
