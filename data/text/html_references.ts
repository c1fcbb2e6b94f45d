/** HTML character references in text, as Python's `html.unescape` and ftfy's `unescape_html` read them. */
import { decodeHTML, decodeHTMLStrict } from "entities/decode";

const REFERENCE = /&(?:#([0-9]+);?|#[xX]([0-9a-fA-F]+);?|[^\t\n\f <&#;]{1,32};?)/g;
const WINDOWS_1252 = new TextDecoder("windows-1252");

/**
 * Replaces every reference, numbered or named, as HTML 5 says; old names need no `;`, and of a longer word their beginning
 * is one.
 *
 * @example `unescapeHtml("&lt;b&gt; &notit;")` is `"<b> ¬it;"`
 */
export function unescapeHtml(text: string): string {
  return text.replace(
    REFERENCE,
    (reference, decimal?: string, hexadecimal?: string) =>
      decimal !== undefined
        ? numbered(parseInt(decimal, 10))
        : hexadecimal !== undefined
        ? numbered(parseInt(hexadecimal, 16))
        : decodeHTML(reference),
  );
}

/** The character of a number: Python drops those that HTML calls errors, where browsers keep them. */
function numbered(code: number): string {
  if (code === 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return "\ufffd";
  if (code === 0x0d) return "\r";
  if (code >= 0x80 && code <= 0x9f) return WINDOWS_1252.decode(Uint8Array.of(code));
  const isControl = code <= 0x08 || code === 0x0b || (code >= 0x0e && code <= 0x1f) || code === 0x7f;
  const isNoCharacter = (code >= 0xfdd0 && code <= 0xfdef) || (code & 0xfffe) === 0xfffe;
  return isControl || isNoCharacter ? "" : String.fromCodePoint(code);
}

/**
 * Replaces only what is surely a reference, because it ends in `;`; names may also stand in capitals, as `&EACUTE;`.
 * This is ftfy's reading, for text of which nobody knows whether it is HTML.
 */
export function unescapeSureHtml(text: string): string {
  return text.replace(/&#?[0-9A-Za-z]{1,24};/g, (reference) => {
    if (reference.startsWith("&#")) {
      const character = unescapeHtml(reference);
      return character.includes(";") ? reference : character;
    }
    const character = decodeHTMLStrict(reference);
    return character === reference ? inCapitals(reference) : character;
  });
}

/** The capital letter that a reference in capitals means; the reference itself where it means none. */
function inCapitals(reference: string): string {
  if (reference !== reference.toUpperCase() || unescapeHtml(reference) !== reference) return reference;
  const lower = reference.toLowerCase(), character = decodeHTMLStrict(lower);
  return character === lower ? reference : character.toUpperCase();
}
