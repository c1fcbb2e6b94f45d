/** What names the classes of clips in `predict`: a trained classifier, or a network for retrieval with sentences about the classes. */
import type { TellStage } from "../../lib/stage.ts";
import type { ClipRecord } from "../../data/datasets/list.ts";
import { classPrompts } from "../../data/text/prompts.ts";
import { scoreClips, viewCount, type Views } from "../../train/evaluation/evaluate.ts";
import { openTrainedModel, type TrainedModel, viewBatch } from "../../train/evaluation/trained_model.ts";
import type { Config } from "../../train/recipe/config.ts";
import type { TunedChoices } from "../../train/runtime/device/tuned.ts";
import type { EmbeddingModel } from "../../train/search/embedding_model.ts";
import { openEmbedder } from "../../train/search/model_embedder.ts";
import { ZeroShot } from "../../train/search/zero_shot.ts";
import type { ScoredClip, Task } from "../../train/tasks/task.ts";

/** How to look at clips. Their paths are the user's own. */
export interface ClassifierOptions {
  /** Windows of clips are clips of their own. */
  clips: readonly ClipRecord[];
  /** The same without windows, for the sizes of their frames. */
  whole: readonly ClipRecord[];
  views: Views | null;
  /** Frames a second of clips that do not tell theirs. */
  frameRate?: number;
  choices: TunedChoices | undefined;
  signal: AbortSignal;
  /** Told what is being done before the first clip. */
  stage?: TellStage;
  /** Told, once, that frames are shrunk. */
  onNote?: (text: string) => void;
}

/** A model that names classes. */
export interface Classifier {
  /** Its file of weights. */
  readonly weights: string;
  readonly config: Config;
  readonly labels: readonly string[];
  /** What is made of what it says. */
  readonly task: Required<Pick<Task, "read" | "shares">>;
  /** Says what it sees in clips, in their order. */
  scores(options: ClassifierOptions): AsyncGenerator<ScoredClip>;
}

/** A classifier that was trained. */
export function trainedClassifier(
  model: TrainedModel,
  task: Required<Pick<Task, "read" | "shares">>,
): Classifier {
  const { weights, config, labels } = model;
  return {
    weights,
    config,
    labels,
    task,
    async *scores({ clips, whole, views, frameRate, choices, signal, stage, onNote }) {
      const root = "", batch = viewBatch(config, views, clips.length);
      await using session = await openTrainedModel(model, {
        clips: whole,
        root,
        batch,
        choices,
        stage,
        signal,
      });
      yield* scoreClips(session, config, {
        clips,
        root,
        modality: "either",
        views,
        frameRate,
        signal,
        note: onNote,
      });
    },
  };
}

/** A network for retrieval, and classes by sentences about them. */
export function zeroShotClassifier(
  model: EmbeddingModel,
  options: { labels: readonly string[]; templates: readonly string[]; note: (line: string) => void },
): Classifier {
  const { labels, templates, note } = options, { weights, config } = model;
  return {
    weights,
    config,
    labels,
    task: { read: ([{ shares }]) => Float64Array.from(shares), shares: (shares) => shares },
    async *scores({ clips, whole, views, choices, signal, stage, onNote }) {
      await using embedder = await openEmbedder(model, {
        clips: whole,
        atOnce: clips.length * viewCount(views),
        choices,
        stage,
        signal,
      });
      const prompts = classPrompts(labels, templates);
      for (const remark of await embedder.remarksOn(prompts.flat())) note(`note: ${remark}`);
      const zeroShot = await ZeroShot.create(embedder, prompts);
      for await (const clip of embedder.scored(clips, { views, signal, note: onNote })) {
        const shares = Float32Array.from(await zeroShot.sharesOf(embedder.featuresOf(clip)));
        yield { ...clip, views: [{ shares }] };
      }
    },
  };
}
