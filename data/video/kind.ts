/** What a file is, told from its name where that says enough, else from its first bytes. */
import { open, stat } from "node:fs/promises";
import { extname } from "node:path";

/** What a file holds, as far as its first bytes say. */
export type FileContent =
  | "video"
  /** A container of pictures with sound, or of sound alone. */
  | "container"
  | "sound"
  | "picture"
  | "playlist"
  | "text"
  | "archive"
  | "document"
  | "program"
  | "empty"
  | "unknown";

/** Kinds of content in words for a message; null: there is nothing to tell. */
export const WORDS: Readonly<Record<FileContent, string | null>> = {
  video: null,
  container: null,
  sound: "sound",
  picture: "a picture",
  playlist: "a playlist",
  text: "text",
  archive: "an archive",
  document: "a document",
  program: "a program",
  empty: null,
  unknown: null,
};

const endings = (names: string) => new Set(names.split(" "));

/** Endings that are believed until the file is decoded. Those that other files have as well (.ts, .mts, .dat, .ogg) are not among them. */
const VIDEO_NAMES = endings(
  ".mp4 .m4v .mov .qt .3gp .3g2 .3gpp .mkv .webm .avi .divx .xvid .flv .f4v .wmv .asf .mpg .mpeg " +
    ".mpe .m1v .m2v .mpv .vob .m2ts .m2t .ogv .ogm .rm .rmvb .mxf .nut .ivf .y4m .wtv .mjpeg .mjpg " +
    ".gif .apng .h264 .264 .h265 .265 .hevc .obu .dv .nsv .amv .mk3d .gxf .m4e",
);
/** Endings of pictures, which are believed too: folders hold them by the thousand. */
const PICTURE_NAMES = endings(
  ".jpg .jpeg .png .webp .avif .bmp .tif .tiff .ppm .pgm",
);

/** The same of sound. */
const SOUND_NAMES = endings(
  ".mp3 .wav .m4a .m4b .aac .flac .wma .mka .ra .opus .oga .weba .aiff .aif .mid .amr .ac3 .mp2",
);

/** Bytes at the head of a file that are looked at. */
const HEAD_BYTES = 4096;

/** Whether a name is that of a video file, by its ending. */
export function hasVideoName(path: string): boolean {
  return VIDEO_NAMES.has(extname(path).toLowerCase());
}

/**
 * What a regular file is. Known endings decide; the others are opened.
 *
 * @throws {Error} where it cannot be read
 */
export async function kindOfFile(path: string): Promise<FileContent> {
  const ending = extname(path).toLowerCase();
  if (VIDEO_NAMES.has(ending)) return "video";
  if (PICTURE_NAMES.has(ending)) return "picture";
  return SOUND_NAMES.has(ending) ? "sound" : await contentOf(path);
}

/**
 * What a regular file holds, whatever its name; "unknown" for anything else.
 *
 * @throws {Error} where it cannot be read
 */
export async function contentOf(path: string): Promise<FileContent> {
  if (!(await stat(path)).isFile()) return "unknown"; // a pipe would be waited for without end
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(new Uint8Array(HEAD_BYTES), 0, HEAD_BYTES, 0);
    return contentOfHead(buffer.subarray(0, bytesRead));
  } finally {
    await file.close();
  }
}

/** Marks at the beginning of files: hexadecimal digits, in which a dot is any digit. */
const MARKS: readonly (readonly [mark: string, content: FileContent])[] = [
  ["52494646........415649", "video"], // RIFF AVI
  ["52494646........43445841", "video"], // RIFF CDXA
  ["52494646........57454250", "picture"], // RIFF WEBP
  ["52494646", "sound"],
  ["1a45dfa3", "container"], // Matroska, WebM
  ["3026b2758e66cf11", "container"], // ASF
  ["2e524d46", "container"], // RealMedia
  ["2e7261fd", "sound"], // RealAudio
  ["464c56", "video"], // FLV
  ["060e2b34020501010d0102", "video"], // MXF
  ["6e75742f6d756c7469", "video"], // NUT
  ["444b4946", "video"], // IVF
  ["595556344d50454732", "video"], // YUV4MPEG2
  ["474946383761", "video"], // GIF87a
  ["474946383961", "video"], // GIF89a
  ["b7d800203749da11a64e0007e95ead8d", "video"], // WTV
  ["4e535666", "video"], // NSV
  ["4e535673", "video"],
  ["1f0700.f", "video"], // DV
  ["424243440", "video"], // Dirac
  ["000001ba", "container"], // MPEG program stream
  ["000001b3", "video"], // MPEG-1, MPEG-2
  ["000001b0", "video"], // MPEG-4
  ["000001b5", "video"],
  ["00000120", "video"],
  ["000001.7", "container"], // H.264 and HEVC: parameter sets
  ["000001.9", "container"],
  ["0000014.01", "container"],
  ["00000001.7", "container"],
  ["00000001.9", "container"],
  ["000000014.01", "container"],
  ["12000a", "video"], // AV1
  ["494433", "sound"], // ID3
  ["fff.", "sound"], // MPEG audio, AAC
  ["664c6143", "sound"], // FLAC
  ["4d546864", "sound"], // MIDI
  ["2e736e64", "sound"], // AU
  ["464f524d", "sound"], // AIFF
  ["2321414d52", "sound"], // AMR
  ["ffd8ff", "picture"],
  ["89504e470d0a1a0a", "picture"],
  ["49492a00", "picture"],
  ["4d4d002a", "picture"],
  ["424d", "picture"], // BMP
  ["38425053", "picture"], // Photoshop
  ["0000000c6a502020", "picture"], // JPEG 2000
  ["504b0304", "archive"],
  ["1f8b08", "archive"],
  ["425a68", "archive"],
  ["377abcaf271c", "archive"],
  ["526172211a07", "archive"],
  ["fd377a585a00", "archive"],
  ["28b52ffd", "archive"],
  ["25504446", "document"], // PDF
  ["d0cf11e0a1b11ae1", "document"],
  ["7f454c46", "program"],
  ["4d5a", "program"],
];

