/** The files of a data set with captions, whichever of the known ones it is: told apart by what they hold. */
import { ConfigError } from "../../../lib/errors.ts";
import { type AnnotationFile, type Dataset, splitOfFile } from "../entries.ts";
import { isPairsList, parsePairs } from "../pairs.ts";
import { captionedDataset, type CaptionedReader, type CaptionFiles, captionFiles } from "./dataset.ts";
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
  requireOneDataset(sorted);
  return READERS.find((reader) => reader.recognises(sorted))?.read(sorted) ?? null;
}

/** Files of two data sets at once would be read as those of one, with captions missing. @throws {ConfigError} */
function requireOneDataset({ json }: CaptionFiles): void {
  const known = json.flatMap((one) => {
    const reader = READERS.find((reader) => reader.recognises({ json: [one], texts: [] }));
    return reader ? [{ file: one.file, reader }] : [];
  });
  const other = known.find(({ reader }) => reader !== known[0].reader);
  if (other === undefined) return;
  throw new ConfigError(
    `Cannot prepare: files must be those of one data set, "${
      known[0].file
    }" and "${other.file}" are of two at once; ` +
      "prepare each into a folder of its own",
  );
}
