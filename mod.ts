/**
 * sidenet as a library: plan, train, evaluate, predict, export, index and search from code, without the command line (docs/library.md). Nothing here
 * prints, reads the environment or ends the process, and no call depends on an earlier one: what is remembered are caches, and the
 * systems, tasks and page parts that you register.
 *
 * @example
 * ```ts
 * import { createRunFolder, evaluateModel, loadConfig, predictClips, synthesize, synthOptions, train } from "./mod.ts";
 *
 * // A recipe: any YAML file that the command line takes, with keys overridden.
 * const { config } = await loadConfig("configs/demo.yaml", ["solver.max_steps=20", "data.root=demo_data"]);
 * await synthesize(config.data.root!, synthOptions(config)!); // the demo's clips; your own need nothing here
 *
 * // Training writes a run folder: weights, metrics, the state to go on from.
 * using folder = await createRunFolder("runs", config.name);
 * const { summary } = await train({ config, folder, events: { step: ({ step, loss }) => console.log(step, loss) } });
 * console.log(summary.steps, summary.adapter);
 *
 * // A run folder or a checkpoint is a model: here by three crops of one clip each.
 * const { evaluation } = await evaluateModel(folder.path, { views: { crops: 3, clips: 1 } });
 * console.log(evaluation.metrics.top1);
 *
 * // What it sees in single clips, best class first.
 * const path = `demo_data/${evaluation.predictions[0].path}`;
 * for await (const { lines } of predictClips(folder.path, [path])) console.log(lines[0]);
 * ```
 *
 * A network of your own is a `System` record (`registerSystem`), a task of your own a `Task` record (`registerTask`);
 * `tests/train/toy_system_test.ts` defines both.
 *
 * @module
 */

// Recipes and runs.
export {
  type Config,
  type ConfigSource,
  formatConfig,
  loadConfig,
  type LoadedConfig,
  parseConfig,
  synthOptions,
} from "./train/recipe/config.ts";
export { createRunFolder, openRunFolder, type RunFolder, type Summary } from "./train/files/run_folder.ts";
export { type SynthOptions } from "./data/synth/options.ts";
export { synthesize } from "./data/synth/dataset.ts";

// What a recipe takes, before it runs.
export {
  type MemoryKeys,
  type PlannedAdapter,
  type PlannedVariant,
  type PlanOptions,
  planRecipe,
  planVariant,
  type RecipePlan,
} from "./train/planning/plan_recipe.ts";
export { type PlannedStep, type StepTime, stepTime } from "./train/planning/step_time.ts";
export { publishedCard } from "./train/planning/published_cards.ts";
export type { AdapterRates } from "./train/planning/rates.ts";

// Training, evaluation, prediction, and their pages.
export { train, type TrainEvents, type TrainOptions, type TrainResult } from "./train/run/trainer.ts";
export { extractFeatures, type ExtractOptions, type ExtractResult } from "./train/features/writer.ts";
export { findTrainedModel, type TrainedModel } from "./train/evaluation/trained_model.ts";
export {
  evaluateModel,
  type EvaluateModelOptions,
  type ModelOptions,
  type ModelTarget,
  predictClips,
  type Predicted,
} from "./train/evaluation/evaluate_model.ts";
export type { Views } from "./train/evaluation/evaluate.ts";
export {
  type EvaluationFigures,
  type EvaluationRun,
  writeEvaluation,
} from "./train/evaluation/evaluation_files.ts";
export { type Reported, writeEvaluationReport, writeReport } from "./pages/report_data.ts";
export { registerPageParts } from "./pages/parts/registry.ts";
export type { PageParts } from "./pages/parts/parts.ts";
export { clipsOfPaths, type RefusePath } from "./train/feed/named_clips.ts";

// A model as ONNX files.
export {
  type ExportedFile,
  type ExportedModel,
  exportModel,
  type ExportOptions,
  type ExportResult,
} from "./train/export/export_model.ts";

// Clips found by sentences.
export { indexClips, type IndexClipsOptions } from "./train/search/index_clips.ts";
export {
  ClipSearch,
  type IndexModelPlace,
  openSearch,
  type OpenSearchOptions,
} from "./train/search/clip_search.ts";
export {
  buildIndex,
  type BuildIndexEvents,
  type BuildIndexOptions,
  type BuildIndexResult,
} from "./train/search/build_index.ts";
export {
  type AskedModel,
  type EmbeddingModel,
  findEmbeddingModel,
  indexModel,
} from "./train/search/embedding_model.ts";
export { ModelEmbedder, openEmbedder } from "./train/search/model_embedder.ts";
export { type SearchHit, SearchIndex, type SearchQueries } from "./train/search/search_index.ts";

// Systems and tasks of your own, and a session to drive by hand.
export { openGpu } from "./gpu/device.ts";
export { createModel, type ModelSpec } from "./models/mod.ts";
export { registerSystem, systemOf, SYSTEMS } from "./models/registry.ts";
export type { System } from "./models/system.ts";
export type { ModelInputs, ModelOutput, VideoModel } from "./models/video_model.ts";
export { registerTask, taskOf } from "./train/tasks/registry.ts";
export type { Evaluation, Metrics, Task } from "./train/tasks/task.ts";
export { sessionOptions, taskOfRecipe } from "./train/tasks/session_options.ts";
export { type Device, LocalDevice } from "./train/runtime/device/device.ts";
export { RemoteDevice, type RemoteOptions } from "./train/runtime/device/remote_device.ts";
export type { TunedChoices } from "./train/runtime/device/tuned.ts";
export { Session } from "./train/runtime/session.ts";
export { planSession, type SessionOptions, type TrainBatch } from "./train/runtime/session_plan.ts";

// Files of weights, and tokens of sentences.
export { type OpenWeights, openWeights, type OpenWeightsOptions } from "./data/checkpoint/open.ts";
export { openSafetensors } from "./data/checkpoint/safetensors.ts";
export {
  clipTokenizer,
  frameSentence,
  frameStrict,
  type Sentence,
  type Tokenizer,
} from "./data/text/tokenizer.ts";

// What is thrown, with the exit code that the command line gives it.
export { AdapterError, ConfigError, DataError, InterruptedError, NonFiniteError } from "./lib/errors.ts";
