/**
 * The frame of every page: head, style, what the page may do, and the section that says how it was made. Pages are self-contained
 * files; their policy lets them load nothing and run no script but the one written here.
 */
import { createHash } from "node:crypto";
import manifest from "../deno.json" with { type: "json" };
import tableScript from "./_tables.js" with { type: "text" };
import type { Config } from "../train/recipe/config.ts";
import { recipeHash } from "../train/recipe/hash.ts";
import { shorten } from "../lib/text.ts";
import { escapeHtml, section } from "./html.ts";
import { PAGE_STYLE } from "./look.ts";

/** What is known of how a page came to be. */
export interface PageOrigin {
  /** The command that wrote it, as it can be typed again. */
  command?: string;
  /** When; now by default. */
  made?: Date;
}

/** A page. */
export interface Page {
  title: string;
  /** The heading; the title by default. */
  heading?: string;
  /** Text below the title; "": none. */
  about: string;
  /** HTML between the header and the section on how the page was made. */
  content: string;
  /** Further style. */
  style?: string;
  /** Whether tables are sorted and filtered by the page's script. */
  tables?: boolean;
  origin?: PageOrigin;
  /** What else is told of the page's making: the data set, the model, the recipe. Rows without a text are left out. */
  facts: readonly Fact[];
}

/** A name and its text. */
export type Fact = readonly [name: string, text: string | undefined];

/** Renders a page. */
export function renderPage(
  { title, heading = title, about, content, style = "", tables = false, origin, facts }: Page,
): string {
  const script = tables ? tableScript : "";
  const policy = [
    "default-src 'none'",
    "img-src data:",
    "style-src 'unsafe-inline'",
    ...script === "" ? [] : [`script-src 'sha256-${createHash("sha256").update(script).digest("base64")}'`],
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
  const intro = about === "" ? "" : `<p>${escapeHtml(about)}</p>`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>${escapeHtml(title)} · sidenet</title>
<style>${PAGE_STYLE}${style}</style></head>
<body><main><header><h1>${escapeHtml(heading)}</h1>${intro}</header>${content}${
    originSection(facts, origin)
  }<footer>Written by sidenet. This page is self-contained: it loads nothing.</footer></main>${
    script === "" ? "" : `<script>${script}</script>`
  }</body></html>
`;
}

/** Characters of a command, at most: a pattern may stand for thousands of paths. */
const MOST_COMMAND = 2000;

/** The section at the end of every page. */
function originSection(facts: readonly Fact[], { command, made = new Date() }: PageOrigin = {}): string {
  const rows: Fact[] = [
    ["Date", made.toISOString().replace(/T(\d\d:\d\d).*/, " $1 UTC")],
    ["Command", command && shorten(command, MOST_COMMAND)],
    ["Version", `sidenet ${manifest.version}`],
    ...facts,
  ];
  return section("How this page was made", "", factsTable(rows, { code: ["Command"] }));
}

/** Names with their texts as a table. @param options.code Names whose text is code. */
export function factsTable(rows: readonly Fact[], { code = [] }: { code?: readonly string[] } = {}): string {
  const lines = rows.flatMap(([name, text]) => {
    if (text === undefined || text === "") return [];
    const shown = code.includes(name) ? `<code>${escapeHtml(text)}</code>` : escapeHtml(text);
    return [`<tr><th scope="row">${escapeHtml(name)}</th><td class="wrap">${shown}</td></tr>`];
  });
  if (lines.length === 0) return "";
  return `<div class="scroll"><table class="plain"><tbody>${lines.join("")}</tbody></table></div>`;
}

/** The row that tells a recipe from others, wherever its files lie and without any repository. */
export function recipeFact(config: Config): Fact {
  return ["Recipe", `${config.name}, hash ${recipeHash(config)}`];
}
