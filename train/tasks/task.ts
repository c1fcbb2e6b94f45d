/**
 * What a network is trained for, as a record: what batches bring besides frames, the loss, what an evaluation collects and how it
 * becomes metrics, and how those are shown. `classification.ts` is the first; a new kind of task is one file beside it and its line
 * in the registry.
 */

import { ConfigError } from "../../lib/errors.ts";
import type { Config } from "../recipe/config.ts";
import type { DataProblem } from "../feed/problems.ts";
import type { BatchInputs, Objective } from "../runtime/objective.ts";
import type { ClipRecord } from "../../data/datasets/list.ts";
import type { Query } from "../runtime/query.ts";
import type { Session } from "../runtime/session.ts";
import type { TrainBatch } from "../runtime/session_plan.ts";

/** A metric and how it is shown. */
export interface MetricColumn {
  /** Its name in `metrics.jsonl`, `summary.json` and `eval.json`. */
  readonly key: string;
  /** Its name on the terminal: "top-1". */
  readonly name: string;
  /** Its name in tables and charts: "top-1 accuracy". */
  readonly title: string;
  /** A share of 1 is shown as a percentage; ranks count from 1. */
  readonly format: "share" | "value" | "rank";
  readonly better: "more" | "less";
  /** Left out of the lines that tell of an evaluation while a run goes on. */
  readonly detail?: boolean;
}

/** Metrics by key, in the order of the task's columns. */
export type Metrics = Readonly<Record<string, number>>;

/** The parts of a recipe that a task reads. */
export type TaskRecipe = Pick<Config, "system" | "precision" | "data" | "network" | "solver" | "seed">;

/** What is known of the clips that a run trains on. */
export interface TrainingFacts {
  readonly clips: readonly ClipRecord[];
  /** Weight of each class's loss; null: all alike. */
  readonly classWeights: ArrayLike<number> | null;
}

/** What an evaluation may use besides what the network says of each clip. */
export interface EvaluationTools {
  readonly clips: readonly ClipRecord[];
  /** Asks the trained model one of the task's queries (`Session.ask`). */
  readonly ask: Session["ask"];
  readonly signal?: AbortSignal;
}

/** A clip of a batch. */
export interface PlacedClip {
  /** Place in the list of clips. */
  readonly index: number;
  readonly label: number;
  /** Frames that were chosen; what a short clip lacks, its last frame fills up. */
  readonly frameCount: number;
}

/** The clips of a batch, as far as a task looks at them, and where the batch stands. */
export interface BatchPlace {
  /** In the order of the batch. */
  readonly clips: readonly PlacedClip[];
  readonly epoch: number;
  /** In its epoch. */
  readonly batch: number;
}

/** What a batch brings besides frames, and how its clips are mixed. */
export type Encoded = Pick<TrainBatch, "inputs" | "mix">;

/** What the network gave for a clip. */
export interface ScoredClip {
  /** Position in the list. */
  readonly index: number;
  readonly path: string;
  readonly label: number;
  readonly frameCount: number;
  /** The collected outputs of each of its views. */
  readonly views: readonly Readonly<Record<string, Float32Array>>[];
  readonly problems: readonly DataProblem[];
  /** Nothing of the clip could be read: it was black. */
  readonly bad: boolean;
}

/** The least that is kept of a clip's result. */
export interface ClipResult {
  readonly index: number;
  readonly path: string;
  readonly label: number;
}

/** Makes what the clips of a batch bring. */
export type Encoder = (place: BatchPlace) => Encoded;

/** Puts the results of an evaluation together. */
export interface Evaluator<Result extends ClipResult, Details> {
  add(clip: ScoredClip): Result;
  /** The metrics in the task's order, and what further figures and pages need. */
  finish(): Finished<Details> | Promise<Finished<Details>>;
}

/** What an evaluation comes to. */
export interface Finished<Details> {
  metrics: Metrics;
  details: Details;
}

/** Result over a list. */
export interface Evaluation<Result extends ClipResult = ClipResult, Details = unknown> {
  readonly metrics: Metrics;
  readonly details: Details;
  /** In the order of the list. */
  readonly predictions: readonly Result[];
  readonly problems: readonly DataProblem[];
}

