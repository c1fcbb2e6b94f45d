/**
 * Mixup (Zhang et al. 2018, https://arxiv.org/abs/1710.09412) and CutMix (Yun et al. 2019,
 * https://arxiv.org/abs/1905.04899) over a whole batch, as in timm (https://github.com/huggingface/pytorch-image-models):
 * every clip is mixed with the one in its place of the reversed batch, all in the same way.
 */
import type { BatchMix } from "../../pixels/batch_mix.ts";
import type { Prng } from "../../lib/random.ts";

/** How batches are mixed. */
export interface MixPolicy {
  /** Parameter of the symmetric beta distribution of mixup's weight; 0: no mixup. */
  readonly mixupAlpha: number;
  /** The same for the share that CutMix leaves; 0: no CutMix. */
  readonly cutMixAlpha: number;
  /** Probability of CutMix where both are on. */
  readonly cutMixProbability: number;
}

/** The policy of the published code. */
export const PUBLISHED_MIX: MixPolicy = { mixupAlpha: 0.8, cutMixAlpha: 1, cutMixProbability: 0.5 };

/** Label smoothing of mixed targets, whatever that of plain ones is. */
export const MIX_SMOOTHING = 0.1;

/** Random numbers of a mix. */
export interface MixDraws {
  uniform(): number;
  integer(n: number): number;
  /** Beta distributed with parameters (alpha, alpha). */
  beta(alpha: number): number;
}

/** Draws for a mix from a generator. Beta by Jöhnk's method, which suits parameters of about 1 and below. */
export function mixDraws(prng: Pick<Prng, "uniform" | "integer">): MixDraws {
  return {
    uniform: () => prng.uniform(),
    integer: (n) => prng.integer(n),
    beta(alpha) {
      for (;;) {
        const x = prng.uniform() ** (1 / alpha), y = prng.uniform() ** (1 / alpha);
        if (x + y > 0 && x + y <= 1) return x / (x + y);
      }
    },
  };
}

/**
 * Draws how a batch is mixed: which kind where both are on, the weight, and for CutMix the row and the column of the box's
 * centre.
 *
 * @example `sampleMix({ width: 224, height: 224 }, PUBLISHED_MIX, mixDraws(createPrng(seed, epoch, batch)))`
 */
export function sampleMix(
  frame: { width: number; height: number },
  policy: MixPolicy,
  draws: MixDraws,
): BatchMix {
  const { mixupAlpha, cutMixAlpha, cutMixProbability } = policy;
  const cuts = cutMixAlpha > 0 && (mixupAlpha <= 0 || draws.uniform() < cutMixProbability);
  if (!cuts) return { kind: "mixup", weight: mixupAlpha > 0 ? draws.beta(mixupAlpha) : 1 };
  const { width, height } = frame;
  const side = Math.sqrt(1 - draws.beta(cutMixAlpha));
  const halfHeight = Math.floor(Math.trunc(height * side) / 2);
  const halfWidth = Math.floor(Math.trunc(width * side) / 2);
  const row = draws.integer(height), column = draws.integer(width);
  const top = Math.max(0, row - halfHeight), left = Math.max(0, column - halfWidth);
  const box = {
    x: left,
    y: top,
    width: Math.min(width, column + halfWidth) - left,
    height: Math.min(height, row + halfHeight) - top,
  };
  return { kind: "cutMix", weight: 1 - box.width * box.height / (width * height), box };
}

/** Smoothed targets of a mixed batch, `[B K]` row-major; with weight 1 those of the labels alone. */
export function mixTargets(
  labels: readonly number[],
  weight: number,
  options: { classes: number; smoothing: number },
): Float32Array {
  const { classes, smoothing } = options;
  const off = Math.fround(smoothing / classes), on = Math.fround(1 - smoothing + smoothing / classes);
  const own = Math.fround(weight), partners = Math.fround(1 - weight);
  const targets = new Float32Array(labels.length * classes);
  labels.forEach((label, clip) => {
    const other = labels[labels.length - 1 - clip];
    for (let k = 0; k < classes; k++) {
      const a = Math.fround((k === label ? on : off) * own),
        b = Math.fround((k === other ? on : off) * partners);
      targets[clip * classes + k] = a + b;
    }
  });
  return targets;
}

/**
 * Weights target distributions by class, in place: each target by the weight of its class, over the mean weight of the
 * batch's labels. The mean loss is then that of torch's `CrossEntropyLoss(weight, label_smoothing)`, Σ w·loss / Σ w. For
 * mixed targets too, because mixing does not change the sum over a batch.
 *
 * @param targets `[B K]` row-major.
 * @param labels `[B]`, of which not all may have weight 0.
 * @param weights `[K]`
 */
export function weightTargets(
  targets: Float32Array,
  labels: readonly number[],
  weights: ArrayLike<number>,
): Float32Array {
  const classes = weights.length;
  const mean = labels.reduce((sum, label) => sum + weights[label], 0) / labels.length;
  for (let i = 0; i < targets.length; i++) targets[i] *= weights[i % classes] / mean;
  return targets;
}

/** Mixes normalised clips `[B planes H W]`, B clips of as many planes; the definition of `gpu/frames/mix.ts`. */
export function mixClips(
  clips: Float32Array,
  mix: BatchMix,
  shape: { clips: number; width: number; height: number },
): Float32Array {
  const { width, height } = shape, size = clips.length / shape.clips;
  const own = Math.fround(mix.weight), partners = Math.fround(1 - mix.weight);
  return clips.map((value, i) => {
    const within = i % size;
    const other = clips[(shape.clips - 1 - Math.floor(i / size)) * size + within];
    if (mix.kind === "mixup") return Math.fround(value * own) + Math.fround(other * partners);
    const { box } = mix, x = within % width, y = Math.floor(within / width) % height;
    const cut = x >= box.x && x < box.x + box.width && y >= box.y && y < box.y + box.height;
    return cut ? other : value;
  });
}
