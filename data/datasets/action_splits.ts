/**
 * The split files of UCF101 and HMDB51, and the annotations of Jester and Something-Something V1.
 *
 * UCF101: `classInd.txt` (`1 ApplyEyeMakeup`, from 1), `trainlist01.txt` (`ApplyEyeMakeup/v_….avi 1`), `testlist01.txt` (the path
 * alone). HMDB51: a file a class, `brush_hair_test_split1.txt`, with `<video> <0: unused, 1: training, 2: test>`. Jester and V1: a
 * file of class names, one a line, and CSV files `<id>;<class name>`. The test clips of the first two are what is validated on.
 */
import { DataError } from "../../lib/errors.ts";
import { type AnnotationFile, type Dataset, type Entry, type Split, splitOfFile } from "./entries.ts";
import { boundedLines, quoted, splitLines } from "./text.ts";
import { sortNames } from "./walk.ts";

interface Line {
  text: string;
  line: number;
  fail(what: string): never;
}

function linesOf({ file, text }: AnnotationFile): Line[] {
  return boundedLines(text, file).flatMap((row, index) => {
    const whole = row.trim(), line = index + 1;
    const fail = (what: string): never => {
      throw new DataError(`Cannot read "${file}" line ${line}: ${what}, current value is ${quoted(whole)}`);
    };
    return whole === "" ? [] : [{ text: whole, line, fail }];
  });
}

/** A clip is a video, or the folder of its frames, which has no ending. */
function withFolder(path: string): string[] {
  return [...new Set([path, path.replace(/\.\w+$/, "")])];
}

const nameOf = (file: string) => file.replace(/^.*[\\/]/, "");

/** Whether files are those of UCF101: one of them numbers the classes. */
export function isUcf101(files: readonly AnnotationFile[]): boolean {
  return files.some(({ file }) => /^classInd/i.test(nameOf(file)));
}

/** Reads UCF101. @throws {DataError} where a class is none of `classInd.txt` */
export function parseUcf101(files: readonly AnnotationFile[]): Dataset {
  const isIndex = ({ file }: AnnotationFile) => /^classInd/i.test(nameOf(file));
  const classes = linesOf(files.find(isIndex)!).map(({ text, fail }, label) => {
    const [, number, name] = /^(\d+)\s+(\S+)$/.exec(text) ?? fail("a line must be a number and a class");
    if (Number(number) !== label + 1) fail(`the number of the class must be ${label + 1}`);
    return name;
  });
  const labels = new Map(classes.map((name, label) => [name, label]));
  const entries = files.filter((file) => !isIndex(file)).flatMap((list): Entry[] =>
    linesOf(list).map(({ text, fail }) => {
      const [, path, stated] = /^(\S+?)(?:\s+(\d+))?$/.exec(text) ??
        fail("a line must be a path and a number");
      const label = labels.get(path.split("/").at(-2) ?? "");
      if (label === undefined) return fail(`the folder must be one of ${classes.length} classes`);
      if (stated !== undefined && Number(stated) !== label + 1) {
        fail(`the number must be ${label + 1}, that of its folder`);
      }
      return { split: validated(splitOfFile(nameOf(list.file))), label, paths: withFolder(path) };
    })
  );
  return { classes, entries, unusable: [] };
}

function validated(split: Split): Split {
  return split === "test" ? "val" : split;
}

const HMDB_FILE = /^(.+)_test_split(\d+)\.txt$/i;

/** Whether files are those of HMDB51, by their names. */
export function isHmdb51(files: readonly AnnotationFile[]): boolean {
  return files.every(({ file }) => HMDB_FILE.test(nameOf(file)));
}

/** Reads HMDB51. @throws {DataError} where the files are of several splits */
export function parseHmdb51(files: readonly AnnotationFile[]): Dataset {
  const named = files.map((file) => ({ ...file, parts: HMDB_FILE.exec(nameOf(file.file))! }));
  const numbers = sortNames(new Set(named.map(({ parts }) => parts[2])));
  if (numbers.length > 1) {
    throw new DataError(
      `Cannot read "${files[0].file}" and others: they must be of one split, current values are ${
        numbers.join(", ")
      }`,
    );
  }
  const classes = sortNames(new Set(named.map(({ parts }) => parts[1])));
  const entries = named.flatMap(({ parts: [, name], ...list }) =>
    linesOf(list).flatMap(({ text, fail }): Entry[] => {
      const [, video, use] = /^(.+?)\s+([012])$/.exec(text) ?? fail("a line must be a video and 0, 1 or 2");
      if (use === "0") return [];
      const paths = [...withFolder(`${name}/${video}`), ...withFolder(video)];
      return [{ split: use === "1" ? "train" : "val", label: classes.indexOf(name), paths }];
    })
  );
  return { classes, entries, unusable: [] };
}

const isNames = ({ file }: AnnotationFile) => /label/i.test(nameOf(file));
/** A clip of a test split has no class. */
const NAMED_ID = /^([\w-]+)(?:\s*;\s*(.*))?$/;

/** Whether files are those of Jester or Something-Something V1: class names, and ids with a semicolon. */
export function isNamedIds(files: readonly AnnotationFile[]): boolean {
  const lists = files.filter((file) => !isNames(file));
  return lists.length === files.length - 1 && lists.length > 0 &&
    lists.every(({ text }) => /^[\w-]+\s*(;\s*[^\s\d].*)?$/.test(splitLines(text.trim())[0]));
}

/** Reads Jester or Something-Something V1. @throws {DataError} where a clip's class is none of the names */
export function parseNamedIds(files: readonly AnnotationFile[]): Dataset {
  const classes = linesOf(files.find(isNames)!).map(({ text }) => text);
  const labels = new Map(classes.map((name, label) => [name, label]));
  const entries = files.filter((file) => !isNames(file)).flatMap((list) => {
    const split = splitOfFile(list.file);
    return linesOf(list).map(({ text, fail }): Entry => {
      const [, id, name] = NAMED_ID.exec(text) ??
        fail("a line must be an id and a class, separated by a semicolon");
      const label = name === undefined && split === "test" ? 0 : labels.get(name ?? "");
      if (label === undefined) return fail(`the class must be one of ${classes.length}`);
      return { split, label, paths: [id] };
    });
  });
  return { classes, entries, unusable: [] };
}
