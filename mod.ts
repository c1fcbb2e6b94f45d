/**
 * sidenet as a library: train, evaluate and predict from code, without the command line. Nothing here prints, reads the environment
 * or keeps state between calls.
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

export { openGpu } from "./gpu/device.ts";
export { createModel, type ModelSpec } from "./models/mod.ts";
export { registerSystem, systemOf, SYSTEMS } from "./models/registry.ts";
export type { System } from "./models/system.ts";
export type { ModelInputs, ModelOutput, VideoModel } from "./models/video_model.ts";
export { type Config, loadConfig, parseConfig, synthOptions } from "./train/recipe/config.ts";
export { registerTask, taskOf } from "./train/tasks/registry.ts";
export type { Evaluation, Metrics, Task } from "./train/tasks/task.ts";
export { sessionOptions, taskOfRecipe } from "./train/tasks/session_options.ts";
export { type Device, LocalDevice } from "./train/runtime/device/device.ts";
export { RemoteDevice } from "./train/runtime/device/remote_device.ts";
export { Session } from "./train/runtime/session.ts";
export { planSession, type SessionOptions, type TrainBatch } from "./train/runtime/session_plan.ts";
export { evaluateModel, predictClips } from "./train/evaluation/evaluate_model.ts";
export { buildIndex } from "./train/search/build_index.ts";
export { findEmbeddingModel, indexModel } from "./train/search/embedding_model.ts";
export { openEmbedder } from "./train/search/model_embedder.ts";
export { SearchIndex } from "./train/search/search_index.ts";
export { writeEvaluation } from "./train/evaluation/evaluation_files.ts";
export { createRunFolder, openRunFolder } from "./train/files/run_folder.ts";
export { extractFeatures } from "./train/features/writer.ts";
export { train, type TrainOptions, type TrainResult } from "./train/run/trainer.ts";
export { writeEvaluationReport, writeReport } from "./pages/report_data.ts";
export { registerPageParts } from "./pages/parts/registry.ts";
export { openWeights } from "./data/checkpoint/open.ts";
export { openSafetensors } from "./data/checkpoint/safetensors.ts";
export {
  clipTokenizer,
  frameSentence,
  frameStrict,
  type Sentence,
  type Tokenizer,
} from "./data/text/tokenizer.ts";
export { synthesize } from "./data/synth/dataset.ts";
