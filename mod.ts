/**
 * The public API: build and train a side network from code, without the command line.
 *
 * @module
 */

export { openGpu } from "./gpu/device.ts";
export { createModel, type ModelSpec, Side4Video, VIT_PRESETS } from "./models/mod.ts";
export { type Config, loadConfig, parseConfig } from "./train/recipe/config.ts";
export { evaluateClips } from "./train/evaluation/evaluate.ts";
export { createRunFolder, openRunFolder } from "./train/files/run_folder.ts";
export { Session } from "./train/runtime/session.ts";
export { planSession, type SessionOptions } from "./train/runtime/session_plan.ts";
export { train, type TrainOptions, type TrainResult } from "./train/run/trainer.ts";
export { openWeights } from "./data/checkpoint/open.ts";
export { openSafetensors } from "./data/checkpoint/safetensors.ts";
export { synthesize } from "./data/synth/dataset.ts";
