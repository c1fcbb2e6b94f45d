/** A key of the recipe in words, and the page of all keys: what `./denow keys` and docs/config.md say. */

import { type CatalogueKey, SECTION_TITLES } from "./catalogue.ts";

/** The parts of what is said of a key besides its text. */
export interface KeyFacts {
  /** "8; whole number from 1 to 8,192". */
  readonly value: string;
  /** "all", or the systems. */
  readonly readers: string;
  /** "published (dist): OPTIMIZER.BASE_LR"; "" where it has no other name. */
  readonly published: string;
}

/** What is said of a key. */
export function keyFacts(key: CatalogueKey): KeyFacts {
  const { values, systems, published } = key;
  return {
    value: `${key.default === undefined ? "" : "default "}${defaultText(key)}; ${values}`,
    readers: systems === null ? "all" : systems.join(", "),
    published: published.map(({ dialect, names }) => `published (${dialect}): ${names.join(", ")}`).join(
      "; ",
    ),
  };
}

/** The default as a recipe spells it, or that there is none. */
export function defaultText({ default: value }: CatalogueKey): string {
  if (value === undefined) return "to be given";
  return typeof value === "string" && value !== "" ? value : JSON.stringify(value);
}

/** docs/config.md. */
export function configPage(keys: readonly CatalogueKey[]): string {
  const sections = Object.entries(SECTION_TITLES).map(([section, title]) => {
    const rows = keys.filter((key) => key.section === section).map((key) => {
      const { readers, published } = keyFacts(key);
      const told = published === "" ? key.help : `${key.help} (${published})`;
      const value = key.default === undefined ? defaultText(key) : code(defaultText(key));
      return [code(key.name), value, cell(key.values), readers, cell(told)];
    });
    const heading = section === "" ? "Outside the sections" : code(section);
    return `## ${heading}: ${title}\n\n${table(["key", "default", "values", "read by", "what it is"], rows)}`;
  });
  return `${HEAD}\n${sections.join("\n")}`;
}

const HEAD = `# Keys of a recipe

Every key that a recipe may have, from the schema that reads it; \`./denow keys [SECTION|WORD]\` says the same. This page is written by
\`./denow task docs:config\`. A key stands in a YAML file under its section, or behind the recipe as \`section.key=value\`. "Read by" names the
systems that read a key; a key that the others are given is refused or has no effect. "published" gives the names of a key in files of other
layouts, which are recipes too. A run folder's \`config.yaml\` holds all of them with the values that were used.
`;

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n") + "\n";
}

const cell = (text: string) => text.replace(/[|<>*_[\]\\]/g, "\\$&");
const code = (text: string) => "`" + text.replaceAll("|", "\\|") + "`";
