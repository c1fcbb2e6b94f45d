/** Errors of what we compute against what a case recorded. */

/** Result of one group. */
export interface GroupResult {
  case: string;
  group: string;
  max_abs: number;
  /** Largest error of a tensor relative to its own largest value, over the group's tensors. */
  max_rel: number;
  tolerance: number;
  ok: boolean;
  /** The tensor that was worst, when the group has several. */
  worst?: string;
}

/** One pair to compare. */
export interface Pair {
  name: string;
  actual: ArrayLike<number>;
  expected: ArrayLike<number>;
  /** How much of an element's error counts: 1 all of it, 0 none, less than 1 where the value itself is uncertain. */
  mask?: ArrayLike<number>;
  /** Tolerance of this tensor where it is wider than the group's: the recorded value is itself that uncertain. */
  tolerance?: number;
}

/** How a group is judged: the larger of absolute and relative error by default only one of them counts. */
export interface Judgement {
  tolerance: number;
  by: "absolute" | "relative";
}

/** Compares a group of tensors. A non-finite value fails whatever the tolerance. */
export function compareGroup(
  caseName: string,
  group: string,
  pairs: readonly Pair[],
  judgement: Judgement,
): GroupResult {
  let maxAbs = 0, maxRel = 0, worst = "", worstJudged = -1;
  for (const { name, actual, expected, mask, tolerance = judgement.tolerance } of pairs) {
    if (actual.length !== expected.length) {
      throw new RangeError(
        `Cannot compare "${name}": it must have ${expected.length} elements, current count is ${actual.length}`,
      );
    }
    let abs = 0, largest = 0;
    for (let i = 0; i < expected.length; i++) {
      largest = Math.max(largest, Math.abs(expected[i]));
      if (mask && mask[i] === 0) continue;
      const error = Math.abs(actual[i] - expected[i]) * (mask ? mask[i] : 1);
      abs = Number.isFinite(error) ? Math.max(abs, error) : Infinity;
    }
    const rel = abs === 0 ? 0 : abs / Math.max(largest, 1e-12);
    maxAbs = Math.max(maxAbs, abs);
    maxRel = Math.max(maxRel, rel);
    // In units of what is allowed, so that tensors with different tolerances are compared with each other.
    const judged = (judgement.by === "absolute" ? abs : rel) / tolerance;
    if (judged > worstJudged) [worst, worstJudged] = [name, judged];
  }
  return {
    case: caseName,
    group,
    max_abs: maxAbs,
    max_rel: maxRel,
    tolerance: judgement.tolerance,
    ok: worstJudged <= 1,
    ...(pairs.length > 1 ? { worst } : {}),
  };
}
