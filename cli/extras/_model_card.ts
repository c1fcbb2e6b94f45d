/** A run as a model card: a README.md in the form of Hugging Face's, metadata first. */

import { basename, isAbsolute } from "node:path";
import * as YAML from "yaml";
import { formatBytes, formatCount, formatDuration } from "../../lib/text.ts";
import { systemOf } from "../../models/registry.ts";
import { towerSizes } from "../../models/towers.ts";
import { type Config, formatConfig } from "../../train/recipe/config.ts";
import { metricOf, type Summary } from "../../train/files/run_folder.ts";
import { formatMetric } from "../../train/tasks/metric_text.ts";
import type { MetricColumn, Task } from "../../train/tasks/task.ts";

/** An evaluation of the run's weights besides those of training: what its `eval.json` says. */
export interface CardEvaluation {
  /** Name of its folder. */
  readonly name: string;
  readonly figures: Readonly<Record<string, unknown>>;
}

/** What a card is about. */
export interface CardOptions {
  config: Config;
  task: Pick<Task, "metrics" | "best" | "pipeline">;
  summary: Partial<Summary>;
  labels: readonly string[];
  evaluations: readonly CardEvaluation[];
  /** Clips of the validation list; null where it cannot be read any more. */
  validationClips: number | null;
  /** The file of weights that the figures are of, and its size. */
  weights: { name: string; bytes: number };
  /** Identifiers of the Hub. */
  license: string;
  datasets: readonly string[];
  /** Version of sidenet. */
  version: string;
}

/** Classes that are listed by name. */
const CLASSES_SHOWN = 200;
/** Names of metrics on the Hub, where it knows them under others than ours. */
const HUB_METRICS: Readonly<Record<string, string>> = { top1: "accuracy", top5: "top_5_accuracy" };
/** Where a recipe's paths stand: of a machine that is not the reader's, the last part alone is shown. */
const ASIDE = ["started_in", "run_root", "resume"] as const;

/** The card's text. */
export function renderModelCard(card: CardOptions): string {
  const { config } = card, { title } = systemOf(config.system);
  const sections: [title: string, text: string][] = [
    ["Results", resultsOf(card)],
    ["How to use", usageOf(card)],
    ["Data", dataOf(card)],
    ["Training", trainingOf(card)],
    ["Recipe", `\`\`\`yaml\n${formatConfig(withoutPlaces(config)).trimEnd()}\n\`\`\``],
  ];
  return [
    `---\n${YAML.stringify(metadataOf(card), { lineWidth: 0 })}---`,
    `# ${plain(config.name)}`,
    `${title}: a side network for video on a frozen ${
      backboneOf(config)
    }, which reads ${config.data.num_segments} frames of a clip. ${
      headline(card)
    }It was trained with sidenet ${card.version}; this card was written from its run.`,
    ...sections.map(([name, body]) => `## ${name}\n\n${body}`),
  ].join("\n\n") + "\n";
}

/** The backbone in words. */
function backboneOf({ network }: Config): string {
  const { imageSize } = towerSizes(network), pictures = `pictures of ${imageSize} × ${imageSize} pixels`;
  return `${network.arch === "custom" ? "image tower of its own size" : network.arch} (${pictures})`;
}

/** The best metric in a sentence. */
function headline({ task, summary, validationClips: clips }: CardOptions): string {
  const column = task.metrics.find(({ key }) => key === task.best), { best } = summary;
  if (!column || !best) return "";
  const on = clips === null
    ? "its validation list"
    : `the ${formatCount(clips)} clips of its validation list`;
  return `On ${on} it reaches ${column.title} ${formatMetric(column, metricOf(best, column.key))}. `;
}

/** What the Hub reads. */
function metadataOf(card: CardOptions): Record<string, unknown> {
  const { config, task, summary, license, datasets, evaluations } = card, pipeline = task.pipeline ?? "other";
  const shown = task.metrics.filter(({ detail }) => !detail);
  const metrics = (figures: Readonly<Record<string, unknown>>) =>
    shown.filter(({ key }) => Number.isFinite(metricOf(figures, key))).map(({ key, title }) => ({
      type: HUB_METRICS[key] ?? key,
      value: metricOf(figures, key),
      name: title,
    }));
  const [id] = datasets, dataset = { type: id ?? config.data.dataset, name: id ?? config.data.dataset };
  const result = (split: string, figures: Readonly<Record<string, unknown>>) => ({
    task: { type: pipeline, name: pipeline.replaceAll("-", " ") },
    dataset: { ...dataset, split },
    metrics: metrics(figures),
  });
  const results = [
    ...summary.best ? [result("validation", summary.best)] : [],
    ...evaluations.map(({ name, figures }) => result(name, figures)),
  ];
  return {
    license,
    library_name: "sidenet",
    pipeline_tag: pipeline,
    tags: [
      ...new Set([pipeline, "video", "side-network", "clip", config.system, ...summary.ema ? ["ema"] : []]),
    ],
    ...datasets.length > 0 && { datasets },
    metrics: shown.map(({ key }) => HUB_METRICS[key] ?? key),
    "model-index": [{ name: config.name, results }],
  };
}

