/**
 * Normalisation of 8-bit pixels: `(value / 255 − mean) / std` per channel, each step rounded to f32 as PyTorch does it. A
 * channel has only 256 values, so CPU and GPU share one table and agree to the last bit.
 */

/** Per-channel mean and standard deviation, red, green, blue. */
export interface PixelStatistics {
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
}

/** Statistics of OpenAI's CLIP models. */
export const CLIP_STATISTICS: PixelStatistics = {
  mean: [0.48145466, 0.4578275, 0.40821073],
  std: [0.26862954, 0.26130258, 0.27577711],
};

/** Normalised values, `[3 256]`: channel-major, indexed by the 8-bit value. */
export function normalisationTable(statistics: PixelStatistics): Float32Array {
  const table = new Float32Array(3 * 256);
  for (let channel = 0; channel < 3; channel++) {
    const mean = Math.fround(statistics.mean[channel]), std = Math.fround(statistics.std[channel]);
    for (let value = 0; value < 256; value++) {
      table[channel * 256 + value] = Math.fround(Math.fround(value / 255) - mean) / std;
    }
  }
  return table;
}
