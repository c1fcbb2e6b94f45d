import assert from "node:assert/strict";
import { DecodePool, defaultWorkerCount, keepDecodeWorkers } from "../../../data/frames/decode_pool.ts";

const request = { folder: "/nowhere", path: "nowhere", frameCount: 1, indices: [1] };

Deno.test("an error in a worker that is not the clip's fault reaches the caller, and the pool goes on", async () => {
  await using pool = new DecodePool(1);
  await assert.rejects(
    pool.decode({ ...request, template: "no field", first: 1 }),
    /Cannot decode "nowhere": Cannot use frame template/,
  );
  const clip = await pool.decode({ ...request, template: "{:05d}.jpg", first: 1 });
  assert(clip.bad);
});

Deno.test("closing the pool finishes what is in work and refuses what waits", async () => {
  const pool = new DecodePool(1);
  const jobs = Array.from({ length: 5 }, () => pool.decode({ ...request, template: "{:05d}.jpg", first: 1 }));
  const settled = Promise.allSettled(jobs);
  await pool[Symbol.asyncDispose]();
  const states = (await settled).map((result) => result.status);
  assert.deepEqual(states, ["fulfilled", "fulfilled", "rejected", "rejected", "rejected"]);
});

Deno.test("the default number of workers leaves a core free and is at least one", () => {
  const count = defaultWorkerCount();
  assert(count >= 1 && count <= 4 && (count < navigator.hardwareConcurrency || count === 1));
});

/** A worker that answers at once, or fails at a path of this name. */
class PromptWorker {
  static started = 0;
  static ended = 0;
  static latest: PromptWorker;
  onmessage?: (event: { data: unknown }) => void;
  onerror?: (event: { message: string; preventDefault(): void }) => void;

  constructor() {
    PromptWorker.started++;
    PromptWorker.latest = this;
  }

  postMessage({ id, path }: { id: number; path: string }): void {
    queueMicrotask(() => {
      if (path === "failure") this.onerror?.({ message: "out of memory", preventDefault() {} });
      else this.onmessage?.({ data: { id, result: path } });
    });
  }

  terminate(): void {
    PromptWorker.ended++;
  }
}

// Last: whoever keeps workers does so until the process is gone.
Deno.test("kept workers serve the next pool, but for those of a pool in which one failed", async () => {
  const { Worker } = globalThis, job = { ...request, template: "{:05d}.jpg", first: 1 };
  const counts = () => [PromptWorker.started, PromptWorker.ended];
  const use = async (workers: number, path: string) => {
    await using pool = new DecodePool(workers);
    return await pool.decode({ ...job, path }).then(
      (result) => result as unknown,
      (error: Error) => error.message,
    );
  };
  globalThis.Worker = PromptWorker as unknown as typeof Worker;
  try {
    assert.equal(await use(2, "one"), "one");
    assert.deepEqual(counts(), [2, 2]);
    keepDecodeWorkers();
    await use(2, "two");
    assert.deepEqual(counts(), [4, 2]);
    assert.equal(await use(3, "three"), "three");
    assert.deepEqual(counts(), [5, 2]);
    assert.match(await use(2, "failure") as string, /a decode worker failed: out of memory/);
    assert.deepEqual(counts(), [5, 4]);
    assert.equal(await use(1, "four"), "four");
    assert.deepEqual(counts(), [5, 4]);
    assert.equal(await use(2, "five"), "five");
    assert.deepEqual(counts(), [6, 4]);
    PromptWorker.latest.onerror?.({ message: "died at rest", preventDefault() {} });
    assert.equal(await use(2, "six"), "six");
    assert.deepEqual(counts(), [7, 4], "one that died at rest serves no pool");
  } finally {
    globalThis.Worker = Worker;
  }
});
