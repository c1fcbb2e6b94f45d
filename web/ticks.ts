/** The labels of a time axis. */

/** Steps between the labels of the time axis, in seconds, and how many labels at most. */
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600],
  MOST_TICKS = 6;
/** Widths of a letter of a label and of the room between two, in pixels. */
const LETTER = 7.5, BETWEEN = 14;

/** Times to label on an axis of so many pixels, none into the next. @param letters Letters of a label. */
export function tickTimes(seconds: number, { width, letters }: { width: number; letters: number }): number[] {
  // The first and the last stand within the axis, so that one label's width is not for others.
  const room = Math.floor(width / (letters * LETTER + BETWEEN)) - 1;
  const most = Math.max(1, Math.min(MOST_TICKS, room));
  const step = STEPS.find((one) => seconds / one <= most) ?? 3600 * Math.ceil(seconds / 3600 / most);
  return Array.from({ length: Math.floor(seconds / step + 1e-9) + 1 }, (_, i) => i * step);
}
