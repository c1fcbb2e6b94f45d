/** `sidenet search`: finds clips of an index with sentences, or with a clip. */
import { resolve } from "node:path";
import type { ClipRecord } from "../data/datasets/list.ts";
import { createClipSource } from "../data/open_clip_source.ts";
import { bytesOfFile, reading, writeFileWhole } from "../data/files.ts";
import { parseFrameTemplate } from "../data/frames/frame_folder.ts";
import { boundedLines, decodeText } from "../data/datasets/text.ts";
import { ConfigError, type DataError } from "../lib/errors.ts";
import { recipeFact } from "../pages/page.ts";
import { renderSearchPage, SEARCH_PAGE, type ShownQuery, spanText } from "../pages/search_page.ts";
import { type Thumbnail, thumbnailsOf } from "../pages/timeline_page.ts";
import { clipTimes } from "../train/evaluation/clip_times.ts";
import { FOLDER_FRAME_RATE } from "../train/evaluation/timeline.ts";
import { modelOfIndex } from "../train/search/clip_search.ts";
import type { EmbeddingModel } from "../train/search/embedding_model.ts";
import { type ModelEmbedder, openEmbedder } from "../train/search/model_embedder.ts";
import { type SearchHit, SearchIndex, type SearchQueries } from "../train/search/search_index.ts";
import { defineCommand, parseArguments } from "./shared/args.ts";
import type { Io } from "./shared/output.ts";
import { requirePageFile } from "./shared/page_file.ts";
import { cannotUse, clipsOfPaths } from "./shared/predict_inputs.ts";
import { tellStages } from "./text/stages.ts";
import { tunedChoices } from "./shared/tuned.ts";
import { findTarget, WEIGHTS_OPTIONS } from "./shared/weights.ts";

const DEFAULT_TOP = 10;

export const command = defineCommand({
  name: "search",
  summary: "Find clips of an index with a sentence",
  usage: 'INDEX "SENTENCE"',
  positionals: { min: 1, max: 2 },
  details:
    `INDEX is a folder that "sidenet index" wrote. A line is printed for each of the best clips, or parts of long ones: the score,
the path as it was indexed, and from when to when. Of equal scores the earlier clip of the index comes first. With --json there is
one line a query. The index knows its model; where that was moved, --model says where it is now.`,
  examples: [
    ['sidenet search index "a red car turns left"', "the ten best clips"],
    ['sidenet search index "a dog" --top 20 --html dog.html', "also as a page with frames"],
    ["sidenet search index --video clip.mp4", "clips that look like this one"],
    ["sidenet search index --queries sentences.txt --json", "many sentences, one a line"],
  ],
  options: {
    top: { type: "integer", min: 1, placeholder: "N", help: `number of hits, ${DEFAULT_TOP} by default` },
    video: { type: "string", placeholder: "FILE", help: "search with a video file, or a folder of frames" },
    queries: { type: "string", placeholder: "FILE", help: "search with every line of a file" },
    html: { type: "string", placeholder: "PAGE", help: "also write a page with frames of the hits" },
    model: { type: "string", placeholder: "RUN|CHECKPOINT", help: "where the model of the index is now" },
    config: {
      type: "string",
      placeholder: "CONFIG",
      help: "where its recipe is now, if one was given with it",
    },
    ...WEIGHTS_OPTIONS,
  },
});

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals: [folder, sentence] } = parseArguments(command, args);
  const { top = DEFAULT_TOP, html } = values;
  const asked = await askedOf({ sentence, video: values.video, queries: values.queries });
  await requirePageFile(html);
  const index = await SearchIndex.open(folder);
  if (!index.manifest.complete) {
    io.note(
      `note: "${folder}" does not hold all clips yet: its indexing was stopped, the same command finishes it`,
    );
  }
  const model = await modelOfIndex(folder, index, {
    model: values.model,
    config: values.config,
    find: (target, { isRecorded }) => findTarget(target, io, { offline: values.offline, isRecorded }),
  });
  const clip = asked.video === null ? null : await clipOf(asked.video, model, io);
  const clips = clip === null ? [] : [clip], choices = await tunedChoices(io);
  using stages = tellStages(io);
  await using embedder = await openEmbedder(model, {
    clips,
    atOnce: clips.length,
    choices,
    stage: stages.tell,
    signal: io.signal,
  });
  stages.end();
  const queries: SearchQueries = clip === null
    ? { texts: asked.texts }
    : { clip: await featuresOf(clip, embedder, io) };
  for (const remark of await embedder.remarksOn(asked.texts)) io.note(`note: ${remark}`);
  const found = await index.search(queries, { top, embedder });
  io.status("");
  const names = asked.video === null ? asked.texts : [asked.video];
  found.forEach((hits, i) => printHits(names[i], hits, { isOne: found.length === 1 }, io));
  if (html !== undefined) {
    const shown = found.slice(0, SEARCH_PAGE.queries).map((hits, i) => ({
      query: names[i],
      hits: hits.slice(0, SEARCH_PAGE.hits),
    }));
    const page = await withFrames(shown, { index, model, signal: io.signal });
    const options = {
      index: folder,
      clips: index.manifest.clips.length,
      left: found.length - shown.length,
      leftHits: Math.max(0, ...found.map((hits) => hits.length - SEARCH_PAGE.hits)),
      origin: { command: io.command },
      facts: [["Model", model.weights], recipeFact(model.config)] as const,
    };
    await writeFileWhole(html, renderSearchPage(page, options));
    io.print(`page: ${html}`);
  }
  return 0;
}

