/** Event files for TensorBoard: checksums against published values, fields against a reader of their own, and runs that go on. */

import assert from "node:assert/strict";
import { join } from "node:path";
import {
  encodeEvent,
  FILE_VERSION,
  type LoggedEvent,
  maskedCrc,
  readEvents,
} from "../../../train/files/event_file.ts";
import { readMetrics } from "../../../train/files/run_folder.ts";
import { cutEvents, eventFiles } from "../../../train/files/tensorboard.ts";
import { engineTest } from "../../_util/engine.ts";
import { resumedRun, smallConfig, smallRun, stoppedRun } from "../run/_small.ts";

/** Turns TensorFlow's mask back. */
function unmasked(crc: number): number {
  const turned = crc - 0xa282ead8 >>> 0;
  return (turned >>> 17 | turned << 15) >>> 0;
}

Deno.test("the checksum is CRC-32C: the values of RFC 3720", () => {
  const of = (bytes: ArrayLike<number>) => unmasked(maskedCrc(Uint8Array.from(bytes)));
  assert.equal(of(new Uint8Array(32)), 0x8a9136aa);
  assert.equal(of(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  assert.equal(of(Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
  assert.equal(of(new TextEncoder().encode("123456789")), 0xe3069283);
});

Deno.test("a record is what TensorFlow's own writer makes of it", () => {
  // Event{wall_time: 1.5, step: 300, summary{value{tag: "a", simple_value: 0.5}}} by the rules of protocol buffers, byte by byte.
  const payload = [
    ...[0x09, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f],
    ...[0x10, 0xac, 0x02],
    ...[0x2a, 0x0a, 0x0a, 0x08, 0x0a, 0x01, 0x61, 0x15, 0, 0, 0, 0x3f],
  ];
  const bytes = encodeEvent({ wallTime: 1.5, step: 300, scalars: { a: 0.5 } });
  assert.deepEqual([...bytes.subarray(0, 8)], [payload.length, 0, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual([...bytes.subarray(12, -4)], payload);
  const view = new DataView(bytes.buffer);
  assert.equal(view.getUint32(8, true), maskedCrc(bytes.subarray(0, 8)));
  assert.equal(view.getUint32(bytes.length - 4, true), maskedCrc(Uint8Array.from(payload)));
});

Deno.test("readEvents() reads what was written, and stops at what is cut off or damaged", () => {
  const events: LoggedEvent[] = [
    { wallTime: 7, step: 0, fileVersion: FILE_VERSION, scalars: {} },
    { wallTime: 8.25, step: 12, restart: true, scalars: {} },
    { wallTime: 9, step: 2 ** 40, scalars: { "train/löss": 0.25, ["x".repeat(300)]: -1 } },
    { wallTime: 10, step: 1, scalars: { "train/loss": Infinity } },
  ];
  const parts = events.map(encodeEvent), file = new Uint8Array(parts.flatMap((part) => [...part]));
  const read = (bytes: Uint8Array) => [...readEvents(bytes)].map(({ event }) => event);
  assert.deepEqual(read(file), events);
  assert.deepEqual(read(file.subarray(0, -1)), events.slice(0, 3));
  const damaged = file.slice();
  damaged[parts[0].length + parts[1].length + 20] ^= 1;
  assert.deepEqual(read(damaged), events.slice(0, 2));
  assert.deepEqual(read(new Uint8Array(5)), []);
});

engineTest(
  "a run's event files hold its metrics, each step once, however often it was interrupted",
  async () => {
    const config = await smallConfig(["logging.tensorboard=true", "logging.print_freq=1", "solver.epochs=2"]);
    const { path: whole } = await smallRun(config);
    const stopped = await stoppedRun(config, 4);
    const first = join(stopped, (await eventFiles(stopped))[0]);
    // What a kill leaves: records behind the state, the last cut off.
    const ahead = encodeEvent({ wallTime: 1, step: 9, scalars: { "train/loss": 9 } });
    Deno.writeFileSync(first, ahead, { append: true });
    Deno.writeFileSync(first, ahead.subarray(0, 20), { append: true });
    await resumedRun(config, stopped);
    for (const [path, files] of [[whole, 1], [stopped, 2]] as const) {
      const names = await eventFiles(path), { steps, evals } = await readMetrics(path);
      assert.equal(names.length, files);
      const all = names.flatMap((name) => [...readEvents(Deno.readFileSync(join(path, name)))]);
      assert.equal(all.filter(({ event }) => event.fileVersion === FILE_VERSION).length, files);
      const scalars = (tag: string) =>
        all.filter(({ event }) => tag in event.scalars).map(({ event }) => [event.step, event.scalars[tag]]);
      const rounded = (records: { step: number }[], key: string) =>
        records.map((
          record,
        ) => [record.step, Math.fround((record as unknown as Record<string, number>)[key])]);
      assert.deepEqual(scalars("train/loss"), rounded(steps, "loss"));
      assert.deepEqual(scalars("train/lr"), rounded(steps, "lr"));
      assert.deepEqual(scalars("eval/top1"), rounded(evals, "top1"));
      assert.deepEqual(steps.map(({ step }) => step), Array.from({ length: 12 }, (_, i) => i + 1));
    }
  },
);

Deno.test("cutEvents() keeps an evaluation at the state's step only where the state has seen it", async () => {
  const run = await Deno.makeTempDir();
  try {
    const file = join(run, "events.out.tfevents.0000000001.sidenet.0");
    const events: LoggedEvent[] = [
      { wallTime: 1, step: 0, fileVersion: FILE_VERSION, scalars: {} },
      { wallTime: 2, step: 3, scalars: { "train/loss": 1 } },
      { wallTime: 3, step: 3, scalars: { "eval/top1": 1 } },
      { wallTime: 4, step: 4, scalars: { "train/loss": 1 } },
    ];
    const write = () =>
      Deno.writeFile(file, Uint8Array.from(events.flatMap((event) => [...encodeEvent(event)])));
    const left = () => [...readEvents(Deno.readFileSync(file))].map(({ event }) => event.wallTime);
    await write();
    await cutEvents(run, 4, false);
    assert.deepEqual(left(), [1, 2, 3, 4]);
    await cutEvents(run, 3, true);
    assert.deepEqual(left(), [1, 2, 3]);
    await cutEvents(run, 3, false);
    assert.deepEqual(left(), [1, 2]);
  } finally {
    await Deno.remove(run, { recursive: true });
  }
});
