/** Going over many clips: a few at once, in an order that is the same on every machine. */
import pMap from "p-map";

export interface WalkOptions {
  signal?: AbortSignal;
  onProgress?: (done: number, total: number) => void;
}

/** Names in code-point order, the same on every machine (`localeCompare` is not). */
export function sortNames(names: Iterable<string>): string[] {
  return [...names].sort((a, b) => {
    for (let i = 0; i < Math.min(a.length, b.length); i++) {
      const difference = rank(a.charCodeAt(i)) - rank(b.charCodeAt(i));
      if (difference !== 0) return difference;
    }
    return a.length - b.length;
  });
}

/** Halves of a surrogate pair stand for code points above all that have one unit. */
function rank(unit: number): number {
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit;
}

/** Applies `work` to each item, a few at once; the results keep the items' order. After a failure no more are begun. */
export async function mapConcurrently<T, R>(
  items: readonly T[],
  work: (item: T, index: number) => Promise<R>,
  options: { atOnce: number } & WalkOptions,
): Promise<R[]> {
  const { atOnce, signal, onProgress } = options;
  let done = 0;
  return await pMap(items, async (item, index) => {
    const result = await work(item, index);
    onProgress?.(++done, items.length);
    return result;
  }, { concurrency: atOnce, signal });
}
