/**
 * Mojibake: text in UTF-8 that was once read in a one-byte encoding, as "cafÃ©" for "café". What is recognised and how it is
 * undone are the rules and character tables of ftfy 6.3 by Robyn Speer (Apache-2.0, https://github.com/rspeer/python-ftfy),
 * so that a caption has the tokens here that it had where a network was trained.
 *
 * Strings of bytes are JavaScript strings of characters U+0000 to U+00FF, because regular expressions can look into them.
 */

interface Encoding {
  /** Characters of the bytes 0x80 to 0xff. */
  readonly upper: string;
  /** Whether the replacement character stands for a byte that was lost, written 0x1a. */
  readonly lossy: boolean;
  /** Whether a space may be a no-break space that was lost. */
  readonly restoresSpaces: boolean;
  readonly byteOf: ReadonlyMap<string, string>;
}

const UPPER_HALF = Uint8Array.from({ length: 128 }, (_, i) => 0x80 + i);
/** Not among the encodings of the web. */
const CP437 =
  "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\xa0";

/** Encodings in the order in which they are tried. */
const ENCODINGS: readonly Encoding[] = [
  encoding(byteString(UPPER_HALF)),
  ...["1252", "1251", "1250", "1253", "1254", "1257"].map((page) =>
    encoding(upperHalf(`windows-${page}`), { lossy: true })
  ),
  encoding(upperHalf("iso-8859-2")),
  encoding(upperHalf("macintosh"), { restoresSpaces: false }), // its en dash is such a lead byte
  encoding(CP437),
];
/** Those that text is most often misread in. */
const LIKELY = ENCODINGS.slice(0, 7);
const WINDOWS_1252 = ENCODINGS[1];

/** What a web encoding reads in the upper half; a byte that it leaves open is the character of that number. */
function upperHalf(label: string): string {
  const characters = [...new TextDecoder(label).decode(UPPER_HALF)];
  return characters.map((character, i) => character === "\ufffd" ? String.fromCharCode(0x80 + i) : character)
    .join("");
}

function encoding(upper: string, { lossy = false, restoresSpaces = true } = {}): Encoding {
  const byteOf = new Map([...upper].map((character, i) => [character, String.fromCharCode(0x80 + i)]));
  for (let code = 0; code < 0x80; code++) byteOf.set(String.fromCharCode(code), String.fromCharCode(code));
  if (lossy) {
    byteOf.delete("\x1a");
    byteOf.set("\ufffd", "\x1a");
  }
  return { upper, lossy, restoresSpaces, byteOf };
}

/** Kinds of characters that mojibake is made of, as insides of character classes. */
const COMMON = "\\xa0\\xad´·\\u2013-\\u2015’…";
const C1 = "\\x80-\\x9f";
const BAD = "¤¦¨ª¬¯¸ºƒˆˇ˘˛˜†‡‰⌐◊\\ufffd";
const LAW = "§¶";
const CURRENCY = "¢£¥₧€";
const START = "¡©«¿΄΅‘‚“„•‹\\uf8ff";
const END = "®»˝”›™";
const NUMERIC = "±-³µ¹¼-¾×÷⁄№∂∆∏∑√∞∩∫≈≠≡≤≥";
const KAOMOJI = "°Ò-ÖÙ-Üò-öø-üŌŐŪŲ";
const UPPER_ACCENTED = "À-ÑØÜÝĀĂĄĆČĎĐĒĖĘĚĞĢĪİĶĹĻĽŁŃŅŇŒŘŚŞŠŢŤŮŰŸŹŻŽҐ";
const LOWER_ACCENTED = "ß-ñüāăąćčďđēėęěğģīįķĺļľłœŕśşšťźżžґﬁﬂ";
const UPPER_COMMON = "ÞΆΈ-ΊΌΎΏΑ-ΫЁ-Я";
const LOWER_COMMON = "ά-ωа-џ";
const BOX = "│┌┐┘├┤┬┼═-╬▀▄█▌▐-▓";
const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const WORD = "[\\p{L}\\p{N}_]";

