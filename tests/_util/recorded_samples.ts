/** Frame indices recorded from the published loaders (`tests/fixtures/sampling.json`), and the replay of their draws. */
import assert from "node:assert/strict";
import recorded from "../fixtures/sampling.json" with { type: "json" };

/** One record, with the columns that its system and mode have. */
export interface RecordedSample {
  system: "side4video" | "tds-clip" | "side4video-retrieval" | "dist";
  mode: string;
  frames: number;
  indices?: number[];
  /** Every random draw in order: its bounds, then its values. */
  draws?: [low: number, high: number, ...values: number[]][];
  /** The original's error. */
  raises?: string;
  [column: string]: unknown;
}

/** All records of a system. */
export function recordedSamples<R extends RecordedSample>(system: R["system"]): R[] {
  return recorded.groups.filter((group) => group.system === system).flatMap(({ columns, rows, ...common }) =>
    (rows as unknown[][]).map((row) => {
      const filled = columns.map((name, i) => [name, row[i]] as const).filter(([, value]) => value != null);
      return { ...common, ...Object.fromEntries(filled) } as unknown as R;
    })
  );
}

/** Number of records of all systems. */
export const RECORDED_COUNT = recorded.groups.reduce((sum, { rows }) => sum + rows.length, 0);

/** Gives recorded draws of integers back in order, and checks that each is asked for with its recorded range. */
export function replayIntegers(draws: RecordedSample["draws"] = []) {
  const queue = draws.flatMap(([low, high, ...values]) =>
    values.map((value) => ({ size: high - low, offset: value - low }))
  );
  return {
    integer(n: number): number {
      const draw = queue.shift();
      assert(draw, "more draws than recorded");
      assert.equal(n, draw.size, "range of the draw");
      return draw.offset;
    },
    left: () => queue.length,
  };
}

/** Gives recorded draws from ranges back in order, as shares of their ranges. */
export function replayUniform(draws: RecordedSample["draws"] = []) {
  const queue = draws.flatMap(([low, high, ...values]) =>
    values.map((value) => high > low ? (value - low) / (high - low) : 0)
  );
  return {
    uniform(): number {
      const share = queue.shift();
      assert(share !== undefined, "more draws than recorded");
      return share;
    },
    left: () => queue.length,
  };
}
