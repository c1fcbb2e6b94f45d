/** Text of files (names of classes, paths, strings of a checkpoint) made harmless for a terminal. */

/**
 * What a terminal acts on or hides instead of showing it: control characters of both sets, line and paragraph ends, marks and
 * overrides of the writing direction, the byte order mark.
 */
// deno-lint-ignore no-control-regex
const UNSHOWN = /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** One line of text of which every character is shown: others stand as `\n`, `\x1b`, `\u202e`. */
export function neutralText(text: string): string {
  return text.replace(UNSHOWN, (character) => {
    const code = character.charCodeAt(0);
    return NAMED[character] ?? (code < 0x100 ? `\\x${hex(code, 2)}` : `\\u${hex(code, 4)}`);
  });
}

/** JSON text with the same characters as JSON's own escapes: it reads back as the same value. */
export function neutralJson(json: string): string {
  return json.replace(UNSHOWN, (character) => `\\u${hex(character.charCodeAt(0), 4)}`);
}

const NAMED: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, "0");
}
