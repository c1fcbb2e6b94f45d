/** Writes a synthetic data set: folders of real JPEG frames, and their lists. */
import { mkdirSync, writeFileSync } from "node:fs";
import { readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ConfigError, InterruptedError } from "../../lib/errors.ts";
import { formatPairs } from "../datasets/pairs.ts";
import { isTemporary, temporaryName, textOfFile, writeFileWhole, writing } from "../files.ts";
import { LOCK_FILE, removeTemporary, waitForFolder } from "../folder_lock.ts";
import { parseFrameTemplate } from "../frames/frame_folder.ts";
import { encodeJpeg } from "../frames/jpeg.ts";
import { renderCaptionedClip } from "./captioned.ts";
import { checkSynthOptions } from "./check.ts";
import { renderSynthClip } from "./classified.ts";
import { MOTIONS } from "./motion.ts";
import { DEFAULT_SYNTH_OPTIONS, isCaptioned, type SynthOptions, type SynthSplit } from "./options.ts";

/** File names of the frames. */
export const SYNTH_TEMPLATE = "{:05d}.jpg";

/** The file that records the options, complete when everything else is. */
const RECORD = "synth.json";
/** What a set consists of beside its record: where clips have classes, and where they have captions. */
const CLASSIFIED_PARTS = ["train", "val", "train.txt", "val.txt", "labels.csv"];
const CAPTIONED_PARTS = ["train", "val", "train.jsonl", "val.jsonl"];

/**
 * Writes the data set: `train/` and `val/` with a folder of JPEG frames a clip, the lists `train.txt` and `val.txt` and
 * `labels.csv`, or where clips have captions the lists of pairs `train.jsonl` and `val.jsonl`, and last `synth.json` with the options. It is built aside and takes its place when it is whole: an earlier set
 * stays until then. A folder that holds something else is refused. Of several processes that are to write the same set, one does,
 * and the others wait for it.
 *
 * @param settings.onProgress called with the number of clips written and their total
 * @param settings.onWait called once, with who writes to the folder, where that is another process
 * @param settings.signal stops the writing
 */
export async function synthesize(
  folder: string,
  options: SynthOptions,
  settings: {
    onProgress?: (done: number, total: number) => void;
    onWait?: (holder: string) => void;
    signal?: AbortSignal;
  } = {},
): Promise<void> {
  checkSynthOptions(options);
  await requireOwnFolder(folder);
  const { lock, waited } = await waitForFolder(folder, "write a synthetic data set", settings);
  using _ = lock;
  if (waited && await isSynthesized(folder, options)) return;
  const earlier = await requireOwnFolder(folder);
  await removeTemporary(folder, earlier.filter(isTemporary));
  const build = temporaryName(join(folder, "set"));
  try {
    await writing(folder, () => writeSet(build, options, settings));
    const parts = partsOf(options), replaced = new Set([...parts, ...await recordedParts(folder)]);
    await writeFileWhole(join(folder, RECORD), '{ "complete": false }\n'); // until all of it has taken its place
    for (const name of replaced) {
      await rm(join(folder, name), { recursive: true, force: true });
    }
    for (const name of parts) {
      await writing(join(folder, name), () => rename(join(build, name), join(folder, name)));
    }
    await writeFileWhole(join(folder, RECORD), describeSynth(options));
  } finally {
    await rm(build, { recursive: true, force: true });
  }
}

