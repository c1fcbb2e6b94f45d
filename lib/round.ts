/** Rounding as Python, NumPy and PyTorch do it. */

/** Rounds half to even: 0.5 → 0, 1.5 → 2, 2.5 → 2, as Python and NumPy do and `Math.round` does not. */
export function roundHalfToEven(x: number): number {
  const floor = Math.floor(x), fraction = x - floor;
  if (fraction !== 0.5) return fraction < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}
