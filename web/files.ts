/** What files are that somebody drops, by their names and first bytes: said at once, also while the Worker is at work. */

import { shellName } from "../lib/text.ts";

/** What a file can be for. */
export type FileKind = "weights" | "words" | "video";

const WEIGHTS_FILE = /\.(safetensors|pt|pth|bin|pyth)$/i;
/** What a run goes on from, also under the name that a browser gives a second download. */
const STATE_FILE = /(^|\.)state( ?\(\d+\))?\.safetensors$/i;
const WORDS_FILE = /^(bpe_simple_vocab.*\.txt(\.gz)?|.*merges\.txt|.*tokenizer\.json)$/i;
/** Bytes that tell the kind of a video file. */
const HEAD = 12;
/** Boxes that MP4 and QuickTime files begin with. */
const FIRST_BOXES = ["ftyp", "moov", "mdat", "wide", "free", "skip", "pnot", "moof", "styp"];

/**
 * Tells what a file is for.
 *
 * @throws {Error} with what to do, where the page has no use for it.
 */
export async function kindOf(file: File): Promise<FileKind> {
  const { name, size } = file, fail = (what: string) => new Error(`Cannot use "${name}": ${what}`);
  if (size === 0) throw fail("it is empty, or a folder; drop whole files");
  if (STATE_FILE.test(name)) {
    throw fail("this is the state to go on training from; drop best.safetensors beside it");
  }
  if (WEIGHTS_FILE.test(name)) return "weights";
  if (WORDS_FILE.test(name)) return "words";
  const head = await file.slice(0, HEAD).arrayBuffer().catch(() => null);
  if (head === null) throw fail("it cannot be read; drop files, not folders");
  const text = String.fromCharCode(...new Uint8Array(head));
  if (text.startsWith("\x1a\x45\xdf\xa3") || FIRST_BOXES.includes(text.slice(4, 8))) return "video";
  const other = text.startsWith("RIFF") && text.slice(8) === "AVI "
    ? "an AVI file"
    : text.startsWith("GIF8")
    ? "a GIF picture"
    : text.startsWith("\x00\x00\x01\xba") || /^G.*\.m?2?ts$/is.test(text[0] + name)
    ? "an MPEG stream"
    : null;
  throw fail(
    `it must be a video (MP4, MOV, WebM or MKV) or a model (best.safetensors), ` +
      (other === null
        ? "and its first bytes are those of neither"
        : `and is ${other}; ffmpeg -i ${shellName(name)} out.mp4 makes an MP4 of it`),
  );
}