/** Writes everything but the record. */
async function writeSet(
  folder: string,
  options: SynthOptions,
  settings: { onProgress?: (done: number, total: number) => void; signal?: AbortSignal },
): Promise<void> {
  const template = parseFrameTemplate(SYNTH_TEMPLATE);
  const total = options.trainClips + options.valClips;
  let done = 0;
  for (const split of ["train", "val"] as const) {
    const count = split === "train" ? options.trainClips : options.valClips;
    const lines: string[] = [];
    const name = (clip: number) => `${split}/${String(clip + 1).padStart(5, "0")}`;
    const write = async (clip: number) => {
      const { frames, line } = renderClip(options, { split, clip, path: name(clip) });
      const target = join(folder, name(clip));
      mkdirSync(target, { recursive: true });
      const { width, height, quality } = options;
      const encoded = await Promise.all(frames.map((rgb) => encodeJpeg({ width, height, rgb }, { quality })));
      encoded.forEach((bytes, i) => writeFileSync(join(target, template.name(i + 1)), bytes));
      lines[clip] = line;
      settings.onProgress?.(++done, total);
    };
    for (let clip = 0; clip < count; clip += 2) { // two at a time keep two cores busy
      if (settings.signal?.aborted) {
        throw new InterruptedError(
          `Stopped before the data set "${dirname(folder)}" was whole; nothing of it is kept`,
        );
      }
      // Both are waited for before an error is passed on: what is still being written could not be removed.
      const both = await Promise.allSettled([write(clip), ...(clip + 1 < count ? [write(clip + 1)] : [])]);
      const failed = both.find((one) => one.status === "rejected");
      if (failed) throw failed.reason;
    }
    await writeFileWhole(
      join(folder, `${split}.${isCaptioned(options) ? "jsonl" : "txt"}`),
      lines.join(""),
    );
  }
  if (isCaptioned(options)) return;
  const labels = options.classes.map((motion, id) => `${id},${MOTIONS[motion]}\n`).join("");
  await writeFileWhole(join(folder, "labels.csv"), `id,name\n${labels}`);
}

/** The frames of a clip and its line in the list. */
function renderClip(
  options: SynthOptions,
  { split, clip, path }: { split: SynthSplit; clip: number; path: string },
): { frames: readonly Uint8Array[]; line: string } {
  if (isCaptioned(options)) {
    const { frames, caption } = renderCaptionedClip(options, split, clip);
    return { frames, line: formatPairs([{ path, captions: [caption] }]) };
  }
  const { frames, label } = renderSynthClip(options, split, clip);
  return { frames, line: `${path} ${frames.length} ${label}\n` };
}

function partsOf(options: Pick<SynthOptions, "kind">): readonly string[] {
  return isCaptioned(options) ? CAPTIONED_PARTS : CLASSIFIED_PARTS;
}

/** The parts of the set that a folder holds; all there can be where its writing was stopped. */
async function recordedParts(folder: string): Promise<readonly string[]> {
  const parts = [CLASSIFIED_PARTS, CAPTIONED_PARTS];
  const record = await textOfFile(join(folder, RECORD)).catch(() => "");
  if (!record.includes('"version"')) return parts.flat();
  return parts[record.includes('"kind"') ? 1 : 0];
}

/** Whether the folder holds the complete data set that these options give. */
export async function isSynthesized(folder: string, options: SynthOptions): Promise<boolean> {
  try {
    return await textOfFile(join(folder, RECORD)) === describeSynth(options);
  } catch {
    return false; // absent or unreadable: it has to be written
  }
}

/** Raised when the drawing changes, so that an older data set is not taken for a newer one. */
const SYNTH_VERSION = 1;

/** Keys that a record has where clips have captions: sets of clips with classes are older than these. */
const CAPTION_KEYS: readonly string[] = [
  "kind",
  "shapes",
  "colours",
  "paces",
] satisfies (keyof SynthOptions)[];

function describeSynth(options: SynthOptions): string {
  const keys = (Object.keys(DEFAULT_SYNTH_OPTIONS) as (keyof SynthOptions)[])
    .filter((key) => isCaptioned(options) || !CAPTION_KEYS.includes(key));
  const ordered = Object.fromEntries(keys.map((key) => [key, options[key]]));
  return JSON.stringify({ version: SYNTH_VERSION, template: SYNTH_TEMPLATE, ...ordered }, null, 2) + "\n";
}

/** Refuses a folder that holds something else than a data set of ours. Returns what is there. */
async function requireOwnFolder(folder: string): Promise<string[]> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch {
    return []; // it will be made
  }
  const foreign = names.find((name) => name !== LOCK_FILE && !isTemporary(name));
  if (foreign === undefined || names.includes(RECORD)) return names;
  throw new ConfigError(
    `Cannot write the data set into "${folder}": the folder must be empty or hold an earlier one with ${RECORD}, it holds "${foreign}"`,
  );
}
