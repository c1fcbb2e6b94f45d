/** Words for what a checkpoint holds and is not read. */
import { formatCount, shorten } from "../../lib/text.ts";

const MOST_TOLD = 8;

/** Objects that are not read, by the names of their globals: "argparse.Namespace (args), numpy.ndarray (rng, and 3 more)". */
export function foreignText(foreign: readonly (readonly [name: string, type: string])[]): string {
  const byType = new Map<string, string[]>();
  for (const [name, type] of foreign) byType.set(type, [...byType.get(type) ?? [], name]);
  const types = [...byType].map(([type, [first, ...others]]) =>
    `${shorten(type)} (${shorten(first)}${
      others.length === 0 ? "" : `, and ${formatCount(others.length)} more`
    })`
  );
  const left = types.length - MOST_TOLD;
  return types.slice(0, MOST_TOLD).join(", ") + (left > 0 ? ` and ${formatCount(left)} other classes` : "");
}
