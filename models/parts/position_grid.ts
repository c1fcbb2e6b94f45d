/**
 * Learnt position tables on another grid: bicubic, per channel, with the class token's place kept, as PyTorch's `interpolate`
 * does it with `align_corners=False`. With `antialias` it is another cubic (a = -1/2 rather than -3/4), wider where the grid shrinks,
 * whose weights are shared out anew at the border; without, the border's values are repeated.
 */

/** A row of weights over the old grid: the first place it touches, and the weights from there. */
interface Taps {
  first: number;
  weights: number[];
}

/**
 * Resizes a table [leading + from², width] to [leading + to², width].
 *
 * @param options.leading Rows before the grid that are kept: 1 for a class token.
 */
export function resizePositions(
  table: Float32Array,
  options: { leading: number; from: number; to: number; width: number; antialias: boolean },
): Float32Array {
  const { leading, from, to, width, antialias } = options;
  const taps = Array.from(
    { length: to },
    (_, i) => antialias ? smoothTaps(i, from, to) : plainTaps(i, from, to),
  );
  const grid = table.subarray(leading * width);
  const wide = new Float64Array(from * to * width); // [from to width]: columns first
  for (let y = 0; y < from; y++) {
    for (let x = 0; x < to; x++) {
      const { first, weights } = taps[x], place = (y * to + x) * width;
      weights.forEach((weight, j) => {
        const old = (y * from + first + j) * width;
        for (let c = 0; c < width; c++) wide[place + c] += weight * grid[old + c];
      });
    }
  }
  const out = new Float64Array(to * to * width);
  for (let y = 0; y < to; y++) {
    const { first, weights } = taps[y];
    weights.forEach((weight, j) => {
      const old = (first + j) * to * width, place = y * to * width;
      for (let i = 0; i < to * width; i++) out[place + i] += weight * wide[old + i];
    });
  }
  const result = new Float32Array((leading + to * to) * width);
  result.set(table.subarray(0, leading * width));
  result.set(out, leading * width);
  return result;
}

/** The cubic convolution kernel with slope `a` at 1. */
function cubic(x: number, a: number): number {
  const d = Math.abs(x);
  if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? (((d - 5) * d + 8) * d - 4) * a : 0;
}

/** Four neighbours; those beyond the border are the border itself. */
function plainTaps(i: number, from: number, to: number): Taps {
  const at = from / to * (i + 0.5) - 0.5, floor = Math.floor(at);
  const weights = new Array<number>(from).fill(0);
  for (let j = floor - 1; j <= floor + 2; j++) {
    weights[Math.min(from - 1, Math.max(0, j))] += cubic(at - j, -0.75);
  }
  return { first: 0, weights };
}

/** All places under a kernel as wide as the step between two new places. */
function smoothTaps(i: number, from: number, to: number): Taps {
  const scale = from / to, stretch = Math.max(1, scale), support = 2 * stretch, centre = scale * (i + 0.5);
  const first = Math.max(0, Math.trunc(centre - support + 0.5));
  const end = Math.min(from, Math.trunc(centre + support + 0.5));
  const weights = Array.from(
    { length: end - first },
    (_, j) => cubic((first + j - centre + 0.5) / stretch, -0.5),
  );
  const sum = weights.reduce((a, b) => a + b, 0);
  return { first, weights: weights.map((weight) => weight / sum) };
}
