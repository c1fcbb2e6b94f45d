/**
 * LSMDC: files without a header, six fields between tabs: id of the clip, start and end twice, sentence (`LSMDC16_annos_training.csv`,
 * `LSMDC16_annos_val.csv`, `LSMDC16_challenge_1000_publictect.csv`). A clip lies in the folder of its film, or below the root.
 */
import { DataError } from "../../../lib/errors.ts";
import { type AnnotationFile, type Split, splitOfFile } from "../entries.ts";
import { boundedLines, quoted } from "../text.ts";
import { type CaptionedClip, captionedDataset, type CaptionedReader, idOf } from "./dataset.ts";

/** `<film>_<start>-<end>`, with times such as `00.00.51.926`. */
const CLIP_ID = /^(.+)_\d\d\.\d\d\.\d\d\.\d{3}-\d\d\.\d\d\.\d\d\.\d{3}$/;
const FIELDS = 6;

export const lsmdc: CaptionedReader = {
  recognises: ({ json, texts }) => json.length === 0 && texts.length > 0 && texts.every(isAnnotations),
  read: ({ texts }) => captionedDataset(texts.flatMap(clipsOf)),
};

function isAnnotations({ text }: AnnotationFile): boolean {
  return CLIP_ID.test(/^[^\t\r\n]{0,1000}/.exec(text.replace(/^\uFEFF/, ""))![0]);
}

function clipsOf({ file, text }: AnnotationFile): CaptionedClip[] {
  const split = splitOf(file),
    clips = new Map<string, CaptionedClip & { captions: { text: string; place: number }[] }>();
  for (const [place, row] of boundedLines(text, file).entries()) {
    if (row.trim() === "") continue;
    const fields = row.split("\t");
    if (fields.length !== FIELDS) {
      throw new DataError(
        `Cannot read "${file}" line ${
          place + 1
        }: a line must have ${FIELDS} fields between tabs, current count is ${fields.length}, in ${
          quoted(row)
        }`,
      );
    }
    const id = idOf(fields[0], file, place + 1), film = CLIP_ID.exec(id)?.[1];
    const clip = clips.get(id) ??
      { split, paths: film === undefined ? [id] : [`${film}/${id}`, id], captions: [] };
    clips.set(id, clip);
    clip.captions.push({ text: fields[FIELDS - 1], place });
  }
  return [...clips.values()];
}

/** The public test of the challenge says so in other words. */
function splitOf(file: string): Split {
  return /challenge|publict/i.test(file.replace(/^.*[\\/]/, "")) ? "test" : splitOfFile(file);
}
