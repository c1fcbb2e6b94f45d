/**
 * Seeded random numbers: one small generator for everything that draws (initialisation, sampling, synthesis), so that
 * a run depends on its seed and on nothing else. The generator is sfc32 (PractRand's small fast counter generator),
 * seeded through splitmix32.
 */

/** A source of reproducible random numbers. */
export interface Prng {
  /** Uniform in [0, 1), 32 bits of resolution. */
  uniform(): number;
  /** Uniform integer in 0 … n − 1. */
  integer(n: number): number;
  /** Standard normal (Box–Muller). */
  normal(): number;
  /** The four state words, for resuming exactly. */
  state(): [number, number, number, number];
}

/** 32-bit mixing step of splitmix32. */
function splitmix32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return (z ^ (z >>> 16)) >>> 0;
  };
}

/**
 * Creates a generator from one or more integers. Different tuples, such as `(seed, epoch, clip)`, give unrelated streams.
 *
 * @example `const prng = createPrng(1024, epoch, clipIndex)`
 */
export function createPrng(...seeds: number[]): Prng {
  let hash = 0x2545f491;
  for (const seed of seeds) {
    const low = seed >>> 0, high = Math.floor(seed / 0x100000000) >>> 0;
    hash = splitmix32(hash ^ low)() ^ Math.imul(high, 0x9e3779b1);
  }
  const mix = splitmix32(hash);
  const prng = restorePrng([mix(), mix(), mix(), 1]);
  for (let i = 0; i < 12; i++) prng.uniform();
  return prng;
}

/** Recreates a generator from `prng.state()`. */
export function restorePrng(words: readonly [number, number, number, number]): Prng {
  let [a, b, c, d] = words.map((word) => word | 0);
  const next = () => {
    const t = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + t | 0;
    return t >>> 0;
  };
  const uniform = () => next() / 0x100000000;
  return {
    uniform,
    integer: (n) => Math.floor(uniform() * n),
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
    state: () => [a >>> 0, b >>> 0, c >>> 0, d >>> 0],
  };
}
