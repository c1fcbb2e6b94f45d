/** How a batch that does not go through the GPU at once is cut: into parts that are as equal as can be. */

import type { InputValues } from "./objective.ts";

/** How batches are cut. */
export interface Cut {
  /** Clips that go through the GPU at once, at most. */
  readonly microClips?: number;
  /** Every clip stays with the one in its place of the reversed batch, with which it may be mixed. */
  readonly pairs?: boolean;
}

/**
 * The clips of each part of a batch, by their places in it.
 *
 * In parts of pairs, a part's reversed order is that of the batch: mixing it mixes the same clips.
 *
 * @example `microBatches(5, { microClips: 2 })` is [[0, 1], [2, 3], [4]]
 */
export function microBatches(clips: number, { microClips = Infinity, pairs = false }: Cut): number[][] {
  if (clips <= microClips) return [span(0, clips)];
  if (!pairs) {
    return shares(clips, Math.ceil(clips / microClips)).map(([start, end]) => span(start, end));
  }
  const halves = Math.ceil(clips / 2), most = Math.max(1, Math.floor(microClips / 2));
  return shares(halves, Math.ceil(halves / most)).map(([start, end]) => {
    const back = Math.max(clips - end, end); // an odd batch has a clip that is its own partner
    return [...span(start, end), ...span(back, clips - start)];
  });
}

/** The sizes of the parts of batches, each once. */
export function microSizes(batches: readonly number[], cut: Cut): number[] {
  return [...new Set(batches.flatMap((clips) => microBatches(clips, cut).map(({ length }) => length)))];
}

/**
 * A rank's share of a batch, by places in it; none where there are fewer than ranks. In pairs, the share's reversed order is that of the
 * batch, as in `microBatches`.
 *
 * @example `rankPlaces(5, { rank: 1, ranks: 2 })` is [3, 4]
 */
export function rankPlaces(
  count: number,
  { rank, ranks, pairs = false }: { rank: number; ranks: number; pairs?: boolean },
): number[] {
  if (!pairs) return span(...shares(count, ranks)[rank]);
  const [start, end] = shares(Math.ceil(count / 2), ranks)[rank];
  return start === end ? [] : [...span(start, end), ...span(Math.max(count - end, end), count - start)];
}

/** Clips of a rank in a batch of so many. */
export function rankClips(
  clips: number,
  options: { rank: number; ranks: number; copies: number; pairs: boolean },
): number {
  return rankPlaces(clips / options.copies, options).length * options.copies;
}

/** The values of some clips, from those of a batch, `[clips …]` row-major. */
export function pickClips(
  inputs: Readonly<Record<string, InputValues>>,
  places: readonly number[],
  clips: number,
): Record<string, InputValues> {
  if (places.length === clips) return inputs;
  return Object.fromEntries(
    Object.entries(inputs).map(([name, values]) => {
      const each = values.length / clips, picked = values.slice(0, places.length * each);
      places.forEach((place, i) => picked.set(values.subarray(place * each, (place + 1) * each), i * each));
      return [name, picked];
    }),
  );
}

/** Cuts 0 … n into so many ranges whose lengths differ by one at most, the longer ones first. */
function shares(n: number, count: number): [number, number][] {
  const least = Math.floor(n / count), longer = n % count;
  return span(0, count).map((i) => {
    const start = i * least + Math.min(i, longer);
    return [start, start + least + (i < longer ? 1 : 0)];
  });
}

function span(start: number, end: number): number[] {
  return Array.from({ length: Math.max(0, end - start) }, (_, i) => start + i);
}
