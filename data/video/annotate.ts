/**
 * A copy of a clip with words burnt in, made by ffmpeg. The words stand in text files that its filter reads: whatever a label holds, it is
 * no part of a command or of a filter's description.
 */
import { rename, rm, symlink } from "node:fs/promises";
import { join, resolve } from "node:path";
import { temporaryName, writing } from "../files.ts";
import { runChild } from "./_child.ts";
import { INPUT_LIMITS, inputName } from "./formats.ts";

/** Words that stand in the picture for a time, in seconds since the first frame. */
export interface Caption {
  readonly from: number;
  readonly to: number;
  readonly lines: readonly string[];
}

/** A clip to put words into: a video file, or pictures in their order. */
export type CaptionedClip =
  | { readonly video: string }
  | { readonly frames: readonly string[]; readonly frameRate: number };

/** The longest that a timer may wait, 24 days: a film takes as long as it takes. */
const NO_LIMIT_MS = 2 ** 31 - 1;
/** Pictures that are lower are enlarged, or no word could be read in them. */
const LEAST_HEIGHT = 240;
/** Share of the picture's height that a line takes, and letters that must fit into its width. */
const LINE_SHARE = 1 / 14, LEAST_LETTERS = 16, MOST_LETTERS = 60;
/** Bytes of an argument that every system takes. */
const MOST_ARGUMENT = 30_000;
/** Encoders of H.264 and, where that was left out of ffmpeg, of MPEG-4. */
export const ENCODERS: readonly (readonly string[])[] = [
  ["-c:v", "libx264", "-crf", "20", "-preset", "veryfast", "-pix_fmt", "yuv420p"],
  ["-c:v", "mpeg4", "-q:v", "3", "-pix_fmt", "yuv420p"],
];

/**
 * Writes an MP4 file of a clip with captions. The sound of a video is kept.
 *
 * @param options.onProgress Takes the seconds of the clip that are done.
 * @throws {Error} with the reason why it cannot be made
 * @throws {ConfigError} ffmpeg is missing
 */
export async function annotate(
  clip: CaptionedClip,
  captions: readonly Caption[],
  output: string,
  options: { signal?: AbortSignal; onProgress?: (seconds: number) => void } = {},
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "sidenet-captions-" });
  const partial = temporaryName(resolve(output));
  try {
    const filters = await writeFilters(folder, captions);
    const input = "video" in clip
      ? [...INPUT_LIMITS, "-i", inputName(resolve(clip.video))]
      : await frameInput(folder, clip);
    let [encoder, ...encoders] = ENCODERS, [filter, ...otherFilters] = await filterArguments(folder, filters);
    for (;;) {
      const args = [
        ...["-nostdin", "-y", "-progress", "pipe:1", ...input],
        ...["-map", "0:v:0", "-map", "0:a:0?", "-map_metadata", "-1", ...filter],
        ...[...encoder, "-c:a", "aac", "-movflags", "+faststart", "-f", "mp4", inputName(partial)],
      ];
      const words = await encode(args, folder, options);
      if (words === null) break;
      if (/Unknown encoder/.test(words) && encoders.length > 0) [encoder, ...encoders] = encoders;
      else if (
        /Unrecognized option|Error splitting the argument list/.test(words) && otherFilters.length > 0
      ) {
        [filter, ...otherFilters] = otherFilters;
      } else throw new Error(reasonOf(words));
    }
    await writing(output, () => rename(partial, output));
  } finally {
    await rm(partial, { force: true });
    await rm(folder, { recursive: true, force: true });
  }
}

/** How ffmpeg is given its filters: on the command line, or in a file, whose option has another name from version 7 on. */
async function filterArguments(folder: string, filters: string): Promise<string[][]> {
  if (filters.length <= MOST_ARGUMENT) return [["-filter:v", filters]];
  await Deno.writeTextFile(join(folder, "filters.txt"), filters);
  return [["-filter_script:v", "filters.txt"], ["-/filter:v", "filters.txt"]];
}

/** Runs ffmpeg. @returns What went wrong; null: nothing. */
async function encode(
  args: readonly string[],
  cwd: string,
  { signal, onProgress }: { signal?: AbortSignal; onProgress?: (seconds: number) => void },
): Promise<string | null> {
  const decoder = new TextDecoder();
  const { code, words } = await runChild("ffmpeg", args, {
    cwd,
    signal,
    timeoutMs: NO_LIMIT_MS,
    onOutput: (chunk) => {
      const micros = /.*^out_time_us=(\d+)/ms.exec(decoder.decode(chunk, { stream: true }))?.[1];
      if (micros !== undefined) onProgress?.(Number(micros) / 1e6);
      return true;
    },
  });
  return code === 0 ? null : words ?? "ffmpeg failed without a word";
}

/** What to say of ffmpeg's words where they mean that something of it is missing. */
function reasonOf(words: string): string {
  if (/No such filter: '?drawtext|font/i.test(words)) {
    return `ffmpeg cannot draw text (${words}): it needs its filter drawtext and a font; apt-get install ffmpeg fonts-dejavu-core`;
  }
  return words;
}

/** The pictures under numbers of their own, for ffmpeg to read in order. */
async function frameInput(
  folder: string,
  { frames, frameRate }: { frames: readonly string[]; frameRate: number },
): Promise<string[]> {
  const extension = /\.[a-z0-9]+$/i.exec(frames[0])?.[0].toLowerCase() ?? "";
  const name = (i: number) => `frame-${String(i).padStart(8, "0")}${extension}`;
  for (const [i, frame] of frames.entries()) await symlink(resolve(frame), join(folder, name(i)));
  return [
    ...["-v", "error", "-protocol_whitelist", "file", "-f", "image2", "-framerate", String(frameRate)],
    ...["-start_number", "0", "-i", `frame-%08d${extension}`],
  ];
}

/** Writes captions. @returns The filters that draw them. */
async function writeFilters(folder: string, captions: readonly Caption[]): Promise<string> {
  // Sizes are even, as the encoders want them; small pictures grow by a whole factor.
  const side = (of: string) => `2*trunc(${of}*max(1,ceil(${LEAST_HEIGHT}/ih))/2)`;
  const filters = [`scale=w='${side("iw")}':h='${side("ih")}':flags=neighbor`];
  const write = (name: string, text: string) => Deno.writeTextFile(join(folder, name), text);
  for (const [i, { from, to, lines }] of captions.entries()) {
    const letters = Math.max(LEAST_LETTERS, ...lines.map((line) => fitting(line).length));
    const size = `max(8,min(h*${LINE_SHARE.toFixed(4)},w*1.5/${letters}))`;
    for (const [j, line] of lines.entries()) {
      const name = `caption-${i}-${j}.txt`;
      await write(name, fitting(line));
      const box = "box=1:boxcolor=black@0.6:boxborderw=6:fontcolor=white";
      const place = `x=h/40+6:y=h/40+6+${j}*h*${(1.5 * LINE_SHARE).toFixed(4)}`;
      const until = Number.isFinite(to) ? `*lt(t,${to.toFixed(3)})` : "";
      const when = `enable='gte(t,${from.toFixed(3)})${until}'`;
      filters.push(`drawtext=textfile=${name}:expansion=none:fontsize='${size}':${place}:${box}:${when}`);
    }
  }
  return filters.join(",");
}

/** A line without what would break it, and cut where nothing could be read any more. */
function fitting(line: string): string {
  const signs = [...line.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ").trim()];
  return signs.length <= MOST_LETTERS ? signs.join("") : `${signs.slice(0, MOST_LETTERS - 1).join("")}…`;
}
