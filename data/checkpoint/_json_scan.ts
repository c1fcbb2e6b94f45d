/**
 * A look at JSON from outside before it is parsed: a parser makes objects of whatever it is given, and some megabytes of brackets
 * cost it gigabytes and many seconds.
 */
import { shorten } from "../../lib/text.ts";

/** What JSON may have at most. */
export interface JsonBounds {
  /** Objects and arrays inside each other. */
  depth: number;
  /** Texts, names and values alike. */
  texts: number;
  /** Characters of a name in the outermost object. */
  name: number;
}

const QUOTE = 0x22, BACKSLASH = 0x5c;

/** Walks the tokens of JSON that matter here: texts, with their quotes, and the characters `{}[]:`. */
function* tokens(json: string): Generator<[start: number, end: number]> {
  for (let i = 0; i < json.length; i++) {
    const code = json.charCodeAt(i);
    if (code === QUOTE) {
      const start = i;
      for (i++; i < json.length && json.charCodeAt(i) !== QUOTE; i++) {
        if (json.charCodeAt(i) === BACKSLASH) i++;
      }
      yield [start, i + 1];
    } else if (code === 0x7b || code === 0x7d || code === 0x5b || code === 0x5d || code === 0x3a) {
      yield [i, i + 1];
    }
  }
}

/** What of a text that should be JSON is beyond the bounds, in words; null where nothing is. */
export function beyondBounds(json: string, bounds: JsonBounds): string | null {
  let depth = 0, texts = 0;
  for (const [start, end] of tokens(json)) {
    const first = json[start];
    if (first === '"') {
      if (++texts > bounds.texts) return `it may hold at most ${bounds.texts} texts`;
      if (depth <= 1 && end - start - 2 > bounds.name) {
        return `a name may have at most ${bounds.name} characters, "${
          shorten(json.slice(start + 1, start + 100))
        }" has ${end - start - 2}`;
      }
    } else if (first === "{" || first === "[") {
      if (++depth > bounds.depth) return `its JSON may nest at most ${bounds.depth} deep`;
    } else if (first === "}" || first === "]") depth--;
  }
  return null;
}

/** The first key that occurs twice in one object of valid JSON, or null. `JSON.parse` alone keeps the last silently. */
export function findDuplicateKey(json: string): string | null {
  const open: (Set<string> | null)[] = []; // a set for an object, null for an array
  let text: [start: number, end: number] | null = null;
  for (const token of tokens(json)) {
    const first = json[token[0]];
    if (first === "{") open.push(new Set());
    else if (first === "[") open.push(null);
    else if (first === "}" || first === "]") open.pop();
    else if (first === ":") {
      const key = JSON.parse(json.slice(...text!)) as string, keys = open.at(-1)!;
      if (keys.has(key)) return key;
      keys.add(key);
    } else text = token;
  }
  return null;
}
