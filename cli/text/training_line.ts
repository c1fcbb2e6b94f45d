/**
 * The moving line of a training run. Steps are handed to the GPU before it has done them, and waiting for each would cost time; so
 * between two looks the line moves at the pace measured so far, and never beyond what was handed over.
 */
import { formatTerminalLine, type Progress } from "../../train/run/progress.ts";
import type { Moved, Totals } from "../../train/run/options.ts";
import type { StepRecord } from "../../train/files/run_folder.ts";
import type { Io } from "../shared/output.ts";

const TICK_MS = 250;

/** Draws where a run stands; without a terminal, nothing. Use with `using`. */
export class TrainingLine implements Disposable {
  readonly #io: Pick<Io, "isTerminal" | "columns" | "status">;
  #record: StepRecord | null = null;
  #totals: Totals | null = null;
  /** Steps that the GPU has done, when that was known, and those that it was handed. */
  #done = { step: 0, at: 0 };
  #handed = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(io: Pick<Io, "isTerminal" | "columns" | "status">) {
    this.#io = io;
  }

  moved({ step, isDone, ...totals }: Moved): void {
    this.#handed = step;
    if (isDone) this.#done = { step, at: performance.now() };
    this.#show(totals);
  }

  recorded(record: StepRecord, totals: Totals): void {
    this.#record = record;
    this.#handed = record.step;
    this.#done = { step: record.step, at: performance.now() };
    this.#show(totals);
  }

  /** Stops moving, as while something else is told. */
  pause(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  [Symbol.dispose](): void {
    this.pause();
  }

  #show(totals: Totals): void {
    this.#totals = totals;
    if (!this.#io.isTerminal) return;
    this.#draw();
    this.#timer ??= setInterval(() => this.#draw(), TICK_MS);
  }

  #draw(): void {
    const totals = this.#totals!;
    const progress: Progress = {
      record: this.#record,
      step: this.#stepNow(performance.now()),
      totalSteps: totals.steps,
      epochs: totals.epochs,
      secondsPerStep: totals.secondsPerStep,
      evaluationSeconds: totals.evaluationSeconds,
    };
    this.#io.status(formatTerminalLine(progress, this.#io.columns));
  }

  #stepNow(now: number): number {
    const { step, at } = this.#done, seconds = this.#totals?.secondsPerStep ?? null;
    if (seconds === null) return this.#handed;
    return Math.min(this.#handed, step + Math.floor((now - at) / 1000 / seconds));
  }
}
