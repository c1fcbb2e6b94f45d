/** Frames that are too large for what comes behind the decoder, and the size to which they are shrunk. */

interface Size {
  readonly width: number;
  readonly height: number;
}

/** Which frames are shrunk, and how far. */
export interface ShrinkRule extends Size {
  /** Short side of a frame that is larger than this width or height. */
  readonly side: number;
}

/** Size of the stored form of a frame: its short side is no more than `side`, the long one in proportion, rounded down. */
export function storedSize(
  { width, height }: Size,
  side: number,
): { width: number; height: number } {
  if (Math.min(width, height) <= side) return { width, height };
  if (width <= height) return { width: side, height: Math.floor(side * height / width) };
  return { width: Math.floor(side * width / height), height: side };
}

/** Size in which a frame is to be given: its own where that may be, or where shrinking would not help either. */
export function shrunkSize(
  { width, height }: Size,
  rule: ShrinkRule | null | undefined,
): { width: number; height: number } {
  const isWithin = (size: Size) => !rule || size.width <= rule.width && size.height <= rule.height;
  if (!rule || isWithin({ width, height })) return { width, height };
  const shrunk = storedSize({ width, height }, rule.side);
  return isWithin(shrunk) ? shrunk : { width, height };
}

/** Whether two sizes are the same. */
export function isSameSize(a: Size, b: Size): boolean {
  return a.width === b.width && a.height === b.height;
}