function resultsOf({ task, summary, evaluations, config }: CardOptions): string {
  const rows = [
    ...summary.best
      ? [[`best, after epoch ${summary.best.epoch + 1} of ${config.solver.epochs}`, summary.best] as const]
      : [],
    ["end of training", summary] as const,
    ...evaluations.map(({ name, figures }) => [viewsOf(name, figures), figures] as const),
    ...summary.baseline ? [["before training", summary.baseline as Record<string, number>] as const] : [],
  ];
  const notes = [
    summary.ema
      ? `Figures and weights are those of the moving average of the weights (decay ${summary.ema}).`
      : "",
    stopOf(summary),
  ].filter(Boolean);
  return [
    table(
      ["evaluation", ...task.metrics.map(({ title }) => title)],
      rows.map(([name, figures]) => [
        name,
        ...task.metrics.map((column) => valueOf(column, figures)),
      ]),
    ),
    ...notes,
  ].join("\n\n");
}

function valueOf(column: MetricColumn, figures: Readonly<Record<string, unknown>>): string {
  const value = metricOf(figures, column.key);
  return Number.isFinite(value) ? formatMetric(column, value) : "–";
}

function viewsOf(name: string, figures: Readonly<Record<string, unknown>>): string {
  const { test_crops: crops, test_clips: clips, list, clips: count } = figures;
  const views = typeof crops === "number" && typeof clips === "number"
    ? `, ${crops} crops × ${clips} clips`
    : "";
  const on = typeof list === "string" && typeof count === "number"
    ? ` on ${formatCount(count)} clips of ${basename(list)}`
    : "";
  return `${name}${on}${views}`;
}

function stopOf({ early_stop: stop }: Partial<Summary>): string {
  const reason = (stop as { reason?: unknown } | undefined)?.reason;
  return typeof reason === "string" ? `The run ${reason}.` : "";
}

function usageOf({ config, weights }: CardOptions): string {
  const { captions } = systemOf(config.system), backbone = config.network.weights;
  const tower = backbone === null
    ? "The frozen backbone is random and follows from the seed in the file: nothing else is needed."
    : `The file holds what was trained. The frozen backbone is read from its own file, \`${
      basename(backbone)
    }\`: put it beside, or say where it is with \`network.weights=FILE\`.`;
  const commands = captions
    ? [`index ${weights.name} videos --out videos.index`, 'search videos.index "what happens"']
    : [`predict ${weights.name} clip.mp4`, `predict ${weights.name} match.mp4 --window 4 --html match.html`];
  return [
    tower,
    `\`\`\`\n${
      [...commands, `eval ${weights.name} data.val_list=LIST data.root=FOLDER`].map((line) =>
        `./denow ${line}`
      ).join("\n")
    }\n\`\`\``,
    `\`${weights.name}\` (${
      formatBytes(weights.bytes)
    }) is a safetensors file under the published parameter names, with recipe and class names inside; \`sidenet convert\` writes it as a PyTorch file.`,
  ].join("\n\n");
}

function dataOf({ config, summary, labels, datasets }: CardOptions): string {
  const { data } = config,
    figures: [string, string][] = [
      ["data set", datasets.length > 0 ? datasets.join(", ") : data.dataset],
      ["training clips", countIn(summary.training_clips)],
      ["frames of a clip", `${data.num_segments}, ${data.input_size} × ${data.input_size} pixels`],
      ["frames and clips that could not be used as they are", countIn(summary.data_problems)],
    ];
  const names = labels.slice(0, CLASSES_SHOWN).map(plain).join(", "), more = labels.length - CLASSES_SHOWN;
  const classes = labels.length === 0 ? [] : [
    `${formatCount(labels.length)} classes: ${names}${more > 0 ? `, and ${formatCount(more)} more` : ""}.`,
  ];
  return [table(["", ""], figures), ...classes].join("\n\n");
}

function countIn(value: unknown): string {
  return typeof value === "number" ? formatCount(value) : "–";
}

function trainingOf({ config, summary }: CardOptions): string {
  const { solver } = config, bytes = (value?: number) => value === undefined ? "–" : formatBytes(value);
  return table(["", ""], [
    ["trained parameters", countIn(summary.trainable_parameters)],
    ["frozen parameters", countIn(summary.frozen_parameters)],
    ["epochs, steps", `${countIn(summary.epochs)}, ${countIn(summary.steps)}`],
    [
      "optimiser",
      `${solver.optimizer}, learning rate ${solver.lr}, weight decay ${solver.weight_decay}, ${solver.type}`,
    ],
    ["batch", `${config.data.batch_size}${accumulated(solver.grad_accumulation_steps)}`],
    ["GPU memory", bytes(summary.gpu_bytes_allocated)],
    ["time", summary.seconds === undefined ? "–" : formatDuration(summary.seconds)],
    ["adapter", summary.adapter ?? "–"],
    ["seed", String(config.seed)],
  ]);
}

function accumulated(batches: number): string {
  return batches === 1 ? "" : ` × ${batches} accumulated`;
}

/** The recipe without where its files lie on the machine that trained. */
function withoutPlaces(config: Config): Config {
  const bare = (value: unknown): unknown => {
    if (typeof value === "string") return isAbsolute(value) ? basename(value) : value;
    if (Array.isArray(value)) return value.map(bare);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, bare(inner)]));
  };
  const kept = Object.entries(config).filter(([key]) => !(ASIDE as readonly string[]).includes(key));
  return bare(Object.fromEntries(kept)) as Config;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map(plain).join(" | ")} |`;
  return [line(head), `|${" --- |".repeat(head.length)}`, ...rows.map(line)].join("\n");
}

/** Text that means nothing in Markdown: names of classes and runs come out of files. */
function plain(text: string): string {
  return text.replace(/\s+/g, " ").replace(
    /[\\`*_{}[\]<>|#~]/g,
    (sign) => sign === "<" ? "&lt;" : `\\${sign}`,
  );
}

/** Name of the card among a run's files. */
export const CARD_FILE = "README.md";
