/**
 * Cleaning of text before it becomes tokens, as OpenAI's CLIP does it: what ftfy 6.3 (Apache-2.0,
 * https://github.com/rspeer/python-ftfy) mends by default, HTML unescaped twice, white space, lower case.
 */
import { unescapeHtml, unescapeSureHtml } from "./html_references.ts";
import { repairMojibake, replaceControls } from "./mojibake.ts";

/** White space of Python's `regex`, as the inside of a character class; JavaScript's `\s` is another set. */
export const WHITE_SPACE = "\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const RUN_OF_SPACE = new RegExp(`[${WHITE_SPACE}]+`, "g");
/** Python's `str.strip` takes four separators more. */
const STRIPPED = new RegExp(`[${WHITE_SPACE}\\x1c-\\x1f]`);

/** Text as the tokenizer splits it into words. */
export function cleanText(text: string): string {
  const plain = strip(unescapeHtml(unescapeHtml(fixText(text))));
  return strip(plain.replace(RUN_OF_SPACE, " ")).toLowerCase();
}

/** Takes white space off both ends; a loop, because an expression that ends in `$` tries every run of spaces from each of them. */
function strip(text: string): string {
  let start = 0, end = text.length;
  while (start < end && STRIPPED.test(text[start])) start++;
  while (end > start && STRIPPED.test(text[end - 1])) end--;
  return text.slice(start, end);
}

/** Typographic ligatures. ftfy also takes ten letters apart that are two, as the Dutch ĳ; CLIP's reference tokens keep them. */
const LIGATURES: Readonly<Record<string, string>> = {
  ﬀ: "ff",
  ﬁ: "fi",
  ﬂ: "fl",
  ﬃ: "ffi",
  ﬄ: "ffl",
  ﬅ: "ſt",
  ﬆ: "st",
};
const ANY_LIGATURE = new RegExp(`[${Object.keys(LIGATURES).join("")}]`, "g");

/**
 * Mends text as `ftfy.fix_text` does, line by line: references, mojibake, ligatures, widths, curly quotation marks, line breaks,
 * control characters, composed letters.
 *
 * @example `fixText("“ﬁve” ｃａｆÃ©s")` is `"\"five\" cafés"`
 */
export function fixText(text: string): string {
  let isHtml = false; // a line with a tag says so of those behind it
  let fixed = "";
  for (const line of text.split(/(?<=\n)/)) {
    isHtml ||= line.includes("<");
    fixed += fixLine(line, !isHtml);
  }
  return fixed;
}

/** Each pass may bring out what the next one mends, as `&amp;amp;amp;`; only text made for it takes more than a few. */
const MOST_PASSES = 64;

/** Marks upon one letter, of which no writing has as many: to put them in order takes time with the square of their number. */
const MANY_MARKS = /\p{M}{256}/u;

function fixLine(line: string, unescapes: boolean): string {
  let now = line;
  for (let pass = 0, before = ""; now !== before && pass < MOST_PASSES; pass++) {
    before = now;
    now = replaceControls(repairMojibake(unescapes ? unescapeSureHtml(now) : now))
      .replace(ANY_LIGATURE, (letter) => LIGATURES[letter])
      .replace(/[\u3000\uff01-\uffef]/g, (character) => character.normalize("NFKC"))
      .replace(/[\u02bc\u2018-\u201b]/g, "'")
      .replace(/[\u201c-\u201f]/g, '"')
      .replace(/\r\n|[\r\u2028\u2029\x85]/g, "\n")
      .toWellFormed()
      // deno-lint-ignore no-control-regex -- what terminals take for colours
      .replace(/\x1b\[[\p{Nd};]*[a-zA-Z]/gu, "")
      // deno-lint-ignore no-control-regex
      .replace(/[\0-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]/g, "");
    if (!MANY_MARKS.test(now)) now = now.normalize("NFC");
  }
  return now;
}
