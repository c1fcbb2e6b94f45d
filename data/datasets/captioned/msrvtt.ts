/**
 * MSR-VTT. `MSRVTT_data.json`: `{videos: [{video_id, split, …}], sentences: [{video_id, caption, …}]}`, as the challenge's own
 * `train_val_videodatainfo.json`. Lists are CSV files: of training, with the column `video_id`; of the test, with `video_id` and
 * `sentence`, the one caption that is searched for. Without lists the splits are those of `videos`, with all captions.
 *
 * Training clips have all their captions, in the order of the JSON.
 */
import { ConfigError, DataError } from "../../../lib/errors.ts";
import { shorten } from "../../../lib/text.ts";
import { parseCsv } from "../csv.ts";
import { type AnnotationFile, type Caption, type Split, splitOfFile } from "../entries.ts";
import {
  type CaptionedClip,
  captionedDataset,
  type CaptionedReader,
  type CaptionFiles,
  idOf,
  isObject,
} from "./dataset.ts";

const SPLITS: Readonly<Record<string, Split>> = { train: "train", validate: "val", val: "val", test: "test" };

/** Captions of every video. */
type Sentences = ReadonlyMap<string, readonly Caption[]>;

export const msrvtt: CaptionedReader = {
  recognises: ({ json, texts }) =>
    json.some(({ value }) => isInfo(value)) || texts.length > 0 && texts.every((file) => isTable(file)),

  read(files) {
    const sentences = sentencesOf(files);
    return captionedDataset(
      files.texts.length === 0
        ? clipsOfInfo(files, sentences)
        : files.texts.flatMap((table) => clipsOfTable(table, sentences)),
    );
  },
};

function isInfo(value: unknown): value is { sentences: unknown[]; videos?: unknown } {
  return isObject(value) && Array.isArray(value.sentences);
}

/** Whether a table names videos, and either captions or nothing else. */
function isTable({ text }: AnnotationFile): boolean {
  const names = /[^\r\n]*/.exec(text.replace(/^\uFEFF/, "").slice(0, 1000))![0].split(",").map((name) =>
    name.trim()
  );
  return names.includes("video_id") && (names.includes("sentence") || names.length === 1);
}

function sentencesOf({ json }: CaptionFiles): Sentences {
  const sentences = new Map<string, Caption[]>();
  let place = 0;
  for (const { file, value } of json) {
    if (!isInfo(value)) {
      throw new DataError(`Cannot read "${file}": it must hold "sentences", as MSRVTT_data.json does`);
    }
    for (const sentence of value.sentences) {
      const { video_id: video, caption } = (sentence ?? {}) as { video_id?: unknown; caption?: unknown };
      if (typeof caption !== "string") {
        throw new DataError(
          `Cannot read "${file}": sentence ${place + 1} must have a caption, current value is ${
            shorten(JSON.stringify(sentence ?? null))
          }`,
        );
      }
      const id = idOf(video, file), own = sentences.get(id) ?? [];
      sentences.set(id, own);
      own.push({ text: caption, place: place++ });
    }
  }
  return sentences;
}

function clipsOfInfo({ json }: CaptionFiles, sentences: Sentences): CaptionedClip[] {
  return json.flatMap(({ file, value }) => {
    const { videos } = value as { videos?: unknown };
    if (!Array.isArray(videos)) {
      throw new ConfigError(
        `Cannot prepare: lists of videos must be given beside "${file}", which has none, such as MSRVTT_train.9k.csv`,
      );
    }
    return videos.map((video): CaptionedClip => {
      const { video_id, split: stated } = (video ?? {}) as { video_id?: unknown; split?: unknown };
      const id = idOf(video_id, file), split = SPLITS[String(stated)];
      if (split === undefined) {
        throw new DataError(
          `Cannot read "${file}": the split of ${id} must be train, validate or test, current value is ${
            shorten(JSON.stringify(stated ?? null))
          }`,
        );
      }
      return { split, paths: [id], captions: sentences.get(id) ?? [] };
    });
  });
}

function clipsOfTable({ file, text }: AnnotationFile, sentences: Sentences): CaptionedClip[] {
  const [header, ...rows] = parseCsv(text, file), split = splitOfFile(file);
  const column = (name: string) => header.fields.map((field) => field.trim()).indexOf(name);
  const videoColumn = column("video_id"), captionColumn = column("sentence");
  const listed = new Map<string, Caption[]>();
  for (const [place, { fields, line }] of rows.entries()) {
    const id = idOf(fields[videoColumn], file, line), own = listed.get(id) ?? [];
    listed.set(id, own);
    if (captionColumn >= 0) own.push({ text: fields[captionColumn] ?? "", place });
  }
  if (captionColumn < 0 && sentences.size === 0) {
    throw new ConfigError(
      `Cannot prepare: MSRVTT_data.json must be given beside "${file}", which names videos and no captions`,
    );
  }
  return [...listed].map(([id, own]) => ({
    split,
    paths: [id],
    captions: captionColumn >= 0 ? own : sentences.get(id) ?? [],
  }));
}
