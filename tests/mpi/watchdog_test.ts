/** Who of the ranks is absent is found from what their watches say to each other; time is given here, and words pass at once. */
import assert from "node:assert/strict";
import { WatchMemory } from "../../mpi/watch_memory.ts";
import { type Absence, describeAbsence, Watchdog } from "../../mpi/watchdog.ts";

const LIMIT_MS = 10_000, TICK = 200;

/** A job whose ranks run in this process. */
class Job {
  readonly memories: WatchMemory[];
  readonly watchdogs: Watchdog[];
  readonly stopped = new Set<number>();
  now = 0;
  said = 0;

  constructor(size: number) {
    this.memories = Array.from({ length: size }, () => new WatchMemory(size));
    this.watchdogs = this.memories.map((_, rank) => new Watchdog({ rank, size, limitMs: LIMIT_MS }));
  }

  /** Lets time pass until a rank finds another one absent. */
  until(limitMs: number): { rank: number; absence: Absence; after: number } | null {
    for (const start = this.now; this.now - start < limitMs; this.now += TICK) {
      for (const [rank, watchdog] of this.watchdogs.entries()) {
        if (this.stopped.has(rank)) continue;
        const slots = this.memories[rank].slots(), { tell, absence } = watchdog.look(this.now, slots);
        const word = {
          rank,
          numbers: slots.map(({ number }) => number),
          waits: slots.map(({ isWaiting }) => isWaiting),
        };
        this.said += tell.length;
        for (const other of tell) if (!this.stopped.has(other)) this.watchdogs[other].hear(word);
        if (absence !== null) return { rank, absence, after: this.now - start };
      }
    }
    return null;
  }

  begin(ranks: readonly number[], what: string, limitMs = LIMIT_MS): void {
    for (const rank of ranks) this.memories[rank].begin("gpu", what, limitMs);
  }

  end(ranks: readonly number[]): void {
    for (const rank of ranks) this.memories[rank].end("gpu");
  }
}

Deno.test("a rank that is somewhere else is named when the limit is over, once, by the first of the others", () => {
  const job = new Job(3);
  job.begin([1, 2], "the gradients of step 7");
  const found = job.until(60_000)!;
  assert.deepEqual([found.rank, found.absence.ranks, found.absence.isSilent], [1, [0], false]);
  assert.ok(found.after > LIMIT_MS && found.after < LIMIT_MS + 6000, `${found.after}`);
});

Deno.test("a process that is stopped within an exchange that all have come to is named, not those that wait for it elsewhere", () => {
  const job = new Job(3);
  job.begin([0, 1, 2], "the gradients of step 7");
  assert.equal(job.until(5000), null);
  job.stopped.add(1); // it has said that it waits
  job.end([2]); // rank 2 has what it came for, and waits for the next batch
  job.memories[2].begin("main", "the next batch", LIMIT_MS);
  const { rank, absence } = job.until(60_000)!;
  assert.deepEqual([rank, absence.ranks, absence.isSilent], [0, [1], true]);
});

Deno.test("who stands still is found within the limit where the exchange itself may take hours; who works is waited for", () => {
  const job = new Job(2), hours = 3 * 3600_000;
  job.begin([0], "the start", hours);
  assert.equal(job.until(600_000), null);
  job.stopped.add(1);
  const { absence, after } = job.until(60_000)!;
  assert.deepEqual([absence.ranks, absence.isSilent, absence.what], [[1], true, "the start"]);
  assert.ok(after < LIMIT_MS + 6000, `${after}`);
});

Deno.test("a job that is stopped as a whole goes on, and a process that was stopped alone says so of itself", () => {
  const job = new Job(2);
  job.begin([0, 1], "the next batch");
  assert.equal(job.until(3000), null);
  job.now += 3600_000;
  assert.equal(job.until(4000), null);
  job.end([0, 1]);
  job.begin([1], "the next batch");
  assert.equal(job.until(3000), null);
  job.now += 60_000;
  job.stopped.add(0); // gone meanwhile
  const { absence } = job.until(60_000)!, names = ["rank 0 (a, process 1)", "rank 1 (b, process 2)"];
  assert.match(
    describeAbsence(absence, { rank: 1, names, generalLimitMs: LIMIT_MS }),
    /rank 1 \(b, process 2\), this process, must take part in the next batch within 10 seconds .* stood still for 60/,
  );
});

Deno.test("quick exchanges say nothing to anybody", () => {
  const job = new Job(4), all = [0, 1, 2, 3];
  for (let step = 0; step < 50; step++) {
    job.begin(all, `step ${step}`);
    assert.equal(job.until(800), null);
    job.end(all);
    assert.equal(job.until(400), null);
  }
  assert.equal(job.said, 0);
  job.begin([0], "a slow step");
  job.until(1600);
  assert.ok(job.said > 0);
});

Deno.test("an absence is told in one line, with the limit's setting where it is that limit", () => {
  const names = ["rank 0 (a, process 1)", "rank 1 (b, process 2)"],
    told = { rank: 0, names, generalLimitMs: LIMIT_MS };
  const absence = { ranks: [1], isSilent: false, what: "the next batch", limitMs: LIMIT_MS, stoodStillMs: 0 };
  assert.equal(
    describeAbsence(absence, told),
    "Cannot go on: rank 1 (b, process 2) must take part in the next batch within 10 seconds (SIDENET_MPI_TIMEOUT), " +
      "and has not; its process answers: it is stuck or too slow",
  );
  assert.match(
    describeAbsence({ ...absence, isSilent: true, limitMs: 3600_000 }, told),
    /within 3600 seconds, and has not; its process does not answer: dead or stopped, or the machine hangs$/,
  );
});

Deno.test("threads of a process see the same exchanges, numbered, with texts of any length", () => {
  const memory = new WatchMemory(2), other = new WatchMemory(memory.buffer);
  memory.begin("main", "ä".repeat(500), 24 * 3600_000);
  const [{ number, isWaiting, limitMs, what }, gpu] = other.slots();
  assert.deepEqual([number, isWaiting, limitMs], [1, true, 24 * 3600_000]);
  assert.match(what, /^ä{128}$/);
  assert.equal(gpu.isWaiting, false);
  memory.place = { rank: 1, size: 2 };
  assert.deepEqual(other.names, ["rank 0", "rank 1"]);
  memory.names = ["rank 0 (a, process 1)", "rank 1 (b, process 2)"];
  assert.equal(other.names[1], "rank 1 (b, process 2)");
});
