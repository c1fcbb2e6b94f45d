/** The files of a data set with captions, whichever of the known ones it is: told apart by what they hold. */
import { type AnnotationFile, type Dataset, splitOfFile } from "../entries.ts";
import { isPairsList, parsePairs } from "../pairs.ts";
import { captionedDataset, type CaptionedReader, captionFiles } from "./dataset.ts";
import { lsmdc } from "./lsmdc.ts";
import { msrvtt } from "./msrvtt.ts";
import { msvd } from "./msvd.ts";
import { activityNet, didemo } from "./paragraphs.ts";
import { vatex } from "./vatex.ts";

/** Lists of pairs, each of the split that its name says. */
const pairsLists: CaptionedReader = {
  recognises: ({ json, texts }) =>
    json.length === 0 && texts.length > 0 && texts.every(({ text }) => isPairsList(text)),
  read: ({ texts }) =>
    captionedDataset(texts.flatMap(({ file, text }) => {
      const split = splitOfFile(file);
      const { pairs } = parsePairs(text, { file });
      return [...Map.groupBy(pairs.entries(), ([, { path }]) => path)].map(([path, own]) => ({
        split,
        paths: [path],
        captions: own.map(([place, { caption }]) => ({ text: caption, place })),
      }));
    })),
};

const READERS: readonly CaptionedReader[] = [msrvtt, vatex, activityNet, didemo, msvd, lsmdc, pairsLists];

/** Reads what a data set with captions names; null where the files are of none. */
export function parseCaptioned(files: readonly AnnotationFile[]): Dataset | null {
  const sorted = captionFiles(files);
  return READERS.find((reader) => reader.recognises(sorted))?.read(sorted) ?? null;
}