/** What to search with: exactly one of the three ways. */
async function askedOf(
  given: { sentence?: string; video?: string; queries?: string },
): Promise<{ texts: string[]; video: string | null }> {
  const count = Object.values(given).filter((value) => value !== undefined).length;
  if (count !== 1) {
    throw new ConfigError(
      `Cannot search: one of a sentence, --video and --queries must be given, current count is ${count}`,
    );
  }
  const { sentence, video, queries } = given;
  if (video !== undefined) return { texts: [], video };
  if (queries === undefined) return { texts: requireWords([sentence!], "the sentence"), video: null };
  const bytes = await reading(queries, () => bytesOfFile(queries));
  const lines = boundedLines(decodeText(bytes, queries), queries).map((line) => line.trim());
  return { texts: requireWords(lines.filter((line) => line !== ""), `"${queries}"`), video: null };
}

function requireWords(texts: string[], what: string): string[] {
  if (texts.some((text) => text.trim() !== "")) return texts;
  throw new ConfigError(`Cannot search: ${what} must hold a word or more, current value is empty`);
}

/** The one clip to search with. */
async function clipOf(path: string, { config }: EmbeddingModel, io: Io): Promise<ClipRecord> {
  const fail = (error: DataError) => {
    throw error;
  };
  const found = await clipsOfPaths([path], config.data.image_tmpl, {
    fail,
    note: io.note,
    what: "search with",
    signal: io.signal,
  });
  if (found.length === 1) return { path: found[0], label: 0, frames: null, line: 0 };
  throw cannotUse(path, `it must be one clip, current count is ${found.length}`, "search with");
}

/** What the network says of it. */
async function featuresOf(clip: ClipRecord, embedder: ModelEmbedder, io: Io): Promise<Float32Array> {
  const [said] = await Array.fromAsync(embedder.embedClips([clip], { signal: io.signal }));
  const { features, problems } = said;
  if (features === null) throw cannotUse(clip.path, problems[0], "search with");
  for (const problem of problems) io.note(`warning: ${clip.path}: ${problem}`);
  return features;
}

function printHits(query: string, hits: readonly SearchHit[], { isOne }: { isOne: boolean }, io: Io): void {
  io.printJson({ query, hits });
  if (io.json) return;
  if (!isOne) io.print(query);
  for (const { path, from, to, score } of hits) {
    io.print(`${isOne ? "" : "  "}${score.toFixed(4).padStart(8)}  ${path}  ${spanText({ from, to })}`);
  }
}

/** Hits with some of their frames. What cannot be read any more has none. */
async function withFrames(
  queries: readonly { query: string; hits: readonly SearchHit[] }[],
  { index, model, signal }: { index: SearchIndex; model: EmbeddingModel; signal: AbortSignal },
): Promise<ShownQuery[]> {
  const { image_tmpl: template, first_frame: firstFrame } = model.config.data;
  const { started_in: folder, windows } = index.manifest;
  await using source = createClipSource({
    modality: "either",
    root: folder,
    template,
    firstFrame,
    workers: 1,
  });
  const known = new Map<string, Promise<Thumbnail[]>>();
  const framesOf = async ({ path, from, to }: SearchHit): Promise<Thumbnail[]> => {
    try {
      // Of what does not tell its times, frames are chosen as if they came at some rate: their order is all that matters.
      const frameRate = windows.frames_per_second ?? (to === null ? FOLDER_FRAME_RATE : undefined);
      const times = await clipTimes(resolve(folder, path), {
        template: parseFrameTemplate(template),
        firstFrame,
        frameRate,
        signal,
      });
      const span = [from, to ?? times.seconds] as const;
      return await thumbnailsOf(source, path, times, { span, most: SEARCH_PAGE.frames, signal });
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof ConfigError) throw error; // ffmpeg is missing
      return [];
    }
  };
  const shown: ShownQuery[] = [];
  for (const { query, hits } of queries) {
    const cards: ShownQuery["hits"][number][] = [];
    for (const hit of hits) {
      const key = JSON.stringify([hit.path, hit.from, hit.to]);
      if (!known.has(key)) known.set(key, framesOf(hit));
      cards.push({ ...hit, thumbnails: await known.get(key)! });
    }
    shown.push({ query, hits: cards });
  }
  return shown;
}
