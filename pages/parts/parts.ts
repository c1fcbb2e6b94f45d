/**
 * What a task adds to the page of a run or an evaluation, as a record. Every part may be left out: the page shows the task's
 * metrics by their columns alone. `registry.ts` finds the record of a task.
 */

import type { Config } from "../../train/recipe/config.ts";
import type { ClipResult, Evaluation } from "../../train/tasks/task.ts";

/** A section of the page; nothing of it is shown when its content is empty. */
export interface PageSection {
  title: string;
  /** HTML of the paragraph below the title; "": none. */
  about: string;
  /** HTML. */
  content: string;
}

/** A clip with what is true of it and what the network said of it. */
export interface Example {
  path: string;
  /** What is true of it: the name of its class. */
  label: string;
  /** The best answers with their shares, best first. The clip is right when the first of them is its label. */
  top: readonly { label: string; p: number }[];
  /** What its label got, and at which place among all, from 1; told where it is not among the best. */
  truth?: { p: number; rank: number };
}

/** A sentence and the clips that were found for it. */
export interface GalleryQuery {
  text: string;
  /** Rank of the clip that it describes, from 1. */
  rank: number;
  /** Best first. */
  hits: readonly { path: string; score: number; isRight: boolean }[];
}

/** Changes to the tile of a metric. */
export interface TileText {
  /** The column's title by default. */
  name?: string;
  /** Small text beside the figure. */
  note?: string;
}

/** What the chart of the metrics that are shares says besides their curves. */
export interface ShareChart {
  title: string;
  /** Lines across the chart, each with its name: the level of chance. Shares, 0 … 1. */
  levels: readonly { name: string; value: number }[];
}

/** How the training loss and that of the evaluations compare. */
export interface LossText {
  /** A sentence or two. */
  note: string;
  /** Lines across the chart: what no training can fall below. */
  levels: readonly { name: string; value: number }[];
}

/** What a task adds to the page. `labels` are the names of the run's classes, or whatever else the task names by number. */
// deno-lint-ignore no-explicit-any -- the registry holds parts of tasks of different kinds
export interface PageParts<Result extends ClipResult = any, Details = any> {
  /** Words for the line below the run's name: "174 classes". */
  about?(labels: readonly string[]): string;
  /** Keys of metrics that say nothing of a run with these labels: they get no tile and no curve. */
  hidden?(labels: readonly string[]): readonly string[];
  /** Texts of tiles, by the key of the metric or figure. */
  tiles?(labels: readonly string[]): Readonly<Record<string, TileText>>;
  shareChart?(labels: readonly string[]): ShareChart;
  lossText?(config: Config): LossText;
  /** Values of the task's figures, by key: the summary of a training run has the metrics alone. */
  figures?(details: Details): Readonly<Record<string, number>>;
  /** Sections between the curves and the example clips. */
  sections?(evaluation: Evaluation<Result, Details>, labels: readonly string[]): readonly PageSection[];
  /** Chooses up to `count` sentences that are shown with the clips that were found for them. */
  gallery?(evaluation: Evaluation<Result, Details>, options: { count: number }): readonly GalleryQuery[];
  /** Chooses up to `count` clips that the network was wrong about, those first of which it was surest; shown with their frames. */
  mistakes?(
    predictions: readonly Result[],
    options: { labels: readonly string[]; count: number },
  ): readonly Example[];
  /** Chooses up to `count` clips that are shown with their frames. */
  examples?(
    predictions: readonly Result[],
    options: { labels: readonly string[]; count: number },
  ): readonly Example[];
}
