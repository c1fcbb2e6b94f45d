/** Circles in a graph of imports. */

/**
 * Every group of files that import each other in a circle, as one shortest circle of it: the files in the order of their imports,
 * from the first by name. Empty where there is none.
 *
 * @param imports Imports by file; those of files that are no key are left out.
 */
export function findCircles(imports: ReadonlyMap<string, readonly string[]>): string[][] {
  const reached = new Map<string, ReadonlySet<string>>();
  for (const file of imports.keys()) reached.set(file, reachableFrom(file, imports));
  const circles: string[][] = [], told = new Set<string>();
  for (const file of [...imports.keys()].sort()) {
    if (told.has(file) || !reached.get(file)!.has(file)) continue;
    for (const other of reached.get(file)!) if (reached.get(other)?.has(file)) told.add(other);
    circles.push(shortestCircle(file, imports));
  }
  return circles;
}

/** The files that one imports, directly or by way of others. */
function reachableFrom(file: string, imports: ReadonlyMap<string, readonly string[]>): Set<string> {
  const seen = new Set<string>(), waiting = [file];
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    for (const next of imports.get(at) ?? []) {
      if (seen.has(next) || !imports.has(next)) continue;
      seen.add(next);
      waiting.push(next);
    }
  }
  return seen;
}

/** The shortest way from a file back to itself; there must be one. */
function shortestCircle(file: string, imports: ReadonlyMap<string, readonly string[]>): string[] {
  const cameFrom = new Map<string, string>(), waiting = [file];
  for (const at of waiting) {
    for (const next of imports.get(at) ?? []) {
      if (next === file) {
        const circle = [at];
        while (circle[0] !== file) circle.unshift(cameFrom.get(circle[0])!);
        return circle;
      }
      if (cameFrom.has(next) || !imports.has(next)) continue;
      cameFrom.set(next, at);
      waiting.push(next);
    }
  }
  return [file];
}