/** Neighbours that are hardly ever meant. */
const UNLIKELY = new RegExp(
  [
    `[${C1}]`,
    `[${BAD}${LOWER_ACCENTED}${UPPER_ACCENTED}${BOX}${START}${END}${CURRENCY}${NUMERIC}${LAW}][${BAD}]`,
    `[a-zA-Z][${LOWER_COMMON}${UPPER_COMMON}][${BAD}]`,
    `[${BAD}][${LOWER_ACCENTED}${UPPER_ACCENTED}${BOX}${START}${END}${CURRENCY}${NUMERIC}${LAW}]`,
    `[${LOWER_ACCENTED}${LOWER_COMMON}${BOX}${END}${CURRENCY}${NUMERIC}][${UPPER_ACCENTED}]`,
    `[${BOX}${END}${CURRENCY}${NUMERIC}][${LOWER_ACCENTED}]`,
    `[${LOWER_ACCENTED}${BOX}${END}][${CURRENCY}]`,
    `[${SPACE}][${UPPER_ACCENTED}][${CURRENCY}]`,
    `[${UPPER_ACCENTED}${BOX}][${NUMERIC}${LAW}]`,
    `[${LOWER_ACCENTED}${UPPER_ACCENTED}${BOX}${CURRENCY}${END}][${START}][${NUMERIC}]`,
    `[${LOWER_ACCENTED}${UPPER_ACCENTED}${CURRENCY}${NUMERIC}${BOX}${LAW}][${END}][${START}]`,
    `[${CURRENCY}${NUMERIC}${BOX}][${START}]`,
    `[a-z][${UPPER_ACCENTED}][${START}${CURRENCY}]`,
    `[${BOX}][${KAOMOJI}]`,
    `[${LOWER_ACCENTED}${UPPER_ACCENTED}${CURRENCY}${NUMERIC}${START}${END}${LAW}][${BOX}]`,
    `[${BOX}][${END}]`,
    `[${LOWER_ACCENTED}${UPPER_ACCENTED}][${START}${END}]${WORD}`,
    `[Œœ][^A-Za-z]`, // a ligature that no plain letter follows
    `[${UPPER_ACCENTED}]°`,
    `[ÂÃÎÐ][€œŠš¢£Ÿž\\xa0\\xad®©°·»${START}${END}–—´]`, // Windows-1252
    `×[²³]`,
    `(?:[ØÙ][${COMMON}${CURRENCY}${BAD}${NUMERIC}${START}ŸŠ®°µ»]){2}`, // Arabic in Windows-1252
    `à[²µ¹¼½¾]`, // scripts of South Asia in Windows-1252
    `√[±∂†≠®™´≤≥¥µø]`, // Mac Roman
    `≈[°¢]`,
    `‚Ä[ìîïòôúùû†°¢π]`,
    `‚[âó][àä°ê]`,
    `вЂ`, // Windows-1251
    `[ВГРС][${C1}${BAD}${START}${END}${CURRENCY}°µ][ВГРС]`,
    `ГўВЂВ[^\\n][A-Za-z ]`,
    `Ã[\\xa0¡]`, // "à", "á" and the no-break space in Windows-1252
    `[a-z][${SPACE}]?[ÃÂ][ ]`,
    `^[ÃÂ][ ]`,
    `[a-z.,?!${END}]Â[ ${START}${END}]`,
    `β€[™\\xa0Ά\\xad®°]`, // Windows-1253
    `[ΒΓΞΟ][${C1}${BAD}${START}${END}${CURRENCY}°][ΒΓΞΟ]`,
    `ā€`, // Windows-1257
  ].join("|"),
  "u",
);

/** Characters that the likely encodings have for bytes `from` to `to`, as the inside of a character class. */
function likely(from: number, to: number): string {
  return [...new Set(LIKELY.map(({ upper }) => upper.slice(from - 0x80, to + 1 - 0x80)).join(""))].join("");
}

const CONTINUES = likely(0x80, 0xbf);
/** Continuing bytes that stand for themselves beside mojibake, too: quotation marks, dashes, bullets, ellipses. */
const OFTEN_MEANT = /[\u2013-\u2015‘-‚“-„•…]/g;
/** Sequences that would be UTF-8 in one of the likely encodings, and do not end a longer garble. */
const EMBEDDED = new RegExp(
  `(?<![${CONTINUES.replace(OFTEN_MEANT, "")}])(?:[${likely(0xc2, 0xdf)}][ ${CONTINUES}]|` +
    `[${likely(0xe0, 0xef)}][ ${CONTINUES}]{2}|[${likely(0xf0, 0xf0)}${
      likely(0xf3, 0xf3)
    }][ ${CONTINUES}]{3})+`,
  "gu",
);

