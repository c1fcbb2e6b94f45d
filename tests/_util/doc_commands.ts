/** The commands that documents tell people to type: found in code blocks and inline code, and taken apart as a shell does it. */
import { readTexts } from "../../tools/sources.ts";

const ROOT = new URL("../../", import.meta.url);

/** What people type before a verb. */
const PROGRAMS = ["./denow", "denow", "sidenet"];

/** A command of a document. */
export interface DocCommand {
  /** Path below the root. */
  readonly file: string;
  readonly line: number;
  /** As it stands there, on one line. */
  readonly text: string;
  /** Words behind the program. */
  readonly args: readonly string[];
  /** Within a sentence, where a verb may stand without what it needs. */
  readonly isInline: boolean;
}

/** Where it stands, for messages. */
export function placeOf({ file, line, text }: DocCommand): string {
  return `${file}:${line}: ${text}`;
}

/** The commands of README.md, docs/ and configs/README.md, and of the comments that recipes begin with. */
export async function docCommands(): Promise<DocCommand[]> {
  const files = await readTexts(ROOT, { folders: ["docs", "configs"], endings: [".md", ".yaml"] });
  files.push({ file: "README.md", text: await Deno.readTextFile(new URL("README.md", ROOT)) });
  return files.sort((a, b) => a.file < b.file ? -1 : 1).flatMap(({ file, text }) =>
    file.endsWith(".md") ? commandsOfPage(file, text) : commandsOfComment(file, text)
  );
}

/** The commands of a page of Markdown. */
export function commandsOfPage(file: string, text: string): DocCommand[] {
  const found: DocCommand[] = [], prose: string[] = [];
  let isFenced = false, joined = "", start = 0;
  text.split("\n").forEach((line, i) => {
    prose.push("");
    if (/^\s*```/.test(line)) {
      isFenced = !isFenced;
    } else if (!isFenced) {
      prose[i] = line;
    } else {
      if (joined === "") start = i + 1;
      joined += line.replace(/\\$/, " ");
      if (line.endsWith("\\")) return;
      found.push(...commandsIn(joined, { file, line: start, isInline: false }));
      joined = "";
    }
  });
  // Inline code may go over the end of a line, but not of a paragraph.
  const lines = prose.join("\n");
  for (const { 1: code, index } of lines.matchAll(/(?<!`)`((?:(?!\n\s*\n)[^`])+)`(?!`)/g)) {
    const line = lines.slice(0, index).split("\n").length;
    if (PROGRAMS.some((program) => code.split(/\s/).includes(program)) || code.includes("$(./denow")) {
      found.push(...commandsIn(code.replaceAll("\n", " "), { file, line, isInline: true }));
    }
  }
  return found.sort((a, b) => a.line - b.line);
}

/** Commands at the end of a line of a recipe's comment, such as `# To train: sidenet train …`. */
function commandsOfComment(file: string, text: string): DocCommand[] {
  return text.split("\n").flatMap((line, i) => {
    const code = /^#.*?(?:: |^# )(sidenet .*)$/.exec(line)?.[1];
    return code === undefined ? [] : commandsIn(code, { file, line: i + 1, isInline: true });
  });
}

/** The commands on a line of a shell. */
function commandsIn(code: string, place: Pick<DocCommand, "file" | "line" | "isInline">): DocCommand[] {
  const inner = [...code.matchAll(/\$\(([^()]*)\)/g)].flatMap(([, text]) => commandsIn(text, place));
  const parts: string[][] = [[]];
  for (const word of shellWords(code)) {
    if (["|", "&&", "||", ";", "&"].includes(word)) parts.push([]);
    else parts.at(-1)!.push(word);
  }
  const own = parts.flatMap((words) => {
    const at = words.findIndex((word) => PROGRAMS.includes(word));
    const end = words.findIndex((word, i) => i > at && /^\d?>{1,2}/.test(word));
    if (at < 0) return [];
    const args = words.slice(at + 1, end < 0 ? undefined : end);
    return args.length === 0
      ? []
      : [{ ...place, args, text: code.replace(/\s#\s.*$/, "").replaceAll(/\s+/g, " ").trim() }];
  });
  return [...inner, ...own];
}

/** The words of a line, without quotes and without a comment behind them. */
export function shellWords(line: string): string[] {
  const words: string[] = [];
  let word: string | null = null;
  for (const match of line.matchAll(/\s+|"((?:[^"\\]|\\.)*)"|'([^']*)'|\\(.)|(.)/g)) {
    const [whole, double, single, escaped, plain] = match;
    if (plain === "#" && word === null) break;
    if (/^\s/.test(whole)) {
      if (word !== null) words.push(word);
      word = null;
    } else word = (word ?? "") + (double?.replaceAll(/\\(.)/g, "$1") ?? single ?? escaped ?? plain);
  }
  return word === null ? words : [...words, word];
}
