/**
 * `report.html`: one self-contained page about a run (no request leaves it), with the headline figures, curves, what the
 * task's page parts add, example clips, problems with the data and the config.
 */
import { type Config, formatConfig } from "../train/recipe/config.ts";
import type { EvalRecord, StepRecord, Summary } from "../train/files/run_folder.ts";
import { type DataProblem, describeProblems } from "../train/feed/problems.ts";
import type { Evaluation, Task } from "../train/tasks/task.ts";
import { type Cards, exampleSection, mistakeSection } from "./_examples.ts";
import { figuresTable, headlineTiles } from "./_figures.ts";
import { type Gallery, gallerySection } from "./_gallery.ts";
import { chartStyle, renderCharts } from "./_training_charts.ts";
import { escapeHtml, section, shortened } from "./html.ts";
import { type Fact, type PageOrigin, recipeFact, renderPage } from "./page.ts";
import type { PageSection } from "./parts/parts.ts";
import { pagePartsOf } from "./parts/registry.ts";
import { dataTable } from "./tables.ts";

export type { Cards, ExampleClip } from "./_examples.ts";

/** What a report is made of. */
export interface ReportData {
  config: Config;
  task: Pick<Task, "id" | "metrics" | "figures" | "best">;
  summary: Partial<Summary>;
  /** Training progress; without any there are no curves. */
  steps: readonly StepRecord[];
  evals: readonly EvalRecord[];
  /** The last evaluation; null when none was made. */
  evaluation: Evaluation | null;
  /** Names of the classes, or of what else the task numbers. */
  labels: readonly string[];
  examples: Cards;
  /** Clips that the network was surest of and wrong about. */
  mistakes: Cards;
  /** Absent in tasks without sentences. */
  gallery?: Gallery;
  problems: readonly DataProblem[];
  /** How the page was made, and what else is told of that, such as the data set. */
  origin?: PageOrigin;
  facts: readonly Fact[];
}

const PROBLEMS_SHOWN = 200;

/** Renders the page. */
export function renderReport(data: ReportData): string {
  const { config, task, summary, evaluation } = data, parts = pagePartsOf(task.id);
  const labels = shortened(data.labels);
  const hidden = parts.hidden?.(labels) ?? [];
  const columns = task.metrics.filter(({ key }) => !hidden.includes(key));
  const subtitle = [
    `${summary.system ?? config.system} on ${summary.backbone ?? config.network.arch}`,
    parts.about?.(labels),
    `${config.data.num_segments} frames a clip`,
  ].filter((words) => words !== undefined).join(" · ");
  const tiles = headlineTiles(summary, {
    task,
    hidden,
    texts: parts.tiles?.(labels) ?? {},
    own: evaluation === null ? {} : parts.figures?.(evaluation.details) ?? {},
  });
  const charts = renderCharts(data.steps, data.evals, {
    columns,
    best: task.best,
    shareChart: parts.shareChart?.(labels),
    lossText: parts.lossText?.(config),
  });
  const sections: readonly PageSection[] = [
    { title: "Training", about: "", content: charts },
    ...(evaluation === null ? [] : parts.sections?.(evaluation, labels) ?? []),
    ...data.gallery ? [gallerySection(data.gallery)] : [],
    mistakeSection(data.mistakes),
    exampleSection(data.examples),
    { title: "Figures", about: "", content: figuresTable(summary, task) },
    { title: "Data problems", about: problemsIntro(data.problems), content: problems(data.problems) },
    { title: "Config", about: "", content: configDetails(config) },
  ];
  const content = [tiles, ...sections.map(({ title, about, content }) => section(title, about, content))];
  return renderPage({
    title: config.name,
    about: subtitle,
    content: content.join(""),
    style: chartStyle(columns),
    tables: true,
    origin: data.origin,
    facts: [...data.facts, ["Device", summary.adapter], recipeFact(config)],
  });
}

function configDetails(config: Config): string {
  return `<details><summary>Resolved config</summary><pre tabindex="0">${
    escapeHtml(formatConfig(config))
  }</pre></details>`;
}

function problemsIntro(list: readonly DataProblem[]): string {
  if (list.length === 0) return "";
  const shown = list.length > PROBLEMS_SHOWN ? `, of which the first ${PROBLEMS_SHOWN} are listed` : "";
  return `${describeProblems(list.length)}${shown}.`;
}

function problems(list: readonly DataProblem[]): string {
  if (list.length === 0) return "<p>None: every frame was read.</p>";
  return dataTable(list.slice(0, PROBLEMS_SHOWN), [
    { title: "File", kind: "path", cell: ({ path }) => escapeHtml(path) },
    { title: "Problem", cell: ({ problem }) => escapeHtml(problem) },
  ], { label: "Data problems", filter: { id: "problems", what: "file" } });
}
