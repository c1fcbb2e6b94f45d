/** Names of the numbered frame files of a folder, in the forms that Python's loaders take. */
import { extname } from "node:path";
import { ConfigError } from "../../lib/errors.ts";

/** Names of frame files, such as `{:05d}.jpg`. */
export interface FrameTemplate {
  /** File name of the frame with this number. */
  name(number: number): string;
  /** The number in a file name; null where it is no frame's. */
  number(fileName: string): number | null;
  /** Whether a file name is a frame's. */
  matches(fileName: string): boolean;
}

/** A field of `str.format`: `{}`, `{0}`, `{:d}`, `{:05}`, `{:5d}`, `{0:05d}`, `{:0>5}`, `{:0>5d}`. Braces in pairs are braces. */
const FORMAT_FIELD = /\{0?(?::(?:(0)>)?(0?)(\d*)d?)?\}/;
/** A field of the operator `%`: `%d`, `%05d`, `%5d`, `%i`, `%u`. Per cent signs in pairs are per cent signs. */
const PERCENT_FIELD = /%(0?)(\d*)[diu]/;
/** More digits than a file name has. */
const MOST_DIGITS = 200;

/**
 * Parses a template with one field for the number, in Python's forms: `{:05d}.jpg`, `img_{:05}.jpg`, `{0:d}.png`, `%05d.jpg`.
 *
 * @throws {ConfigError} where it is none
 */
export function parseFrameTemplate(template: string): FrameTemplate {
  const { prefix, suffix, width, fill } = fieldOf(template);
  const digits = (number: number) => String(number).padStart(width, fill);
  const number = (fileName: string) => {
    const { length } = fileName;
    if (length <= prefix.length + suffix.length) return null;
    if (!fileName.startsWith(prefix) || !fileName.endsWith(suffix)) return null;
    const text = fileName.slice(prefix.length, length - suffix.length), value = Number(text);
    return /^ *\d{1,15}$/.test(text) && text === digits(value) ? value : null;
  };
  return {
    name: (value) => prefix + digits(value) + suffix,
    number,
    matches: (fileName) => number(fileName) !== null,
  };
}

interface Field {
  prefix: string;
  suffix: string;
  /** Characters of the number at least. */
  width: number;
  /** What stands before a shorter one. */
  fill: "0" | " ";
}

function fieldOf(template: string): Field {
  const fail = (what: string): never => {
    throw new ConfigError(
      `Cannot use frame template ${JSON.stringify(template)}: it must ${what}, such as "{:05d}.jpg", ` +
        '"img_{:05}.jpg", "frame{:d}.png" or "%05d.jpg"',
    );
  };
  if (/[\\/]/.test(template) || template.includes("\0")) fail("be a file name without folders");
  const field = hasBraces(template)
    ? splitAt(template, FORMAT_FIELD, { pair: /\{\{|\}\}/g, single: /[{}]/ })
    : splitAt(template, PERCENT_FIELD, { pair: /%%/g, single: /%/ });
  if (field === null || field.width > MOST_DIGITS) return fail("hold one field for the frame's number");
  return field;
}

function hasBraces(template: string): boolean {
  return /[{}]/.test(template.replaceAll(/\{\{|\}\}/g, ""));
}

/** Splits a template at its only field; null where it has none, or anything else that means something. */
function splitAt(
  template: string,
  form: RegExp,
  signs: { pair: RegExp; single: RegExp },
): Field | null {
  // Signs in pairs are set aside, so that what is left of them means something.
  const pairs: string[] = [];
  const bare = template.replaceAll(signs.pair, (pair) => {
    pairs.push(pair[0]);
    return "\0";
  });
  const match = form.exec(bare);
  if (match === null) return null;
  const before = bare.slice(0, match.index), after = bare.slice(match.index + match[0].length);
  if (signs.single.test(before + after)) return null;
  const restore = (text: string) => text.replaceAll("\0", () => pairs.shift()!);
  const zero = match.slice(1, -1).some((flag) => flag === "0");
  return {
    prefix: restore(before),
    suffix: restore(after),
    width: Number(match.at(-1) || 1),
    fill: zero ? "0" : " ",
  };
}

/** Endings of the files that are taken for frames when nobody says how the frames are named: those that can be decoded. */
const PICTURE_ENDINGS = new Set([".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".avif"]);
/** Endings of pictures that cannot, and what they are. */
const UNREAD_ENDINGS: Readonly<Record<string, string>> = {
  ".bmp": "BMP",
  ".heic": "HEIC",
  ".heif": "HEIC",
  ".jp2": "JPEG 2000",
  ".ppm": "PPM",
  ".pgm": "PGM",
};

/** That a folder's pictures are of a kind that is not read, as a clause; null where there are none of such. */
export function unreadPictures(fileNames: Iterable<string>): string | null {
  for (const fileName of fileNames) {
    const kind = UNREAD_ENDINGS[extname(fileName).toLowerCase()];
    if (kind !== undefined) {
      return `"${fileName}" is ${kind}, which is not read: save the frames as JPEG or PNG`;
    }
  }
  return null;
}

/**
 * The template of the most files of a folder that are pictures with a number before their ending; null where there are none.
 *
 * @example `guessTemplate(["img_00001.png", "img_00002.png", "notes.txt"]) // "img_{:05d}.png"`
 */
export function guessTemplate(fileNames: Iterable<string>): string | null {
  const forms = new Map<string, { count: number; widths: Set<number>; padded: boolean }>();
  for (const fileName of fileNames) {
    const match = /^(.*?)(\d{1,15})(\.\w+)$/s.exec(fileName);
    if (match === null || !PICTURE_ENDINGS.has(extname(fileName).toLowerCase())) continue;
    const [, prefix, digits, ending] = match, key = JSON.stringify([prefix, ending]);
    const form = forms.get(key) ?? { count: 0, widths: new Set(), padded: false };
    form.count++;
    form.widths.add(digits.length);
    form.padded ||= digits.length > 1 && digits.startsWith("0");
    forms.set(key, form);
  }
  const [best] = [...forms].sort(([a, one], [b, other]) => other.count - one.count || (a < b ? -1 : 1));
  if (best === undefined) return null;
  const [key, { widths, padded }] = best, [prefix, ending] = JSON.parse(key) as [string, string];
  const literal = (text: string) => text.replaceAll(/[{}]/g, "$&$&");
  return `${literal(prefix)}{:${padded ? `0${Math.min(...widths)}` : ""}d}${literal(ending)}`;
}
