/**
 * MSVD: `train_list.txt`, `val_list.txt` and `test_list.txt` with an id a line, and `raw-captions.pkl` (or the same as JSON): from id to
 * a list of captions, each of them a list of words, or text. All captions are used, clip by clip in the order of the lists.
 */
import type { AnnotationFile } from "../entries.ts";
import {
  captionedDataset,
  type CaptionedReader,
  type CaptionFiles,
  firstValue,
  idLists,
  inOrder,
  textsOf,
} from "./dataset.ts";

export const msvd: CaptionedReader = {
  recognises: ({ json, texts }) =>
    json.length === 1 && Array.isArray(firstValue(json[0].value)) && texts.length > 0 && texts.every(isList),

  read({ json: [{ file, value }], texts }: CaptionFiles) {
    const captions = value as Record<string, unknown>;
    const clips = idLists(texts).flatMap(({ split, ids }) =>
      ids.map((id) => ({
        split,
        paths: [id],
        texts: Object.hasOwn(captions, id) ? sentencesOf(captions[id], { file, id }) : [],
      }))
    );
    return captionedDataset(inOrder(clips));
  },
};

function isList({ file }: AnnotationFile): boolean {
  return /\.(txt|list|lst)$/i.test(file);
}

/** Captions of a clip; one that is a list of words has a space between them. */
function sentencesOf(value: unknown, where: { file: string; id: string }): string[] {
  if (!Array.isArray(value)) return textsOf(value, where);
  return textsOf(value.map((one) => Array.isArray(one) ? textsOf(one, where).join(" ") : one), where);
}
