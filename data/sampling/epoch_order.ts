/** In which order the clips of an epoch come. */
import { ConfigError } from "../../lib/errors.ts";
import { createPrng } from "../../lib/random.ts";
import { evenlyDrawn } from "./class_balance.ts";

/** One position of an epoch: which clip, and what its random numbers depend on. */
export interface OrderEntry {
  readonly clip: number;
  readonly epoch: number;
  /** How many independently augmented copies of the same decoded frames are delivered (repeated augmentation). */
  readonly repeat: number;
  /** How often the clip came before in this epoch: each time it is drawn and augmented anew. Absent: 0. */
  readonly occurrence?: number;
}

export interface EpochOrderOptions {
  /** Number of clips in the list. */
  clips: number;
  epoch: number;
  seed: number;
  /** Random order (training) or list order (evaluation). */
  shuffle: boolean;
  /** Clips a batch. */
  batchSize: number;
  /** Leave out the last batch when it is not full. */
  dropLast?: boolean;
  /** Skip so many clips: where an interrupted epoch goes on. */
  start?: number;
  /** Copies of each clip, `data.num_sample` of the originals. Default 1. */
  repeat?: number;
  /** How often each clip comes. Default 1. */
  rounds?: number;
  /** Labels of the clips: the epoch is as long as without them, but its classes come equally often. */
  evenClasses?: readonly number[];
}

/** Number of batches of an epoch of so many clips, repetitions included, from its start. */
export function batchesPerEpoch(options: { clips: number; batchSize: number; dropLast?: boolean }): number {
  const batches = options.clips / options.batchSize;
  return options.dropLast ? Math.floor(batches) : Math.ceil(batches);
}

/**
 * The clips of one epoch in order. The order depends on `seed` and `epoch` alone, so an epoch resumed behind n clips sees
 * exactly what the uninterrupted one would have seen from there.
 */
export function epochOrder(options: EpochOrderOptions): OrderEntry[] {
  const { clips, epoch, seed, shuffle, batchSize, start = 0, repeat = 1, rounds = 1, evenClasses } = options;
  if (!Number.isInteger(batchSize) || batchSize < 1) {
    throw new ConfigError(
      `Cannot order an epoch: the batch size must be at least 1, current value is ${batchSize}`,
    );
  }
  const length = clips * rounds;
  const order = evenClasses
    ? evenlyDrawn(evenClasses, { seed, epoch, length })
    : Uint32Array.from({ length }, (_, i) => i % clips);
  if (shuffle) {
    const prng = createPrng(seed, epoch, ORDER_STREAM);
    for (let i = length - 1; i > 0; i--) {
      const j = prng.integer(i + 1);
      [order[i], order[j]] = [order[j], order[i]];
    }
  }
  const came = new Uint32Array(clips);
  const entries = Array.from(order, (clip) => ({ clip, epoch, repeat, occurrence: came[clip]++ }));
  const end = Math.min(length, batchesPerEpoch({ ...options, clips: length }) * batchSize);
  return entries.slice(Math.min(start, end), end);
}

/** Separates the draws of the order from those of frames and augmentation, which share (seed, epoch). */
const ORDER_STREAM = 0x6f726465;
