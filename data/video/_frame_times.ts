/** Times of pictures as a decoder gives them, made into ones that never go back. */

/** Times of the pictures in the order in which they are shown. */
export interface FrameTimes {
  /** In ticks, none before the one in front of it. */
  readonly times: Float64Array;
  /** They are those of the decoder, and tell the pictures apart. */
  readonly exact: boolean;
}

/** A time further back than this begins anew, as in files put together from several; less is a flaw of the file. */
const RESTART_SECONDS = 1;

/**
 * Fills gaps evenly between the times known, and goes on where times begin anew.
 *
 * @param given in the order in which the decoder gives the pictures; NaN where it gives no time
 * @returns null where fewer than two are known of several
 */
export function settleTimes(given: readonly number[], tickSeconds: number): FrameTimes | null {
  const exact = given.every((time, i) => Number.isFinite(time) && (i === 0 || time > given[i - 1]));
  if (exact) return { times: Float64Array.from(given), exact };
  const known: { frame: number; time: number }[] = [];
  let shift = 0, step = 0;
  given.forEach((told, frame) => {
    if (!Number.isFinite(told)) return;
    const last = known.at(-1);
    if (last !== undefined && (last.time - told - shift) * tickSeconds > RESTART_SECONDS) {
      shift = last.time + step - told;
    }
    const time = Math.max(told + shift, last?.time ?? -Infinity);
    if (last !== undefined && time > last.time) step = (time - last.time) / (frame - last.frame);
    known.push({ frame, time });
  });
  if (known.length < 2) return null;
  const first = known[0], last = known.at(-1)!;
  const mean = (last.time - first.time) / (last.frame - first.frame);
  let next = 0;
  const times = Float64Array.from(given, (_, frame) => {
    while (next < known.length && known[next].frame < frame) next++;
    const before = known[next - 1], after = known[next];
    if (before === undefined) return Math.round(first.time - (first.frame - frame) * mean);
    if (after === undefined) return Math.round(last.time + (frame - last.frame) * mean);
    const share = (frame - before.frame) / (after.frame - before.frame);
    return Math.round(before.time + share * (after.time - before.time));
  });
  return { times, exact };
}
