/**
 * What a verb tells while somebody waits for it: on a terminal one line that moves, elsewhere a plain line for a stage that takes
 * long, and another now and then while it goes on.
 */
import { formatCount, formatDuration, progressBar } from "../../lib/text.ts";
import type { Stage, TellStage } from "../../lib/stage.ts";
import type { Io } from "../shared/output.ts";

/** When something is told. */
export interface StageTimes {
  /** Stages of which no one has left a line in a log for so long: the one under way does, however short it has been. */
  quietMs: number;
  /** Between two lines of one stage in a log. */
  repeatMs: number;
  /** Between two pictures of the moving line, which shows that time goes on. */
  tickMs: number;
}

const TIMES: StageTimes = { quietMs: 3000, repeatMs: 15_000, tickMs: 1000 };
/** Between two pictures of a stage that moves fast. */
const FRAME_MS = 80;

/** Width of a line in a log: it has no bar. */
const LOG_COLUMNS = 59;

/** Tells stages. Use with `using`: the line goes when it is closed. */
export interface Stages extends Disposable {
  /** Tells that a stage has begun or moved on. */
  readonly tell: TellStage;
  /** Ends the line, until another stage is told. */
  end(): void;
}

/** A stage in words; with its bar where there is room. @param seconds Since it began. */
export function formatStage(stage: Stage, seconds: number, columns: number): string {
  const { what, done, of, unit = "" } = stage;
  const isCounted = done !== undefined && of !== undefined && of > 0;
  const counts = isCounted ? ` ${formatCount(done)} of ${formatCount(of)}${unit && ` ${unit}`}` : "";
  const bar = isCounted && columns >= 60 ? `▕${progressBar(done / of, 10)}▏ ` : "";
  const time = seconds >= 2 ? ` · ${formatDuration(seconds)}` : "";
  return `${bar}${what}${counts}${time}`.slice(0, Math.max(0, columns - 1));
}

/** Begins to tell stages. */
export function tellStages(
  io: Pick<Io, "isTerminal" | "columns" | "note" | "status">,
  { quietMs, repeatMs, tickMs }: StageTimes = TIMES,
): Stages {
  let current: Stage | null = null,
    began = 0,
    told = 0,
    drawn = 0,
    quietSince = 0, // since nothing was told
    timer: ReturnType<typeof setInterval> | undefined;
  const show = () => {
    if (current === null) return;
    const now = performance.now(), seconds = (now - began) / 1000;
    if (io.isTerminal) return io.status(formatStage(current, seconds, io.columns));
    if (told > 0 ? now - told < repeatMs : now - quietSince < quietMs) return;
    told = quietSince = now;
    io.note(formatStage(current, seconds, LOG_COLUMNS));
  };
  const end = () => {
    if (current !== null && io.isTerminal) io.status("");
    current = null;
    clearInterval(timer);
    timer = undefined;
  };
  return {
    tell(stage) {
      const now = performance.now();
      if (current === null) quietSince = now;
      if (current?.what !== stage.what) [began, told, drawn] = [now, 0, 0];
      current = stage;
      if (now - drawn >= FRAME_MS || stage.done === stage.of) {
        drawn = now;
        show();
      }
      timer ??= setInterval(show, tickMs);
    },
    end,
    [Symbol.dispose]: end,
  };
}
