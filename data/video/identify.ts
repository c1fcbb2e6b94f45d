/** Whether a file is a video: by its name, else by its first bytes, else by asking ffprobe. */
import { ffprobe, type ProgramOptions, UnreadableError } from "./_ffprobe.ts";
import { type FileContent, kindOfFile, WORDS } from "./kind.ts";

/** What a file is. */
export interface FileIdentity {
  readonly content: FileContent;
  /** Why it is no video; null: it is one, as far as can be said before it is decoded. */
  readonly problem: string | null;
}

/**
 * Tells what a regular file is.
 *
 * @throws {Error} where it cannot be read
 * @throws {ConfigError} ffprobe is missing
 */
export async function identifyFile(path: string, options: ProgramOptions = {}): Promise<FileIdentity> {
  const content = await kindOfFile(path);
  if (content === "video") return { content, problem: null };
  if (content === "container") return await identifyContainer(path, options);
  if (content === "empty") return { content, problem: "the file is empty" };
  const words = WORDS[content];
  return {
    content,
    problem: `it is neither a folder of frames nor a video file${words === null ? "" : `, but ${words}`}`,
  };
}

async function identifyContainer(path: string, options: ProgramOptions): Promise<FileIdentity> {
  const content = "container";
  try {
    const { text } = await ffprobe(path, "stream=codec_name", { ...options, onLine: () => false });
    return { content, problem: text.includes("codec_name=") ? null : "it has no video stream" };
  } catch (error) {
    if (!(error instanceof UnreadableError)) throw error;
    return { content, problem: error.message };
  }
}
