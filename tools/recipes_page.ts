/**
 * Writes configs/README.md, the page of all recipes: their own first lines, what their keys say, and the memory that `plan` finds.
 *
 *     ./denow task docs:recipes
 */
import { join } from "node:path";
import SECTIONS from "../configs/sections.json" with { type: "json" };
import * as plan from "../cli/plan.ts";
import { createIo } from "../cli/shared/output.ts";
import { formatBytes, formatCount } from "../lib/text.ts";
import { type Config, loadConfig } from "../train/recipe/config.ts";
import { readTexts } from "./sources.ts";

const ROOT = new URL("../", import.meta.url);

/** Where the page lies. */
export const RECIPES_PAGE = new URL("configs/README.md", ROOT);

/** A recipe, as the page tells of it. */
export interface RecipeRow {
  /** Path below the root. */
  readonly file: string;
  /** The first sentence of its comment. */
  readonly title: string;
  /** The published result and its test, `70.6 / 92.5 % (3 crops x 2 clips)`; "" where none is published. */
  readonly published: string;
  readonly config: Config;
}

/** What a recipe takes, by `plan`. */
export interface Planned {
  readonly gpuBytes: number;
  readonly trainable: number;
}

const HEAD = `# Recipes

What can stand behind \`./denow train\`, \`plan\` and \`extract\`. This page is written by \`./denow task docs:recipes\` from the recipes themselves.
Data and weights lie where a recipe says, below the folder you start from; \`data.root=/data/ssv2\`, \`network.weights=ViT-B-16\` and any
[other key](../docs/config.md) behind the recipe say otherwise. How the lists are made: [docs/data.md](../docs/data.md), [docs/retrieval.md](../docs/retrieval.md).

Memory is that of a training step with the recipe's batch, as \`./denow plan RECIPE\` says it (frames of 456×256); a batch is in clips, and goes through a
smaller card in parts; "trained" counts parameters. None of the published results was measured here.
`;

/** Reads the recipes of configs/, sorted by path. */
export async function readRecipes(): Promise<RecipeRow[]> {
  const texts = await readTexts(ROOT, { folders: ["configs"], endings: [".yaml"] });
  return await Promise.all(
    texts.sort((a, b) => a.file < b.file ? -1 : 1).map(async ({ file, text }) => {
      const { config } = await loadConfig(join(ROOT.pathname, file));
      return { file, title: titleOf(text, file), published: publishedOf(text), config };
    }),
  );
}

/** The first sentence of the comment that a recipe begins with. */
function titleOf(text: string, file: string): string {
  const comment = /^(?:#.*\n)+/.exec(text)?.[0].replaceAll(/^# ?/gm, "").replaceAll("\n", " ") ?? "";
  const sentence = /^.*?[.:](?= )/.exec(comment)?.[0];
  if (sentence === undefined) {
    throw new Error(
      `Cannot describe ${file}: it must begin with a comment whose first sentence says what it is`,
    );
  }
  // What its folder holds stands above the table.
  return file.split("/").length > 2
    ? sentence.slice(0, -1).replace(/^[^,]*, (?:text-video retrieval, )?/, "")
    : sentence.slice(0, -1);
}

function publishedOf(text: string): string {
  const found = /^# Published (top-1|text-to-video R@1)(?: \/ top-5)?(?:, ([^:]*)| [^:]*)?: (.*) %\.$/m.exec(
    text,
  );
  if (found === null) return "";
  const [, metric, views, figures] = found;
  const figure = `${figures.replaceAll(" %", "")} %`;
  return metric === "top-1" ? `${figure} (${views})` : figure;
}

/** Plans a recipe as the verb does. */
export async function planOf(row: RecipeRow): Promise<Planned> {
  let stdout = "";
  const streams = {
    stdout: (text: string) => void (stdout += text),
    stderr: () => {},
    isTerminal: false,
    columns: () => 80,
  };
  const io = createIo(streams, { json: true, signal: new AbortController().signal });
  await plan.run([join(ROOT.pathname, row.file), "--json"], io);
  const { gpu_bytes: gpuBytes, trainable_parameters: trainable } = JSON.parse(stdout);
  return { gpuBytes, trainable };
}

/**
 * The page.
 *
 * @param planned What a recipe takes, as the cells for it.
 */
export function recipesPage(rows: readonly RecipeRow[], planned: (row: RecipeRow) => PlannedCells): string {
  const folderOf = ({ file }: RecipeRow) => file.split("/").slice(1, -1).join("/");
  const stray = rows.find((row) => !SECTIONS.some(({ folder }) => folder === folderOf(row)));
  if (stray !== undefined) {
    throw new Error(`Cannot place ${stray.file}: its folder must be one of those in configs/sections.json`);
  }
  const sections = SECTIONS.map(({ folder, title, text }) => {
    const lines = rows.filter((row) => folderOf(row) === folder).map((row) => lineOf(row, planned(row)));
    return `## ${title}\n\n${text}\n\n${table(lines)}`;
  });
  return `${HEAD}\n${sections.join("\n")}`;
}

/** Two cells of a line. */
export interface PlannedCells {
  readonly memory: string;
  readonly trainable: string;
}

/** How a page writes what was planned. */
export function plannedCells({ gpuBytes, trainable }: Planned): PlannedCells {
  return { memory: formatBytes(gpuBytes), trainable: formatCount(trainable) };
}

/** What a page says of the plan of a recipe; undefined where it has no such line. */
export function cellsOnPage(page: string, { file }: RecipeRow): PlannedCells | undefined {
  const line = page.split("\n").find((one) => one.startsWith(`| ${linkTo(file)} |`));
  const cells = line?.split("|").map((cell) => cell.trim());
  return cells &&
    { memory: cells[COLUMNS.indexOf("memory") + 1], trainable: cells[COLUMNS.indexOf("trained") + 1] };
}

const COLUMNS = [
  "recipe",
  "what it is",
  "published",
  "data",
  "weights",
  "frames",
  "batch",
  "memory",
  "trained",
  "epochs",
];

function lineOf(row: RecipeRow, { memory, trainable }: PlannedCells): readonly string[] {
  const { data, network, solver } = row.config;
  return [
    linkTo(row.file),
    row.title,
    row.published,
    dataOf(row.config),
    // A file beside its recipe is known by its whole path.
    network.init && network.weights !== null ? code(network.weights.replace(ROOT.pathname, "")) : "random",
    String(data.num_segments),
    formatCount(data.batch_size * data.num_sample),
    memory,
    trainable,
    String(solver.epochs),
  ];
}

function dataOf({ data }: Config): string {
  if (data.synth !== null) return "drawn";
  if (data.dataset === "own") return "yours";
  const form = { RGB: "frames", video: "videos", either: "frames or videos" }[data.modality];
  return data.root === null ? form : `${code(data.root)}, ${form}`;
}

const code = (text: string) => "`" + text + "`";
const linkTo = (file: string) =>
  `[${file.split("/").at(-1)!.replace(/\.yaml$/, "")}](${file.replace(/^configs\//, "")})`;

function table(rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`.replaceAll("|  |", "| |");
  return [line(COLUMNS), line(COLUMNS.map(() => "---")), ...rows.map(line)].join("\n") + "\n";
}

if (import.meta.main) {
  const rows = await readRecipes(), cells = new Map<string, PlannedCells>();
  for (const row of rows) cells.set(row.file, plannedCells(await planOf(row)));
  await Deno.writeTextFile(RECIPES_PAGE, recipesPage(rows, ({ file }) => cells.get(file)!));
}
