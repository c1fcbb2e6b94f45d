import assert from "node:assert/strict";
import { DecodePool, defaultWorkerCount } from "../../../data/frames/decode_pool.ts";

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
