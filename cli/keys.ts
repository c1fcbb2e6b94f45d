/** `sidenet keys`: every key of a recipe, from the schema that reads it. */
import { ConfigError } from "../lib/errors.ts";
import { nearestName } from "../lib/nearest_name.ts";
import { wrapText } from "../lib/wrap.ts";
import { catalogue, type CatalogueKey, findKeys, SECTION_TITLES } from "../train/recipe/catalogue.ts";
import { defaultText, keyFacts } from "../train/recipe/key_text.ts";
import { defineCommand, parseArguments } from "./shared/args.ts";
import type { Io } from "./shared/output.ts";

export const command = defineCommand({
  name: "keys",
  summary: "Say what the keys of a recipe are, take and default to",
  usage: "[SECTION|WORD]",
  offered: Object.keys(SECTION_TITLES).filter((section) => section !== ""),
  positionals: { max: 1 },
  details:
    `Without an argument, all keys by section, a line each. With a section (data, network, solver, logging, data.synth), a key or a
word, those keys in full: what they take, the default, who reads them, and their names in published files. A word is looked for in
names, also published ones, and in texts. docs/config.md holds the same. Keys are given in a recipe, or as key=value behind it.`,
  examples: [
    ["sidenet keys solver", "all of the training"],
    ["sidenet keys batch", "whatever has to do with batches"],
    ["sidenet keys BASE_LR", "what a published name is called here"],
  ],
  options: {},
});

// deno-lint-ignore require-await -- throws as the other verbs do
export async function run(args: string[], io: Io): Promise<number> {
  const { positionals: [word] } = parseArguments(command, args);
  const all = catalogue(), found = word === undefined ? all : findKeys(all, word);
  if (found.length === 0) {
    const nearest = nearestName(word, Object.keys(SECTION_TITLES).filter((section) => section !== "")) ??
      nearestName(word, all.map(({ name }) => name)) ??
      nearestName(word, all.map(({ name }) => name.split(".").at(-1)!));
    throw new ConfigError(
      `Cannot find a key for "${word}": it must be a section, a key or a word of its text; ${
        nearest === undefined ? `run "sidenet keys" for the list` : `the nearest is "${nearest}"`
      }`,
    );
  }
  for (
    const line of word === undefined ? overview(found, io) : inFull(found, io.columns)
  ) io.print(line);
  io.printJson({
    keys: found.map((key) => ({ ...key, default: key.default ?? null, required: key.default === undefined })),
  });
  return 0;
}

/** A line a key, under its section; in a terminal no longer than that is wide. */
function overview(keys: readonly CatalogueKey[], io: Io): string[] {
  const columns = io.isTerminal ? io.columns : Infinity;
  const names = keys.map(({ name }) => name), defaults = keys.map(defaultText);
  const width = (texts: readonly string[]) => Math.max(...texts.map((text) => text.length));
  const nameWidth = width(names), defaultWidth = Math.min(MOST_DEFAULT, width(defaults));
  const line = (key: CatalogueKey) => {
    const all = `  ${key.name.padEnd(nameWidth)}  ${defaultText(key).padEnd(defaultWidth)}  ${key.help}`;
    return all.length > columns ? `${all.slice(0, columns - 1)}…` : all;
  };
  return [
    ...Object.entries(SECTION_TITLES).flatMap(([section, title]) => [
      section === "" ? "Outside the sections: " + title : `${section}: ${title}`,
      ...keys.filter((key) => key.section === section).map(line),
      "",
    ]),
    `Columns: key, default, what it is. ${io.program} keys SECTION or ${io.program} keys WORD says all of it.`,
  ];
}

const MOST_DEFAULT = 12;

const INDENT = "    ";

/** Some lines a key. */
function inFull(keys: readonly CatalogueKey[], columns: number): string[] {
  return keys.flatMap((key, i) => {
    const { value, readers, published } = keyFacts(key);
    const told = [key.help, value, readers === "all" ? "" : `read by ${readers}`, published];
    return [
      ...i === 0 ? [] : [""],
      key.name,
      ...told.filter((text) => text !== "").flatMap((text) => wrapText(text, columns - INDENT.length)).map((
        line,
      ) => INDENT + line),
    ];
  });
}
