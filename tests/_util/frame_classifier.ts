/**
 * A classifier that sees one frame at a time: softmax regression on where and how the picture differs from its
 * background. It can read place, size and colour, so it shows whether these tell a class.
 */

/** One frame with its label. */
export interface LabelledFrame {
  readonly rgb: Uint8Array;
  readonly label: number;
}

/** Cells a side of the grid that the picture is summed over. */
const GRID = 8;

/** Difference from the commonest colour, per cell of a grid, then its mean, spread and the mean colour. */
export function frameFeatures(rgb: Uint8Array, size: { width: number; height: number }): Float64Array {
  const { width, height } = size;
  const features = new Float64Array(GRID * GRID + 6);
  const median = [0, 1, 2].map((c) => {
    const values = Uint8Array.from({ length: width * height }, (_, i) => rgb[3 * i + c]).sort();
    return values[values.length >> 1];
  });
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = 3 * (y * width + x);
      const difference =
        Math.hypot(rgb[at] - median[0], rgb[at + 1] - median[1], rgb[at + 2] - median[2]) > 40 ? 1 : 0;
      features[Math.floor((y * GRID) / height) * GRID + Math.floor((x * GRID) / width)] += difference / 8;
      features[GRID * GRID] += difference / 50;
      for (let c = 0; c < 3; c++) features[GRID * GRID + 1 + c] += rgb[at + c] / (255 * width * height);
    }
  }
  features[GRID * GRID + 4] = features[GRID * GRID] ** 2;
  features[GRID * GRID + 5] = 1;
  return features;
}

/** Trains on some frames and returns the share of other frames it classifies rightly. */
export function frameAccuracy(
  train: readonly LabelledFrame[],
  held: readonly LabelledFrame[],
  options: { width: number; height: number; classes: number; epochs?: number },
): number {
  const { classes, epochs = 15 } = options, count = GRID * GRID + 6;
  const weights = Array.from({ length: classes }, () => new Float64Array(count));
  const scores = (x: Float64Array) =>
    weights.map((row) => row.reduce((sum, weight, i) => sum + weight * x[i], 0));
  const samples = train.map(({ rgb, label }) => ({ x: frameFeatures(rgb, options), label }));
  for (let epoch = 0; epoch < epochs; epoch++) {
    const rate = 0.1 / (1 + epoch);
    for (const { x, label } of samples) {
      const logits = scores(x), top = Math.max(...logits);
      const powers = logits.map((logit) => Math.exp(logit - top));
      const sum = powers.reduce((a, b) => a + b);
      powers.forEach((power, k) => {
        const step = rate * ((k === label ? 1 : 0) - power / sum);
        for (let i = 0; i < count; i++) weights[k][i] += step * x[i];
      });
    }
  }
  const right = held.filter(({ rgb, label }) => {
    const logits = scores(frameFeatures(rgb, options));
    return logits.indexOf(Math.max(...logits)) === label;
  });
  return right.length / held.length;
}
