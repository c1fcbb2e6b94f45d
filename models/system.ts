/**
 * What the rest of the project asks about a network: a record that every system exports (`models/side4video.ts`, …) and that the
 * registry lists. Nothing outside `models/`, `configs/`, the recipe's dialects and the registry knows a system by name.
 */

import type { z } from "zod";
import type { Dtype } from "../gpu/graph.ts";
import type { Weight, WeightSource } from "./params.ts";
import type { FileNames } from "./parts/file_names.ts";
import type { BackboneKeys, ShapeSource } from "./tower.ts";
import type { ModelOptions, VideoModel } from "./video_model.ts";

export type { BackboneKeys, ShapeSource } from "./tower.ts";

/** One published network. `Sizes` is what it is built from: plain data. */
// deno-lint-ignore no-explicit-any -- the registry holds systems of different sizes
export interface System<Sizes = any> {
  /** Its name in recipes and run folders: "side4video". */
  readonly id: string;
  /** Its name for people: "Side4Video". */
  readonly title: string;
  /** The task it is trained for, by the name in the registry of tasks: "classification". */
  readonly task: string;
  /** Its lists are of clips and what is said of them in words, not of clips and their classes; not when absent. */
  readonly captions?: boolean;
  /** The published optimiser: what `solver.optimizer: auto` stands for. "adamw" when absent. */
  readonly optimizer?: OptimizerName;
  /** The published schedule: what `solver.type: auto` stands for. When absent that of the optimiser: "warmup_cosine" or "cosine". */
  readonly schedule?: ScheduleName;
  /** A published recipe of it under `configs/`, for examples in help texts. */
  readonly example?: string;
  readonly recipe: RecipePart<Sizes>;
  /** Builds the model: declares its weights. */
  build(sizes: Sizes, options: ModelOptions): VideoModel;
  /** Trained weights that depend on the task's own numbers (classes): what `pretrain` may begin anew. */
  readonly head: readonly string[];
  /** Trained weights that no loss reaches in the published network: kept as they are, never updated. None by default. */
  readonly leftAlone?: (weight: Weight, model: VideoModel) => boolean;
  readonly files: FilePart;
  /** The forms in which reference cases of it are recorded. */
  readonly cases: readonly CaseForm<Sizes>[];
}

/** Optimisers that a recipe may name. */
export type OptimizerName = "adamw" | "bert_adam";

/** Schedules of the learning rate that a recipe may name. */
export type ScheduleName =
  | "cosine"
  | "multistep"
  | "running_cosine"
  | "warmup_cosine"
  | "warmup_constant"
  | "warmup_linear";

/**
 * Which frames of a clip are read. "segments": T of them, one from each of as many equal parts, by the rules of classification. A number: one of the
 * published strategies of retrieval, by `data/sampling/retrieval_indices.ts`; a short clip may give fewer than T.
 */
export interface FrameRule {
  readonly sampling: "segments" | 1 | 2 | 3 | 4;
  /** Which of too many frames stay. 0: the first; 1: the last; 2: spread evenly. */
  readonly slice: 0 | 1 | 2;
}

/** The rules of DiST's data, by the name of where they come from; a recipe of any system may ask for them. */
export const FLOAT_FAMILY = "dist";

/** Rules for frame indices and transforms: those of Side4Video for Something-Something and for other sets, and those on floats. */
export const FAMILIES = ["sth", "kinetics", FLOAT_FAMILY] as const;
export type Family = typeof FAMILIES[number];

/** Something that a value of a recipe must satisfy. */
export type Requirement = [holds: boolean, key: string, must: string, value: unknown];

/** A group of trained weights with its own treatment by the optimiser. Groups lie in memory in this order. */
export interface OptimizerGroup {
  /** As weights are declared in it. */
  readonly name: string;
  /** Factor on the schedule's rate. */
  readonly lrScale: number;
  readonly weightDecay: number;
}

/** The parts of a settled recipe that a system may read. A system's own keys lie in the same sections. */
export interface SystemRecipe {
  readonly precision: Dtype;
  readonly data: {
    readonly num_segments: number;
    readonly num_classes: number;
    readonly batch_size: number;
    readonly num_sample: number;
    readonly [key: string]: unknown;
  };
  readonly network: {
    readonly arch: string;
    readonly backbone: BackboneKeys | null;
    readonly side_dim: number;
    readonly sync_bn: boolean;
    readonly [key: string]: unknown;
  };
  readonly solver: {
    readonly clip_ratio: number;
    readonly weight_decay: number;
    readonly grad_accumulation_steps: number;
    readonly [key: string]: unknown;
  };
}