/** What a file with these first bytes holds. */
export function contentOfHead(head: Uint8Array): FileContent {
  if (head.length === 0) return "empty";
  if (isTransportStream(head)) return "video";
  if (utf16Of(head) !== null) return contentOfText(head);
  const words = String.fromCharCode(...head); // a byte a character
  const byBox = contentOfBoxes(words);
  if (byBox !== null) return byBox;
  if (words.startsWith("OggS")) {
    return ["\x80theora", "\x01video", "BBCD", "OVP80"].some((mark) => words.includes(mark))
      ? "video"
      : "sound";
  }
  if (words.startsWith("\x89PNG")) return words.includes("acTL") ? "video" : "picture";
  const digits = head.subarray(0, 32).toHex();
  const mark = longestMark(digits);
  return mark ?? contentOfText(head);
}

/** The longest mark decides: it says most. */
function longestMark(digits: string): FileContent | null {
  let best: readonly [mark: string, content: FileContent] | null = null;
  for (const one of MARKS) {
    const matches = [...one[0]].every((digit, i) => digit === "." ? i < digits.length : digit === digits[i]);
    if (matches && one[0].length > (best?.[0].length ?? 0)) best = one;
  }
  return best?.[1] ?? null;
}

/** Files made of boxes with names (ISO 14496-12, QuickTime); null for others. */
function contentOfBoxes(words: string): FileContent | null {
  const type = words.slice(4, 8), brand = words.slice(8, 12);
  if (type === "ftyp") {
    if (/^(M4A |M4B |M4P |F4A )/.test(brand)) return "sound";
    return /^(avif|avis|heic|heix|hevc|mif1|msf1|crx )/.test(brand) ? "picture" : "container";
  }
  return /^(moov|mdat|wide|free|skip|pnot)$/.test(type) ? "container" : null;
}

/** Packets of 188 bytes, also with 4 bytes before or 16 after each, from any place in the first. */
function isTransportStream(head: Uint8Array): boolean {
  return [188, 192, 204].some((length) => {
    if (head.length < 4 * length) return false;
    for (let start = 0; start < length; start++) {
      let at = start;
      while (at < head.length && head[at] === 0x47) at += length;
      if (at >= head.length) return true;
    }
    return false;
  });
}

const PLAYLIST =
  /^\s*(#EXTM3U|ffconcat version|\[playlist\]|\[reference\]|<asx\b|<smil\b|v=0\r?\no=|;FFMETADATA|(<\?xml[^>]*\?>\s*)?(<!--[^]*?-->\s*)*<(MPD|smil|playlist|AssetMap|CompositionPlaylist)\b)/i;

/** The form of UTF-16 that a byte order mark tells; null: none. */
function utf16Of([first, second]: Uint8Array): string | null {
  return first === 0xff && second === 0xfe
    ? "utf-16le"
    : first === 0xfe && second === 0xff
    ? "utf-16be"
    : null;
}

/** Text in UTF-8 or UTF-16, or what else it is. */
function contentOfText(head: Uint8Array): FileContent {
  let text: string;
  try {
    // The last character may be cut.
    text = new TextDecoder(utf16Of(head) ?? "utf-8", { fatal: true }).decode(head, { stream: true });
  } catch {
    return "unknown";
  }
  // deno-lint-ignore no-control-regex
  if (/[\x00-\x08\x0e-\x1a\x1c-\x1f]/.test(text)) return "unknown";
  return PLAYLIST.test(text) ? "playlist" : "text";
}
