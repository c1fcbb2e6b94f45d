/** The annotation files of a data set, whichever of the known forms they have: told apart by their names and what they hold. */
import { ConfigError } from "../../lib/errors.ts";
import { isHmdb51, isNamedIds, isUcf101, parseHmdb51, parseNamedIds, parseUcf101 } from "./action_splits.ts";
import { parseCaptioned } from "./captioned/parse.ts";
import { type AnnotationFile, type Dataset, type Entry, splitOfFile } from "./entries.ts";
import { isKineticsCsv, kineticsEntries, parseKineticsCsv } from "./kinetics_csv.ts";
import { parseClipList } from "./list.ts";
import { isSsv2Labels, parseSsv2Labels, parseSsv2Split } from "./ssv2_json.ts";

/**
 * Reads what a data set names.
 *
 * @param labels Class names of annotation lists; null: not given. Other forms have their own.
 * @throws {ConfigError} where the files do not go together
 */
export function parseAnnotations(
  files: readonly AnnotationFile[],
  labels: readonly string[] | null,
): Dataset {
  const captioned = parseCaptioned(files);
  if (captioned !== null) return captioned;
  const areAll = (ending: RegExp) => files.every(({ file }) => ending.test(file));
  if (areAll(/\.json$/i)) return parseSsv2(files);
  if (!areAll(/\.(csv|tsv|txt|list|lst)$/i)) {
    throw new ConfigError(
      `Cannot prepare: DATASET must be a folder, or files of one kind (.json, .csv or .txt), current value is "${
        files.map(({ file }) => file).join(" ")
      }"`,
    );
  }
  const ofKinetics = files.filter(({ text }) => isKineticsCsv(text));
  if (ofKinetics.length === files.length) {
    const rows = files.flatMap(({ file, text }) => parseKineticsCsv(text, file));
    return { ...kineticsEntries(rows), unusable: [] };
  }
  if (ofKinetics.length > 0) {
    throw new ConfigError(
      `Cannot prepare: DATASET must be files of one kind, "${
        ofKinetics[0].file
      }" is a CSV of Kinetics and others are not`,
    );
  }
  if (isUcf101(files)) return parseUcf101(files);
  if (isHmdb51(files)) return parseHmdb51(files);
  if (isNamedIds(files)) return parseNamedIds(files);
  return parseLists(files, labels);
}

function parseLists(files: readonly AnnotationFile[], labels: readonly string[] | null): Dataset {
  if (labels === null) throw new ConfigError("Cannot prepare: --labels must name the lists' label file");
  const entries = files.flatMap(({ file, text }): Entry[] => {
    // Two or three fields: the number of frames is counted anyway.
    const { clips } = parseClipList(text, { file, classes: labels.length, modality: "either" });
    return clips.map(({ path, label }) => ({ split: splitOfFile(file), label, paths: [path] }));
  });
  return { classes: labels, entries, unusable: [] };
}

function parseSsv2(files: readonly AnnotationFile[]): Dataset {
  const labels = files.filter(({ text }) => isSsv2Labels(text));
  const splits = files.filter(({ text }) => !isSsv2Labels(text));
  if (labels.length !== 1 || splits.length === 0) {
    throw new ConfigError(
      `Cannot prepare: there must be one JSON file of labels and at least one of clips, current counts are ${labels.length} and ${splits.length}`,
    );
  }
  const classes = parseSsv2Labels(labels[0].text, labels[0].file);
  const entries = splits.flatMap(({ file, text }) =>
    parseSsv2Split(text, { file, split: splitOfFile(file), classes })
  );
  return { classes, entries, unusable: [] };
}
