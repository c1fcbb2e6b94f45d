/**
 * Data sets whose clips have one caption, a paragraph of all their sentences.
 *
 * ActivityNet Captions: `train.json`, `val_1.json`, from id to `{duration, timestamps, sentences}`; `train_ids.json`, `val_ids.json`, lists
 * of ids, say which are taken and in which order; a video is named like its id, `v_…`, or without that. DiDeMo: `train_data.json` and others, lists of `{video, description, times}`; and
 * `train_list.txt` and others, an id a line. An id of DiDeMo ends at its first dot. Both without lists: all clips of the file.
 */
import { DataError } from "../../../lib/errors.ts";
import { shorten } from "../../../lib/text.ts";
import { type Split, splitOfFile } from "../entries.ts";
import {
  captionedDataset,
  type CaptionedReader,
  firstValue,
  idLists,
  idOf,
  inOrder,
  isObject,
  textsOf,
} from "./dataset.ts";

/** Sentences of the clips of a split, in the order of its file. */
interface Paragraphs {
  split: Split;
  clips: ReadonlyMap<string, Paragraph>;
}

interface Paragraph {
  paths: readonly string[];
  sentences: readonly string[];
}

export const activityNet: CaptionedReader = {
  recognises: ({ json }) => json.some(({ value }) => isAnnotated(firstValue(value))),

  read({ json, texts }) {
    const lists = json.filter(({ value }) => Array.isArray(value)).map(({ file, value }) => ({
      split: splitOfFile(file),
      ids: (value as unknown[]).map((id) => idOf(id, file)),
    }));
    const paragraphs = json.filter(({ value }) => !Array.isArray(value)).map((
      { file, value },
    ): Paragraphs => ({
      split: splitOfFile(file),
      clips: new Map(
        Object.entries(value as Record<string, unknown>).map(([key, clip]) => {
          const id = idOf(key, file);
          return [id, {
            paths: [...new Set([id, id.replace(/^v_/, "")])],
            sentences: textsOf(isObject(clip) ? clip.sentences : clip, { file, id }),
          }];
        }),
      ),
    }));
    return joined(paragraphs, [...lists, ...idLists(texts)]);
  },
};

export const didemo: CaptionedReader = {
  recognises: ({ json }) => json.some(({ value }) => Array.isArray(value) && isMoment(value[0])),

  read({ json, texts }) {
    const paragraphs = json.map(({ file, value }): Paragraphs => {
      const clips = new Map<string, { paths: string[]; sentences: string[] }>();
      for (const moment of Array.isArray(value) ? value : [value]) {
        if (!isMoment(moment) || typeof moment.description !== "string") {
          throw new DataError(
            `Cannot read "${file}": each of its entries must have a video and a description, current value is ${
              shorten(JSON.stringify(moment ?? null))
            }`,
          );
        }
        const name = idOf(moment.video, file), id = beforeDot(name);
        const clip = clips.get(id) ?? { paths: [...new Set([id, name])], sentences: [] };
        clips.set(id, clip);
        clip.sentences.push(moment.description);
      }
      return { split: splitOfFile(file), clips };
    });
    const lists = idLists(texts).map(({ split, ids }) => ({ split, ids: ids.map(beforeDot) }));
    return joined(paragraphs, lists);
  },
};

function isAnnotated(clip: unknown): boolean {
  return isObject(clip) && "sentences" in clip && "timestamps" in clip;
}

function isMoment(moment: unknown): moment is { video: unknown; description: unknown } {
  return isObject(moment) && "video" in moment && "description" in moment;
}

function beforeDot(id: string): string {
  return id.replace(/\..*$/s, "");
}

/** The clips of the lists, or of a split without a list all that are described. */
function joined(
  paragraphs: readonly Paragraphs[],
  lists: readonly { split: Split; ids: readonly string[] }[],
) {
  const splits = new Set([...lists, ...paragraphs].map(({ split }) => split));
  const clips = [...splits].flatMap((split) => {
    const known = paragraphs.filter((one) => one.split === split).map(({ clips }) => clips);
    const own = lists.filter((list) => list.split === split);
    const ids = new Set(
      own.length > 0 ? own.flatMap(({ ids }) => ids) : known.flatMap((clips) => [...clips.keys()]),
    );
    return [...ids].map((id) => {
      const found = known.flatMap((clips) => clips.get(id) ?? []);
      const texts = found.map(({ sentences }) =>
        sentences.map((one) => one.trim()).filter(Boolean).join(" ")
      );
      return { split, paths: found[0]?.paths ?? [id], texts };
    });
  });
  return captionedDataset(inOrder(clips));
}
