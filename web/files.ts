/** What files are that somebody drops, by their names and first bytes: said at once, also while the Worker is at work. */

/** What a file can be for. */
export type FileKind = "weights" | "words" | "video";

const WEIGHTS_FILE = /\.(safetensors|pt|pth|bin|pyth)$/i;
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
  if (size === 0) throw fail("it is empty; copy it again");
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
  const quoted = /[\s"'$]/.test(name) ? JSON.stringify(name) : name;
  throw fail(
    `it must be a video (MP4, MOV, WebM or MKV) or a model (best.safetensors), its first bytes are ` +
      (other === null ? "of neither" : `those of ${other}; ffmpeg -i ${quoted} out.mp4 makes an MP4 of it`),
  );
}