/** UTF-8 in which a space took the place of a no-break space's byte. */
const LOST_SPACE = new RegExp(
  "[\xc2\xc3\xc5\xce\xd0\xd9][ ]|[\xe2\xe3][ ][\x80-\x84\x86-\x9f\xa1-\xbf]|" +
    "[\xe0-\xe3][\x80-\x84\x86-\x9f\xa1-\xbf][ ]|\xf0[ ][\x80-\xbf]{2}|\xf0[\x80-\xbf][ ][\x80-\xbf]|\xf0[\x80-\xbf]{2}[ ]",
  "g",
);
/** "à" as a word of its own keeps the space behind it; Portuguese words that begin so do not. */
const A_GRAVE_WORD = /\xc3 (?! |quele|quela|quilo|s )/g;
/** UTF-8 of which bytes are lost: the byte 0x1a, once also a question mark. */
const LOST_BYTES = new RegExp(
  "[\xc2-\xdf]\x1a|[\xc2-\xc3][?]|\xed[\xa0-\xaf][\x1a?]\xed[\xb0-\xbf][\x1a?\x80-\xbf]|" +
    "\xed[\xa0-\xaf][\x1a?\x80-\xbf]\xed[\xb0-\xbf][\x1a?]|[\xe0-\xef][\x1a?][\x1a\x80-\xbf]|" +
    "[\xe0-\xef][\x1a\x80-\xbf][\x1a?]|[\xf0-\xf4][\x1a?][\x1a\x80-\xbf]{2}|" +
    "[\xf0-\xf4][\x1a\x80-\xbf][\x1a?][\x1a\x80-\xbf]|[\xf0-\xf4][\x1a\x80-\xbf]{2}[\x1a?]|\x1a",
  "g",
);
const REPLACEMENT_BYTES = byteString(new TextEncoder().encode("\ufffd"));

/**
 * Undoes mojibake, several layers of it too; text that holds none stays as it is.
 *
 * @example `repairMojibake("cafÃ©")` is `"café"`
 */
export function repairMojibake(text: string): string {
  for (let before = "", now = text;; now = repairOnce(now)) {
    if (now === before) return now;
    before = now;
  }
}

function repairOnce(text: string): string {
  if (/^[\0-\x7f]*$/.test(text) || !UNLIKELY.test(text)) return text;
  for (const encoding of ENCODINGS) {
    const repaired = readAsUtf8(text, encoding);
    if (repaired !== null) return repaired;
  }
  const inParts = text.replace(
    EMBEDDED,
    (part) => part.length < text.length && UNLIKELY.test(part) ? repairMojibake(part) : part,
  );
  return inParts === text ? replaceControls(text) : inParts;
}

/** Text as UTF-8, had it been read in this encoding; null where it cannot have been. */
function readAsUtf8(text: string, { byteOf, lossy, restoresSpaces }: Encoding): string | null {
  let bytes = "";
  for (const character of text) {
    const byte = byteOf.get(character);
    if (byte === undefined) return null;
    bytes += byte;
  }
  if (restoresSpaces) {
    bytes = bytes.replace(A_GRAVE_WORD, "\xc3\xa0 ")
      .replace(LOST_SPACE, (sequence) => sequence.replaceAll(" ", "\xa0"));
  }
  if (lossy) bytes = bytes.replace(LOST_BYTES, REPLACEMENT_BYTES);
  try {
    const units = Uint8Array.from(withoutVariants(bytes), (byte) => byte.charCodeAt(0));
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(units);
  } catch {
    return null;
  }
}

/** Java's zero and characters that were written as two surrogates of three bytes each, as UTF-8 has them. */
function withoutVariants(bytes: string): string {
  return bytes.replaceAll("\xc0\x80", "\0").replace(
    /\xed([\xa0-\xaf])([\x80-\xbf])\xed([\xb0-\xbf])([\x80-\xbf])/g,
    (_, ...pieces: string[]) => {
      const [a, b, c, d] = pieces.slice(0, 4).map((piece) => piece.charCodeAt(0));
      const code = ((a & 0x0f) << 16) + ((b & 0x3f) << 10) + ((c & 0x0f) << 6) + (d & 0x3f) + 0x10000;
      return byteString(new TextEncoder().encode(String.fromCodePoint(code)));
    },
  );
}

/** Control characters that nobody means are those of Windows-1252. */
export function replaceControls(text: string): string {
  return text.replace(/[\x80-\x9f]/g, (control) => WINDOWS_1252.upper[control.charCodeAt(0) - 0x80]);
}

function byteString(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}
