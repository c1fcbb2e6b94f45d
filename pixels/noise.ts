/**
 * Standard normal noise that CPU and GPU make alike to the last bit: a hash of (seed, position) chooses one of 2^16
 * quantiles. Random erasing fills with it.
 */

/** Number of quantiles; the largest is 4.3 standard deviations out. */
export const NOISE_LEVELS = 65536;

/** Quantile of the standard normal distribution, relative error below 1.2e-9 (P. J. Acklam's rational approximation). */
export function normalQuantile(p: number): number {
  if (p > 0.5) return -normalQuantile(1 - p);
  if (p < 0.02425) {
    const q = Math.sqrt(-2 * Math.log(p));
    return (((((-7.784894002430293e-3 * q - 3.223964580411365e-1) * q - 2.400758277161838) * q -
              2.549732539343734) * q + 4.374664141464968) * q + 2.938163982698783) /
      ((((7.784695709041462e-3 * q + 3.224671290700398e-1) * q + 2.445134137142996) * q + 3.754408661907416) *
          q + 1);
  }
  const q = p - 0.5, r = q * q;
  return (((((-3.969683028665376e1 * r + 2.209460984245205e2) * r - 2.759285104469687e2) * r +
            1.38357751867269e2) * r - 3.066479806614716e1) * r + 2.506628277459239) *
    q /
    (((((-5.447609879822406e1 * r + 1.615858368580409e2) * r - 1.556989798598866e2) * r +
              6.680131188771972e1) * r - 1.328068155288572e1) * r + 1);
}

/** The noise values by number, `[65536]`. */
export function noiseTable(): Float32Array {
  return Float32Array.from({ length: NOISE_LEVELS }, (_, i) => normalQuantile((i + 0.5) / NOISE_LEVELS));
}

/** Number of the noise value at a position of a clip (two rounds of a 32-bit multiply and shift mixer). */
export function noiseIndex(seed: number, position: number): number {
  let hash = Math.imul(position, 0x9e3779b9) ^ seed;
  for (let round = 0; round < 2; round++) {
    hash = Math.imul(hash ^ (hash >>> 16), 0x7feb352d);
    hash = Math.imul(hash ^ (hash >>> 15), 0x846ca68b);
    hash = (hash ^ (hash >>> 16)) + seed | 0;
  }
  return hash >>> 16;
}
