/** `sidenet index`: embeds a collection of clips, so that it can be searched with sentences. */
import { ConfigError, DataError } from "../lib/errors.ts";
import { formatCount, formatDuration, progressBar } from "../lib/text.ts";
import type { BuildIndexResult, IndexPlan } from "../train/search/build_index.ts";
import { indexClips } from "../train/search/index_clips.ts";
import { DEFAULT_WINDOWS } from "../train/search/parts.ts";
import { defineCommand, parseArguments } from "./shared/args.ts";
import { tellKept } from "./shared/interruption.ts";
import type { Io } from "./shared/output.ts";
import { splitOverrides } from "./shared/overrides.ts";
import { tellStages } from "./text/stages.ts";
import { measuredChoices, TUNE_OPTION } from "./shared/tuned.ts";
import { findTarget, WEIGHTS_OPTIONS } from "./shared/weights.ts";

export const command = defineCommand({
  name: "index",
  summary: "Embed a collection of clips, so that it can be searched with sentences",
  savesOnInterrupt: true,
  usage: "RUN|CHECKPOINT PATH… --out INDEX [key=value …]",
  positionals: { min: 2 },
  details:
    `RUN or CHECKPOINT is a network for retrieval, or any CLIP checkpoint with its text tower, which needs no training.
PATH is a video file, a folder of frames, or a folder with such below it. The same command again takes up what is new or changed,
keeps the rest, and drops what is gone; clips that are not below one of the PATHs stay as long as their files are there. Clips
of which nothing can be read are named and kept out, and the exit code is then 4.

Clips longer than ${DEFAULT_WINDOWS.longer_than} s become windows of ${DEFAULT_WINDOWS.window} s, each of which can be found; with --window whatever is longer than that.
Ctrl-C stops with all that is done in the index, and an indexing that was killed goes on where it was.`,
  examples: [
    ["sidenet index runs/msrvtt_vitb16 videos --out index", "all videos below a folder"],
    [
      "sidenet index ViT-B-16 videos --out index data.num_segments=12",
      "with CLIP as it is, 12 frames a clip",
    ],
    ['sidenet search index "a red car turns left"', "what was found"],
  ],
  options: {
    out: { type: "string", placeholder: "INDEX", help: "folder of the index" },
    config: { type: "string", placeholder: "CONFIG", help: "recipe, for a checkpoint that needs one" },
    ...WEIGHTS_OPTIONS,
    ...TUNE_OPTION,
    window: {
      type: "number",
      min: 0.001,
      placeholder: "SECONDS",
      help: "length of the windows of long clips",
    },
    stride: {
      type: "number",
      min: 0.001,
      placeholder: "SECONDS",
      help: "from the start of a window to that of the next, a window by default",
    },
    fps: {
      type: "number",
      min: 0.001,
      placeholder: "N",
      help: "frames a second of folders of frames, 12 by default, and of videos that do not tell theirs",
    },
  },
});

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals } = parseArguments(command, args), { out } = values;
  const [given, ...rest] = positionals, { overrides, others: named } = splitOverrides(rest);
  if (out === undefined) throw new ConfigError(`Cannot index: --out must name the folder of the index`);
  if (named.length === 0) {
    throw new ConfigError(`Cannot index: a PATH must be given, current value is missing`);
  }
  const { target, locate } = await findTarget(given, io, { offline: values.offline });
  let failed: DataError | null = null;
  tellKept(() => "what was done is kept, and the same command goes on");
  using stages = tellStages(io);
  const result = await indexClips(target, named, {
    out,
    config: values.config,
    overrides,
    locate,
    windowSeconds: values.window,
    strideSeconds: values.stride,
    framesPerSecond: values.fps,
    choices: await measuredChoices(values, io),
    stage: stages.tell,
    signal: io.signal,
    events: {
      looked: (done, of) => io.status(`looking at ${formatCount(done)}/${formatCount(of)} clips`),
      planned: (plan) => io.note(describePlan(plan)),
      opened: (adapter) => {
        stages.end();
        io.note(`adapter: ${adapter}`);
      },
      progress: ({ rows, of, rowsPerSecond }) =>
        io.status(
          `▕${progressBar(rows / of, 20)}▏ ${formatCount(rows)}/${formatCount(of)}  ${
            rowsPerSecond.toFixed(1)
          } a second  ${formatDuration((of - rows) / rowsPerSecond)} left`,
        ),
      unreadable: ({ path, reason }) => {
        const error = new DataError(`Cannot index "${path}": ${reason}`);
        failed ??= error;
        io.note(`sidenet: ${error.message}`);
      },
      note: io.note,
    },
  });
  finish(result, out, io);
  return failed === null ? 0 : (failed as DataError).exitCode;
}

function describePlan({ clips, rows, kept, dropped }: IndexPlan): string {
  const gone = dropped > 0 ? `, ${formatCount(dropped)} gone` : "";
  return `${countClips(clips, rows)} to embed, ${formatCount(kept)} there already${gone}`;
}

/** A number of clips, and of the rows that they are. */
function countClips(clips: number, rows: number): string {
  return `${formatCount(clips)} ${clips === 1 ? "clip" : "clips"}${
    rows === clips ? "" : ` in ${formatCount(rows)} parts`
  }`;
}

function finish(result: BuildIndexResult, out: string, io: Io): void {
  const { clips, rows, embedded, seconds, rows_per_second: speed } = result;
  const time = embedded > 0
    ? `  (${formatCount(embedded)} in ${formatDuration(seconds)}, ${speed.toFixed(1)} a second)`
    : "";
  if (clips === 0) io.print("there is nothing to search");
  else {
    io.print(`${countClips(clips, rows)}: ${out}${time}`);
    io.print(`search them with: ${io.program} search ${out} "a sentence"`);
  }
  io.printJson(result);
}
