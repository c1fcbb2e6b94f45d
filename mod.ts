/**
 * The public API: build and train a side network from code, without the command line.
 *
 * @module
 */

export { openGpu } from "./gpu/device.ts";
export { createModel, type ModelSpec, Side4Video, VIT_PRESETS } from "./models/mod.ts";
export { type Config, loadConfig, parseConfig } from "./train/config.ts";
export { evaluateClips } from "./train/evaluate.ts";
export { createRunFolder, openRunFolder } from "./train/run_folder.ts";
export { Session } from "./train/session.ts";
export { planSession, type SessionOptions } from "./train/session_plan.ts";
export { train, type TrainOptions, type TrainResult } from "./train/trainer.ts";
export { openWeights } from "./data/checkpoint/open.ts";
export { openSafetensors } from "./data/checkpoint/safetensors.ts";
export { synthesize } from "./data/synth.ts";
