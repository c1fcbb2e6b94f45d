import assert from "node:assert/strict";
import { ReadAhead } from "../../data/read_ahead.ts";

const MIB = 2 ** 20;

Deno.test("places are given while there is room, and always to the next clip", () => {
  const room = new ReadAhead(64 * MIB);
  const places = [room.take(true), room.take(false)];
  assert.ok(places.every((place) => place?.bytes === 32 * MIB));
  assert.equal(room.take(false), null);
  assert.notEqual(room.take(true), null);
});

Deno.test("a clip that is read gives back what it does not need, and the next are expected to be like it", () => {
  const room = new ReadAhead(64 * MIB), first = room.take(true)!;
  first.settle(8 * MIB);
  const rest = Array.from({ length: 10 }, () => room.take(false)).filter((place) => place !== null);
  assert.deepEqual(rest.map(({ bytes }) => bytes), Array(5).fill(10 * MIB));
});

Deno.test("a clip that has more waits for room, or until it is the next", async () => {
  const room = new ReadAhead(64 * MIB), told: string[] = [];
  const first = room.take(true)!, second = room.take(false)!;
  const grown = second.grow(100 * MIB).then(() => told.push("second"));
  const own = first.grow(60 * MIB).then(() => told.push("first"));
  await own;
  assert.deepEqual(told, ["first"]);
  first.release();
  await Promise.resolve();
  assert.deepEqual(told, ["first"]); // 100 MiB never fit
  second.becomeNext();
  await grown;
  assert.equal(second.bytes, 100 * MIB);
});

Deno.test("who waits is told when the reading ends", async () => {
  const room = new ReadAhead(64 * MIB);
  room.take(true);
  const waiting = room.take(false)!.grow(100 * MIB);
  room.close(new Error("over"));
  await assert.rejects(waiting, { message: "over" });
});