/** What an evaluation writes besides its metrics. */
export interface EvaluationResults {
  /** Further figures of `eval.json`: those that stand beside the metrics, and bulky ones at the end. */
  readonly figures: Readonly<Record<string, unknown>>;
  readonly tables: Readonly<Record<string, unknown>>;
  /** Files by name. */
  readonly files: Readonly<Record<string, string | Iterable<Uint8Array>>>;
}

/** What `predict` says of a clip. */
export interface Description {
  /** Fields of the JSON line, after the path. */
  readonly json: Readonly<Record<string, unknown>>;
  /** Lines for people. */
  readonly lines: readonly string[];
}

/** A kind of task. `Said` is what the network says of a clip from all its views. */
// deno-lint-ignore no-explicit-any -- the registry holds tasks of different kinds
export interface Task<Said = any, Result extends ClipResult = any, Details = any> {
  readonly id: string;
  /** What model hubs call it; "other" when absent. */
  readonly pipeline?: string;
  /** In the order in which they are shown. */
  readonly metrics: readonly MetricColumn[];
  /** Further figures of an evaluation of its own, beside the metrics. */
  readonly figures?: readonly MetricColumn[];
  /** The metric by which the best weights are kept. */
  readonly best: string;
  /** The metric that decides where the best one is equal; without one, the earlier weights are kept. */
  readonly thenBy?: string;
  /** Outputs of the model that an evaluation reads. */
  readonly collects: readonly string[];
  /** What batches bring, and what is minimised. */
  training(recipe: TaskRecipe): {
    inputs: BatchInputs;
    objective: Objective;
    /** Whether batches may be mixed; not, when absent. */
    mixes?: boolean;
  };
  /** What else the trained model is asked in an evaluation; nothing when absent. */
  queries?(recipe: TaskRecipe): readonly Query[];
  /** Makes what a training batch brings. */
  encoder(recipe: TaskRecipe, facts: TrainingFacts): Encoder | Promise<Encoder>;
  /** What the network says of a clip, from the outputs of its views. */
  read(views: ScoredClip["views"]): Said;
  evaluator(recipe: TaskRecipe, tools: EvaluationTools): Evaluator<Result, Details>;
  /** What makes the metrics say less than they seem to, one line each; nothing when absent. */
  remarks?(details: Details): string[];
  /** What an evaluation writes besides its metrics; nothing when absent. */
  results?(
    evaluation: Evaluation<Result, Details>,
    options: { labels: readonly string[]; everything: boolean },
  ): EvaluationResults;
  /** A row for every class or the like, for `eval --per-class`: as JSON, and as name and text. */
  rows?(
    details: Details,
    labels: readonly string[],
  ): { json: readonly unknown[]; lines: readonly (readonly [string, string])[] };
  /** What is said of a clip, for `predict`; absent where nothing can be, without classes or sentences to choose from. */
  describe?(said: Said, options: { labels: readonly string[]; top: number }): Description;
  /** Shares of classes in what the network says, where a timeline of classes can be drawn from it. */
  shares?(said: Said): Float64Array;
}

/**
 * What a task says of a clip.
 *
 * @throws {ConfigError} where it says nothing.
 */
export function describerOf<Said>(
  task: Pick<Task<Said>, "id" | "describe">,
): NonNullable<Task<Said>["describe"]> {
  const { describe } = task;
  if (describe) return (...said) => describe(...said);
  throw new ConfigError(
    `Cannot predict: the model's task, ${task.id}, knows no classes; give some with --classes, or use index and search`,
  );
}

/** The column of a task's best metric. */
export function bestColumn(task: Pick<Task, "best" | "metrics" | "id">): MetricColumn {
  return columnOf(task, task.best);
}

function columnOf({ metrics, id }: Pick<Task, "metrics" | "id">, key: string): MetricColumn {
  const column = metrics.find((column) => column.key === key);
  if (column) return column;
  throw new Error(`Cannot use task "${id}": its best metric "${key}" must be among its metrics`);
}

/** Whether metrics are better than others by the task's best metric, or where it is equal by the one that decides then. */
export function isBest(
  task: Pick<Task, "best" | "thenBy" | "metrics" | "id">,
  metrics: Metrics,
  before: Metrics | null,
): boolean {
  if (before === null) return true;
  for (const key of [task.best, ...task.thenBy === undefined ? [] : [task.thenBy]]) {
    const { better } = columnOf(task, key), difference = metrics[key] - before[key];
    if (difference !== 0) return better === "more" ? difference > 0 : difference < 0;
  }
  return false;
}
