/** What there is to say about a recipe that can be run. */

import { mostWorkers } from "../../data/frames/decode_pool.ts";
import { colourJitterOperations } from "../../data/transforms/colour_jitter.ts";
import { PUBLISHED_CROP_RATIO, PUBLISHED_CROP_SCALE } from "../../data/transforms/recipe.ts";
import { MIX_SMOOTHING } from "../../data/transforms/mixup.ts";
import { systemOf } from "../../models/registry.ts";
import { FLOAT_FAMILY } from "../../models/system.ts";
import type { Config } from "./_settled.ts";
import { isFolder } from "./frame_cache.ts";

/** Remarks on a recipe that can be run, each one line. */
export function remarksOn(config: Config): string[] {
  const { data, solver } = config;
  const remarks: string[] = [];
  if (solver.mixup && solver.smoothing !== MIX_SMOOTHING) {
    remarks.push(
      `solver.smoothing has no effect with solver.mixup: mixed targets are smoothed by ${MIX_SMOOTHING}`,
    );
  }
  if (data.colour_jitter !== null && colourJitterOperations(data.colour_jitter) === 0) {
    remarks.push("data.colour_jitter has no effect: its probability, or each of its ranges, is 0");
  }
  for (const key of idleFamilyKeys(config)) {
    remarks.push(
      `${key} has no effect in the family ${data.family}: it is a key of data.family=${FLOAT_FAMILY}`,
    );
  }
  if (data.workers > mostWorkers()) {
    remarks.push(
      `data.workers is lowered from ${data.workers} to ${mostWorkers()}: this machine's cores and memory hold no more`,
    );
  }
  if (config.arithmetic === "f16" && config.precision !== "f16") {
    remarks.push(
      "arithmetic f16 has no effect with precision f32: only what is stored as f16 is multiplied so",
    );
  }
  remarks.push(...idleRemarks(config));
  if (solver.lr_warmup_start > 0 && isByShare(solver.type)) {
    remarks.push(`solver.lr_warmup_start has no effect with solver.type ${solver.type}`);
  }
  if (solver.early_stop_delta > 0 && solver.early_stop === null) {
    remarks.push("solver.early_stop_delta has no effect without solver.early_stop");
  }
  if (data.shots_repeat && data.shots === null) {
    remarks.push("data.shots_repeat has no effect without data.shots");
  }
  if (isFolder(data.frame_cache) && data.features !== null) {
    remarks.push(
      "data.frame_cache is not read by training from data.features, only by extract and eval",
    );
  }
  if (data.balance === "loss" && data.batch_size * data.num_sample === 1) {
    remarks.push(
      "data.balance loss has no effect on batches of one clip: weights count against those of the same batch; use " +
        "data.balance=sampler",
    );
  }
  remarks.push(...systemOf(config.system).recipe.remarks?.(config) ?? []);
  if (!isByShare(solver.type) && solver.lr_refresh === "published" && solver.lr_warmup_step > 0) {
    remarks.push(
      "solver.lr_refresh is published: the first 9 updates have learning rate 0, as in the published code",
    );
  }
  return remarks;
}

/** Whether a schedule goes by the share of the run's steps, and not by epochs. */
function isByShare(type: Config["solver"]["type"]): boolean {
  return type.startsWith("warmup_");
}

/** Values under which a run goes through and learns nothing, or less than it seems. */
function idleRemarks({ data, solver, system }: Config): string[] {
  if (solver.evaluate) return [];
  const remarks: string[] = [];
  if (solver.lr === 0) remarks.push("solver.lr is 0: no weight is trained");
  else if (solver.clip_ratio === 0) {
    remarks.push("solver.clip_ratio is 0: the side network is not trained, only classifier and batch norms");
  }
  if (solver.smoothing === 1) remarks.push("solver.smoothing is 1: every class is as right as any other");
  if (data.num_classes === 1 && !systemOf(system).captions) {
    remarks.push("data.num_classes is 1: there is nothing to tell apart");
  }
  if (!isByShare(solver.type) && solver.lr_warmup_step > solver.epochs) {
    remarks.push(
      `solver.lr_warmup_step (${solver.lr_warmup_step}) is longer than the run (${solver.epochs} epochs): ` +
        "the rate never reaches solver.lr",
    );
  }
  return remarks;
}

/** Keys of the family dist that another has no use for, where they are not left alone. */
function idleFamilyKeys({ data }: Config): string[] {
  if (data.family === FLOAT_FAMILY) return [];
  const alone: [key: string, isAlone: boolean][] = [
    ["frame_rule", data.frame_rule === "segment"],
    ["test_side", data.test_side === null],
    ["crop_scale", data.crop_scale.every((value, i) => value === PUBLISHED_CROP_SCALE[i])],
    ["crop_ratio", data.crop_ratio.every((value, i) => value === PUBLISHED_CROP_RATIO[i])],
  ];
  return alone.filter(([, isAlone]) => !isAlone).map(([key]) => `data.${key}`);
}
