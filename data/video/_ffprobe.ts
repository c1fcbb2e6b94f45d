/** Runs of ffprobe on the pictures of a file. */
import { type ChildEnd, runChild } from "./_child.ts";
import { INPUT_LIMITS, inputName } from "./formats.ts";

/** How a program that reads a video is run. */
export interface ProgramOptions {
  /** Time a program may take. Default 2 minutes. */
  timeoutMs?: number;
  /** Ends the program. */
  signal?: AbortSignal;
}

/** Time a program may take. */
export const TIMEOUT_MS = 120_000;
/** "V" leaves out cover pictures of sound files. */
export const STREAM = "V:0";
/** Most bytes of a listing: some 4 million frames. */
const MAX_LISTING_BYTES = 2 ** 27;

/**
 * Lists entries of the video stream of a file.
 *
 * @param options.more Further arguments.
 * @param options.onLine Given every line; those for which it returns true are kept out of `text`.
 * @throws {Error} with the reason, where the file cannot be read
 */
export async function ffprobe(
  path: string,
  entries: string,
  options: ProgramOptions & { more?: readonly string[]; onLine: (line: string) => boolean },
): Promise<{ text: string; complaint: string | null }> {
  const { more = [], onLine } = options, decoder = new TextDecoder();
  let text = "", rest = "", size = 0;
  const end = await runChild(
    "ffprobe",
    [...INPUT_LIMITS, "-threads", "1", "-select_streams", STREAM, ...more, "-show_entries", entries]
      .concat(["-of", "compact", inputName(path)]),
    {
      timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
      signal: options.signal,
      onOutput(chunk) {
        const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
        rest = lines.pop()!;
        for (const line of lines) if (!onLine(line)) text += line + "\n";
        size += chunk.length;
        return size <= MAX_LISTING_BYTES;
      },
    },
  );
  if (size > MAX_LISTING_BYTES) throw new Error("it has too many frames");
  checkEnd("ffprobe", end, options);
  if (end.code !== 0) throw new UnreadableError(end.words);
  return { text: text + rest, complaint: end.words };
}

/** The file cannot be read, in the program's words. */
export class UnreadableError extends Error {
  readonly words: string | null;

  constructor(words: string | null) {
    super(withWords("it cannot be read", words));
    this.words = words;
  }
}

/** A program did not come to its end: that says nothing lasting about the file. */
export class UnfinishedError extends Error {}

export function checkEnd(program: string, end: ChildEnd, options: ProgramOptions): void {
  if (end.timedOut) {
    throw new UnfinishedError(`${program} did not end within ${(options.timeoutMs ?? TIMEOUT_MS) / 1000} s`);
  }
  if (end.stopped) throw new UnfinishedError(`${program} was stopped from outside`);
}

export function withWords(text: string, words: string | null): string {
  return words === null ? text : `${text}: ${words}`;
}
