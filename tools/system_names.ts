/**
 * Where code names a published system. Such knowledge belongs to the system's own files, to its recipes and to the dialects of
 * published files; everything else asks the record of a system.
 */
import { withoutComments } from "./sources.ts";

/** A place in code that names a system. */
export interface NamedPlace {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** The name, small and without what separates its words. */
  readonly name: string;
}

/** Words of ids that say what a thing is, and are no system's own. */
const COMMON_WORDS = ["clip", "retrieval"];

/**
 * The words by which systems are known, from their ids: "tds-clip" gives "tds". Ids are words of small letters and digits with
 * "-" between them.
 */
export function systemNames(ids: readonly string[]): string[] {
  const words = ids.flatMap((id) => id.split("-"));
  return [...new Set(words)].filter((word) => !COMMON_WORDS.includes(word));
}

/**
 * The places where names stand in identifiers, strings and paths; not in comments. A name counts as whole words of an
 * identifier only: "dist" is found in `distStep`, `DIST_RATE`, "a-dist.yaml" and "DiST", and not in `distance`.
 */
export function findSystemNames(
  files: readonly { file: string; text: string }[],
  names: readonly string[],
): NamedPlace[] {
  return files.flatMap(({ file, text }) =>
    withoutComments(text).split("\n").flatMap((code, index) =>
      namesIn(code, names).map((name) => ({ file, line: index + 1, name }))
    )
  );
}

/** Words of identifiers: small letters, perhaps with a capital first; capitals; digits. */
const WORD = /[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+/g;

/** The names in a line, each once. */
function namesIn(code: string, names: readonly string[]): string[] {
  const words = [...code.matchAll(WORD)].map(({ 0: word, index }) => ({ word, index }));
  const found = new Set<string>();
  words.forEach(({ index: start }, first) => {
    let joined = "", end = start;
    for (const { word, index } of words.slice(first)) {
      if (index !== end) break; // a name is written without a gap
      joined += word.toLowerCase();
      end = index + word.length;
      if (names.includes(joined)) found.add(joined);
    }
  });
  return [...found];
}
