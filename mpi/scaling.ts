/**
 * How long a step takes on more ranks, before they are there: from what one machine has measured and a network's bandwidth. The batch
 * stays what it is, so a rank has fewer clips the more ranks there are.
 *
 *     compute(R)  = fixed + perClip * clips(R)          clips(R) = the largest rank's share of the batch
 *     exchange(R) = 2 (R - 1) / R * bytes / bandwidth   a ring: every rank sends and takes each of R parts twice
 *                 + 2 (R - 1) * latency
 *                 + copies                              gradients to the host and back, 0 for R = 1
 *     loading(R)  = clips(R) * ranks of a machine / clips a second that a machine loads
 *     step(R)     = max(compute(R) + exchange(R), loading(R))
 *
 * Clips are loaded while the step before is computed; the exchange waits for the last gradient and is not hidden.
 */

/** What was measured, and what is assumed. Times in seconds, sizes in bytes. */
export interface ScalingFacts {
  /** Clips of the whole batch. */
  readonly clips: number;
  /** Of a step, whatever its clips, and of each of them. */
  readonly fixedSeconds: number;
  readonly clipSeconds: number;
  /** Of all gradients. */
  readonly gradientBytes: number;
  /** Of gradients to the host and back. */
  readonly copySeconds: number;
  /** Bytes a second between two ranks. */
  readonly bandwidth: number;
  readonly latencySeconds: number;
  /** Clips a second that one machine loads; null: not measured. */
  readonly loadedPerSecond: number | null;
  /** Ranks of one machine. */
  readonly ranksPerNode: number;
}

/** A step on so many ranks. */
export interface ScaledStep {
  readonly ranks: number;
  /** Of a rank, at most. */
  readonly clips: number;
  readonly computeSeconds: number;
  readonly exchangeSeconds: number;
  readonly loadingSeconds: number;
  readonly stepSeconds: number;
  readonly clipsPerSecond: number;
  /** Of the speed that as many ranks would have without loss. */
  readonly efficiency: number;
  /** What takes most of it. */
  readonly limit: StepLimit;
}

/** What a step may wait for. */
export type StepLimit = "arithmetic" | "exchange" | "loading";

/** A step on some clips that was measured. */
export interface MeasuredStep {
  readonly clips: number;
  readonly seconds: number;
}

/**
 * What a step takes whatever its clips, and for each of them, from two sizes. Where the first cannot be told from what measurements
 * vary by, it is 0 and the larger size alone counts.
 */
export function splitStep(
  few: MeasuredStep,
  many: MeasuredStep,
): Pick<ScalingFacts, "fixedSeconds" | "clipSeconds"> {
  const clipSeconds = Math.max(0, many.seconds - few.seconds) / (many.clips - few.clips);
  const fixedSeconds = many.seconds - clipSeconds * many.clips;
  return fixedSeconds > 0
    ? { fixedSeconds, clipSeconds }
    : { fixedSeconds: 0, clipSeconds: many.seconds / many.clips };
}

/** Twice the ranks must be so many times as fast, or they do not pay. */
export const WORTH = 4 / 3;

/** The step on so many ranks. */
export function scaledStep(facts: ScalingFacts, ranks: number): ScaledStep {
  const alone = timesOf(facts, 1), times = timesOf(facts, ranks);
  return {
    ranks,
    ...times,
    clipsPerSecond: facts.clips / times.stepSeconds,
    efficiency: alone.stepSeconds / times.stepSeconds / ranks,
  };
}

/** Steps on 1, 2, 4, … ranks, up to `most` and with it. */
export function scalingOf(facts: ScalingFacts, most: number): ScaledStep[] {
  const counts: number[] = [];
  for (let ranks = 1; ranks < most; ranks *= 2) counts.push(ranks);
  return [...counts, most].map((ranks) => scaledStep(facts, ranks));
}

/**
 * The largest of these numbers of ranks that pays: it is `WORTH` times as fast for each doubling since the one before it that does. One
 * in between may not pay, as where ranks of one machine share what it loads, and those of two do not.
 */
export function paysUpTo(steps: readonly ScaledStep[]): number {
  return payingSteps(steps).at(-1)!.ranks;
}

/** The steps that pay, the first among them. */
export function payingSteps(steps: readonly ScaledStep[]): ScaledStep[] {
  const paying = [steps[0]];
  for (const step of steps.slice(1)) {
    const last = paying.at(-1)!;
    const gain = last.stepSeconds / step.stepSeconds, doublings = Math.log2(step.ranks / last.ranks);
    if (gain >= WORTH ** doublings) paying.push(step);
  }
  return paying;
}

/** Time of a ring's all-reduce. */
export function ringSeconds(
  { gradientBytes: bytes, bandwidth, latencySeconds }: Pick<
    ScalingFacts,
    "gradientBytes" | "bandwidth" | "latencySeconds"
  >,
  ranks: number,
): number {
  return 2 * (ranks - 1) / ranks * bytes / bandwidth + 2 * (ranks - 1) * latencySeconds;
}

function timesOf(facts: ScalingFacts, ranks: number) {
  const clips = Math.ceil(facts.clips / ranks), together = Math.min(ranks, facts.ranksPerNode);
  const computeSeconds = facts.fixedSeconds + facts.clipSeconds * clips;
  const exchangeSeconds = ranks === 1 ? 0 : ringSeconds(facts, ranks) + facts.copySeconds;
  const loadingSeconds = facts.loadedPerSecond === null ? 0 : clips * together / facts.loadedPerSecond;
  const stepSeconds = Math.max(computeSeconds + exchangeSeconds, loadingSeconds);
  const limit: StepLimit = loadingSeconds > computeSeconds + exchangeSeconds
    ? "loading"
    : exchangeSeconds > computeSeconds
    ? "exchange"
    : "arithmetic";
  return { clips, computeSeconds, exchangeSeconds, loadingSeconds, stepSeconds, limit };
}

/**
 * A bandwidth as people write it, in bytes a second: "25GB/s", "100Gbit/s", "900 MB/s".
 *
 * @returns null where it is none.
 */
export function parseBandwidth(text: string): number | null {
  const [, number, prefix, unit] = /^\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(i?B|bit|b)(?:\/s|ps)?\s*$/i.exec(text) ??
    [];
  if (number === undefined) return null;
  const isBits = /^b(it)?$/.test(unit), base = /^i/.test(unit) ? 1024 : 1000;
  const value = Number(number) * base ** ["", "K", "M", "G", "T"].indexOf(prefix.toUpperCase()) /
    (isBits ? 8 : 1);
  return value > 0 ? value : null;
}
