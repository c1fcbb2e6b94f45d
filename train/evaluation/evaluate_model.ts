/** A trained model on a list of clips, and on single clips: what `eval` and `predict` do, as functions. */

import type { TellStage } from "../../lib/stage.ts";
import type { ClipRecord } from "../../data/datasets/list.ts";
import type { World } from "../../mpi/world.ts";
import { type Config, dataRoots } from "../recipe/config.ts";
import { openFrameCache } from "../feed/frame_cache.ts";
import { requireReadable } from "../feed/readable.ts";
import { readSplit } from "../feed/lists.ts";
import { withFoundModality } from "../feed/modality.ts";
import type { TunedChoices } from "../runtime/device/tuned.ts";
import { taskOfRecipe } from "../tasks/session_options.ts";
import { describerOf, type Description, type ScoredClip } from "../tasks/task.ts";
import { evaluateClips, scoreClips, type ScoreOptions, type Views } from "./evaluate.ts";
import type { EvaluationRun } from "./evaluation_files.ts";
import type { EvaluationSet } from "./evaluation_set.ts";
import { findTrainedModel, openTrainedModel, type TrainedModel, viewBatch } from "./trained_model.ts";

/** How to evaluate or predict. */
export interface ModelOptions {
  /** null: one view a clip, by the rule of validation inside training. */
  views?: Views | null;
  signal?: AbortSignal;
  /** Measured kernel choices of this machine. */
  choices?: TunedChoices;
  /** Told what is being done before the first clip. */
  stage?: TellStage;
}

/** How to evaluate. */
export interface EvaluateModelOptions extends ModelOptions {
  /** List of clips instead of the recipe's `data.val_list`. */
  list?: string;
  /** Clips instead of a list's. */
  set?: EvaluationSet;
  /** Told once the GPU is open. */
  onOpened?: (adapter: string) => void;
  onProgress?: (done: number, total: number) => void;
  /** Something that is not as it should be, on its own line. */
  onNote?: (text: string) => void;
  /** The ranks that share the clips; one alone by default. */
  world?: World;
}

/** A model by its name: a run folder or a checkpoint, or what `findTrainedModel` gave. */
export type ModelTarget = string | TrainedModel;

async function modelOf(target: ModelTarget): Promise<TrainedModel> {
  return typeof target === "string" ? await findTrainedModel(target, { overrides: [] }) : target;
}

/**
 * Evaluates a model on its validation list, or on another one. Every clip counts once.
 *
 * @returns What `writeEvaluation` writes.
 * @example `const { evaluation } = await evaluateModel("runs/demo")`
 */
export async function evaluateModel(
  target: ModelTarget,
  options: EvaluateModelOptions = {},
): Promise<EvaluationRun> {
  const found = await modelOf(target), { labels, weights } = found;
  const { views = null, signal, list: valList, onNote: note } = options;
  const { set } = options;
  const config = set
    ? onSet(found.config, set)
    : await withFoundModality(found.config, { splits: ["val"], valList, note });
  const model = { ...found, config }, task = taskOfRecipe(config);
  const clips = set?.clips ??
    await readSplit(config, "val", { path: valList, keepShort: views !== null, note });
  const list = set?.name ?? options.list ?? config.data.val_list!, root = dataRoots(config).val;
  const batch = viewBatch(config, views, clips.length);
  await using frameCache = await openFrameCache(config, options.onNote);
  const { choices, stage } = options;
  await using session = await openTrainedModel(model, { clips, root, batch, choices, stage, signal });
  await requireReadable(config, clips, { list, root, signal });
  const { adapter } = session;
  options.onOpened?.(adapter);
  const started = performance.now();
  const { onProgress } = options;
  const evaluation = await evaluateClips(session, config, {
    task,
    clips,
    views,
    frameCache,
    signal,
    onProgress,
    world: options.world,
    note,
  });
  const seconds = (performance.now() - started) / 1000;
  for (const text of task.remarks?.(evaluation.details) ?? []) note?.(text);
  return { config, task, labels, weights, list, views, evaluation, seconds, adapter };
}

/** A recipe that reads a set's clips. */
function onSet(config: Config, { root, template }: EvaluationSet): Config {
  const data = { ...config.data, val_root: root, modality: "either" as const, image_tmpl: template };
  return { ...config, data: { ...data, first_frame: null, frame_cache: null } };
}

/** A clip and what the network says of it. */
export interface Predicted extends Description {
  readonly path: string;
  /** What the task makes of it: for classification the probabilities by class. */
  readonly said: unknown;
  readonly problems: ScoredClip["problems"];
  /** Nothing of the clip could be read. */
  readonly bad: boolean;
}

/**
 * Says what a model sees in clips: videos or folders of frames.
 *
 * @param options.top Classes of a clip's description, 5 by default.
 * @example `for await (const { path, lines } of predictClips("runs/demo", ["clip.mp4"])) console.log(path, lines[0])`
 */
export async function* predictClips(
  target: ModelTarget,
  paths: readonly string[],
  options: ModelOptions & Pick<ScoreOptions, "frameRate"> & {
    top?: number;
    onNote?: (text: string) => void;
  } = {},
): AsyncGenerator<Predicted> {
  const model = await modelOf(target), { config, labels } = model, task = taskOfRecipe(config);
  const describe = describerOf(task);
  const { views = null, frameRate, signal, top = 5, choices, stage } = options, root = "";
  const clips: ClipRecord[] = paths.map((path) => ({ path, label: 0, frames: null, line: 0 }));
  const batch = viewBatch(config, views, clips.length);
  await using session = await openTrainedModel(model, { clips, root, batch, choices, stage, signal });
  const scoring = {
    clips,
    root,
    modality: "either",
    views,
    frameRate,
    signal,
    note: options.onNote,
  } as const;
  for await (const clip of scoreClips(session, config, scoring)) {
    const said = task.read(clip.views);
    const { path, problems, bad } = clip;
    yield { path, said, problems, bad, ...describe(said, { labels, top }) };
  }
}
