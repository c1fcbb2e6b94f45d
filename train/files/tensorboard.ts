/**
 * A run's metrics for TensorBoard (`logging.tensorboard`): event files in the run's folder, one each time it goes on, so that
 * `tensorboard --logdir runs` shows every run under its name.
 */

import { join } from "node:path";
import { bytesOfFile, namesIn, writeError, writeFileWhole } from "../../data/files.ts";
import { encodeEvent, FILE_VERSION, type LoggedEvent, readEvents, type Scalars } from "./event_file.ts";
import type { MetricsRecord } from "./records.ts";

const NAME = /^events\.out\.tfevents\.(\d+)\.sidenet\./;
/** Larger event files are left as they are: nobody writes them here. */
const MOST_BYTES = 2 ** 30;
/** What a record holds besides scalars. */
const PLACE = ["kind", "epoch", "step"];

/** Names of the event files in a run's folder, in the order in which they were begun. */
export async function eventFiles(run: string): Promise<string[]> {
  return (await namesIn(run)).filter((name) => NAME.test(name)).sort();
}

/** The scalars of a line of metrics: "train/…" of a step, "eval/…" of an evaluation. */
export function scalarsOf(record: MetricsRecord): Scalars {
  const prefix = record.kind === "step" ? "train" : "eval";
  return Object.fromEntries(
    Object.entries(record).flatMap(([key, value]) =>
      typeof value === "number" && !PLACE.includes(key) ? [[`${prefix}/${key}`, value]] : []
    ),
  );
}

/**
 * Cuts a run's event files back to the state that it goes on from, as `truncateMetrics` does its metrics.
 *
 * @param evaluated Whether the evaluation made at exactly that step, if any, belongs to the state.
 */
export async function cutEvents(run: string, step: number, evaluated: boolean): Promise<void> {
  for (const name of await eventFiles(run)) {
    const file = join(run, name), bytes = await bytesOfFile(file, MOST_BYTES);
    const kept = [...readEvents(bytes)].filter(({ event }) => belongs(event, { step, evaluated }));
    if (kept.reduce((sum, one) => sum + one.bytes.length, 0) === bytes.length) continue;
    await writeFileWhole(file, kept.map((one) => one.bytes));
  }
}

function belongs(event: LoggedEvent, state: { step: number; evaluated: boolean }): boolean {
  if (event.fileVersion !== undefined) return true;
  const isEvaluation = Object.keys(event.scalars).some((tag) => tag.startsWith("eval/"));
  if (isEvaluation && !state.evaluated) return event.step < state.step;
  return event.step <= state.step || event.restart === true && event.step === state.step + 1;
}

/** The event file of a run's process. It is made with its first record. */
export class EventLog implements Disposable {
  readonly #path: string;
  readonly #begin: readonly LoggedEvent[];
  #file: Deno.FsFile | null = null;

  private constructor(path: string, begin: readonly LoggedEvent[]) {
    this.#path = path;
    this.#begin = begin;
  }

  /**
   * Chooses a file behind those that are there.
   *
   * @param step Of the state that the run goes on from; 0 at its beginning.
   */
  static async in(run: string, { step }: { step: number }): Promise<EventLog> {
    const newest = Math.max(0, ...(await eventFiles(run)).map((name) => Number(NAME.exec(name)![1])));
    const wallTime = Date.now() / 1000, seconds = Math.max(Math.floor(wallTime), newest + 1);
    const path = join(run, `events.out.tfevents.${String(seconds).padStart(10, "0")}.sidenet.0`);
    const restart: LoggedEvent[] = step > 0 ? [{ wallTime, step: step + 1, restart: true, scalars: {} }] : [];
    return new EventLog(path, [{ wallTime, step: 0, fileVersion: FILE_VERSION, scalars: {} }, ...restart]);
  }

  /** Appends a line of metrics. */
  add(record: MetricsRecord): void {
    const events = [
      ...this.#file === null ? this.#begin : [],
      { wallTime: Date.now() / 1000, step: record.step, scalars: scalarsOf(record) },
    ];
    try {
      this.#file ??= Deno.openSync(this.#path, { create: true, append: true });
      for (const event of events) {
        const bytes = encodeEvent(event);
        for (let written = 0; written < bytes.length;) {
          written += this.#file.writeSync(bytes.subarray(written));
        }
      }
    } catch (error) {
      throw writeError(this.#path, error);
    }
  }

  [Symbol.dispose](): void {
    this.#file?.close();
  }
}