/** What a system has to do with recipes. */
export interface RecipePart<Sizes> {
  /** Its own keys by section, with types, defaults and help. Two systems may share a key by sharing its schema. */
  readonly keys: { readonly data?: z.ZodRawShape; readonly network?: z.ZodRawShape };
  /** Whether a recipe that names no system is one of its own; the first system that says so is taken. */
  claims?(data: Readonly<Record<string, unknown>>): boolean;
  /** Values of its keys that follow from others: what it returns replaces keys of `data` and `network`. */
  settle?(recipe: { data: Readonly<Record<string, unknown>>; network: Readonly<Record<string, unknown>> }): {
    data?: Record<string, unknown>;
    network?: Record<string, unknown>;
  };
  /** Rules for frame indices and transforms, what `data.family: auto` stands for; by the data set's name when absent. */
  readonly family?: Family;
  /** What must hold in a settled recipe that names this system. */
  requirements(recipe: SystemRecipe): Requirement[];
  /** What must hold of this system's keys in the recipe of another one: that they are left alone. */
  foreignRequirements?(recipe: SystemRecipe, system: string): Requirement[];
  /** Remarks on a recipe that can be run, one line each. */
  remarks?(recipe: SystemRecipe): string[];
  /** What to build. */
  sizes(recipe: SystemRecipe): Sizes;
  /** Optimiser groups in memory order. */
  groups(recipe: SystemRecipe): OptimizerGroup[];
  /** Which frames of a clip are read, in training and in evaluation; "segments" when absent. */
  frameRule?(recipe: Pick<SystemRecipe, "data">, split: "train" | "val"): FrameRule;
  /** Pictures read for every frame, its neighbours and itself, and what stands in beyond the ends; null: the frame alone. */
  pictureWindow?(recipe: Pick<SystemRecipe, "data">): { size: number; edge: "clamp" | "wrap" } | null;
}

/** What a checkpoint looks like to one system. */
export interface Recognised {
  /** The system for people; a form of it may have a title of its own. */
  readonly title: string;
  /** Published name of the backbone that it was trained on, or its sizes in words; null when nothing tells. */
  readonly backbone: string | null;
  /** Width of the side network. */
  readonly sideDim: number | null;
}

/** What a system has to do with checkpoints. */
export interface FilePart extends FileNames {
  /** Whether the system trains this tensor of a backbone's file; none when absent. */
  trains?(name: string): boolean;
  /** Says what a checkpoint of this system is; null for one of another. Names are those used here. */
  recognise(source: ShapeSource): Recognised | null;
  /** Whether a full training checkpoint of the originals holds this tensor of a backbone's file; all of them when absent. */
  holdsOfBackbone?(name: string): boolean;
  /**
   * Keys of a recipe that a checkpoint's names and shapes tell, dotted, with their values; null where they tell none. What a recipe says
   * otherwise is wrong for this file.
   */
  keysIn?(source: ShapeSource): Readonly<Record<string, unknown>> | null;
  /** What a file that does not fit says about the network it belongs to, for error messages. */
  explain(source: WeightSource): string;
}

/** An activation as a case records it. */
export interface RecordedActivation {
  readonly shape: readonly number[];
  // deno-lint-ignore no-explicit-any -- JSON from outside
  readonly config: any;
}

/** A form of recorded reference cases. */
export interface CaseForm<Sizes> {
  /** "system" in the case's JSON. */
  readonly system: string;
  /** The sizes of the model that a case describes in the original's own names. */
  // deno-lint-ignore no-explicit-any -- JSON from outside, checked by what reads it
  sizes(config: any, label: string): Sizes;
  /** The optimiser groups of the recorded steps. */
  // deno-lint-ignore no-explicit-any -- as above
  groups(config: any): OptimizerGroup[];
  /** Sections of a recipe for the model, where its task reads more of one than the number of classes. */
  // deno-lint-ignore no-explicit-any -- as above
  recipe?(config: any, label: string): Pick<SystemRecipe, "data" | "network">;
  /** Axes of a recorded activation ("act.side.0") against ours: its values in the recorded layout. */
  toRecorded(name: string, values: Float32Array, recorded: RecordedActivation): Float32Array;
  /** Of a recorded activation what is computed here; all of it when absent. */
  computed?(name: string, values: Float32Array, recorded: RecordedActivation): Float32Array;
}
