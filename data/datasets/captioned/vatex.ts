/**
 * VATEX. The release's files: lists of `{videoID, enCap, chCap}`, each of the split that its name says. Or the form of retrieval:
 * `vatex_data.json`, from id to `{enCap}`, with `train_list.txt`, `val_list.txt` and `test_list.txt`. The English captions are taken, all
 * of them, clip by clip. Clips lie below the root or in `train_video`, `val_video` and `test_video`.
 */
import { ConfigError } from "../../../lib/errors.ts";
import { splitOfFile } from "../entries.ts";
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

export const vatex: CaptionedReader = {
  recognises: ({ json }) =>
    json.some(({ value }) => hasCaptions(Array.isArray(value) ? value[0] : firstValue(value))),

  read({ json, texts }) {
    const captions = new Map<string, string[]>();
    const released: { split: ReturnType<typeof splitOfFile>; ids: string[] }[] = [];
    for (const { file, value } of json) {
      const clips: [id: string, clip: unknown][] = Array.isArray(value)
        ? value.map((clip) => [idOf(isObject(clip) ? clip.videoID : clip, file), clip])
        : Object.entries(value as Record<string, unknown>).map(([id, clip]) => [idOf(id, file), clip]);
      for (const [id, clip] of clips) {
        captions.set(id, textsOf(isObject(clip) ? clip.enCap : clip, { file, id }));
      }
      if (Array.isArray(value) && texts.length === 0) {
        released.push({ split: splitOfFile(file), ids: clips.map(([id]) => id) });
      }
    }
    const lists = texts.length > 0 ? idLists(texts) : released;
    if (lists.length === 0) {
      throw new ConfigError(
        `Cannot prepare: lists of ids must be given beside "${
          json[0].file
        }", such as train_list.txt and test_list.txt`,
      );
    }
    const clips = lists.flatMap(({ split, ids }) =>
      ids.map((id) => ({ split, paths: [`${split}_video/${id}`, id], texts: captions.get(id) ?? [] }))
    );
    return captionedDataset(inOrder(clips));
  },
};

function hasCaptions(clip: unknown): boolean {
  return isObject(clip) && "enCap" in clip;
}
