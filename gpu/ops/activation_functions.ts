/** The activations in f64: what kernels are judged against. */

/** The error function: the series of Kummer's transformation, whose terms are all positive. */
export function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x, sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= 2 * x * x / (2 * n + 1);
    sum += term;
  }
  return 2 / Math.sqrt(Math.PI) * Math.exp(-x * x) * sum;
}

/** The logistic function. */
export function sigmoid(z: number): number {
  return 1 / (1 + Math.exp(-z));
}

/** Value and derivative of each activation. */
export const ACTIVATIONS = {
  /** `max(x, 0)`, with derivative 0 at 0 as in torch */
  relu: { value: (x: number) => Math.max(x, 0), slope: (x: number) => x > 0 ? 1 : 0 },
  /** `x/2 (1 + erf(x/√2))` */
  gelu: {
    value: (x: number) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
    slope: (x: number) => 0.5 * (1 + erf(x / Math.SQRT2)) + x * Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI),
  },
  /** CLIP's `x · sigmoid(1.702 x)` */
  quickGelu: {
    value: (x: number) => x * sigmoid(1.702 * x),
    slope: (x: number) => sigmoid(1.702 * x) * (1 + 1.702 * x * sigmoid(-1.702 * x)),
  },
} as const;
