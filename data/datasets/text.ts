/** The text of annotation files, in the encodings that people's programs write, and pieces of it in messages. */
import { DataError } from "../../lib/errors.ts";

/** Bytes looked at to recognise UTF-16 without a byte order mark. */
const PROBED_BYTES = 4096;
/** Share of zero bytes in every second place from which text is taken for UTF-16: in lists, digits, spaces and line ends. */
const ZERO_SHARE = 0.1;
/** Zero bytes in two places of text in UTF-32, of which three of four are such. */
const UTF_32_ZEROS = 1.4;
/** Characters of a file that a message shows. */
const MOST_SHOWN = 200;

/**
 * The text of a file in UTF-8 or UTF-16, with or without a byte order mark; the mark is taken away.
 *
 * @throws {DataError} where it is neither, with the line
 */
export function decodeText(bytes: Uint8Array, file: string): string {
  const encoding = encodingOf(bytes);
  if (encoding === "utf-32") {
    throw new DataError(
      `Cannot read "${file}": it must be text in UTF-8, it looks like UTF-32; save it as UTF-8`,
    );
  }
  let text: string;
  try {
    text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    throw encoding === "utf-8" ? notUtf8(bytes, file) : new DataError(
      `Cannot read "${file}": it must be text in UTF-8, it looks like UTF-16 and is broken or cut short; save it as UTF-8`,
    );
  }
  const zero = text.indexOf("\0");
  if (zero < 0) return text;
  throw new DataError(
    `Cannot read "${file}" line ${
      splitLines(text.slice(0, zero)).length
    }: it must be text in UTF-8, it holds a zero byte`,
  );
}

/** How text is written, by its byte order mark or where its zero bytes are; UTF-8 where neither tells. */
export function encodingOf(bytes: Uint8Array): "utf-8" | "utf-16le" | "utf-16be" | "utf-32" {
  const head = bytes.subarray(0, 4).join(" ");
  if (head === "255 254 0 0" || head === "0 0 254 255") return "utf-32";
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return "utf-16le";
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return "utf-16be";
  const probed = Math.min(bytes.length, PROBED_BYTES) & ~1, zeros = [0, 0];
  for (let i = 0; i < probed; i++) if (bytes[i] === 0) zeros[i % 2]++;
  const [even, odd] = zeros.map((count) => count / Math.max(1, probed / 2));
  if (even + odd >= UTF_32_ZEROS && bytes.length % 4 === 0) return "utf-32";
  if (odd >= ZERO_SHARE && even === 0) return "utf-16le";
  if (even >= ZERO_SHARE && odd === 0) return "utf-16be";
  return "utf-8";
}

function notUtf8(bytes: Uint8Array, file: string): DataError {
  let line = 1;
  for (let start = 0; start <= bytes.length; line++) {
    const newline = bytes.indexOf(10, start), end = newline < 0 ? bytes.length : newline;
    const part = bytes.subarray(start, end);
    try {
      new TextDecoder("utf-8", { fatal: true }).decode(part);
    } catch {
      const looksLike = new TextDecoder("windows-1252").decode(part).trim();
      return new DataError(
        `Cannot read "${file}" line ${line}: it must be text in UTF-8, as Latin-1 the line would be ${
          quoted(looksLike)
        }; save the file as UTF-8`,
      );
    }
    start = end + 1;
  }
  return new DataError(`Cannot read "${file}": it must be text in UTF-8`);
}

/** Lines that end in a newline, a carriage return or both. */
export function splitLines(text: string): string[] {
  return text.split(/\r\n|\n|\r/);
}

/** Characters of a line, or of a field of a table; those of lists have a hundred. */
export const MOST_LINE = 2 ** 16;
/** Characters of a path; systems open no longer ones. */
export const MOST_PATH = 4096;

/** The lines of a list. @throws {DataError} where one is longer than a list's can be */
export function boundedLines(text: string, file: string): string[] {
  const lines = splitLines(text);
  for (const [index, { length }] of lines.entries()) requireLine(length, file, index + 1);
  return lines;
}

/** Refuses a line, or a field on it, by its number: it may be of any length. */
export function requireLine(length: number, file: string, line: number): void {
  if (length <= MOST_LINE) return;
  throw new DataError(
    `Cannot read "${file}" line ${line}: a line must have at most ${MOST_LINE} characters, current count is ${length}`,
  );
}

/** Text of a file for a message: in quotes, control characters escaped, not too long. */
export function quoted(text: string): string {
  const shown = text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}…` : text;
  return JSON.stringify(shown).replaceAll(
    /[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
