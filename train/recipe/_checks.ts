/** What sidenet does not do that a recipe can ask for, and remarks on recipes that can be run. */
import { colourJitterOperations } from "../../data/transforms/colour_jitter.ts";
import { MIX_SMOOTHING } from "../../data/transforms/mixup.ts";
import { EVA_PRESETS } from "../../models/mod.ts";
import type { Config } from "./_resolve.ts";
import type { ParsedConfig } from "./_schema.ts";

/** Something that a value must satisfy. */
export type Requirement = [holds: boolean, key: string, must: string, value: unknown];

/** Options of the published code that no shipped recipe switches on and that are not built: only "off" is accepted. */
export function unsupportedOptions({ data, network, solver }: ParsedConfig): Requirement[] {
  const off = (
    key: string,
    value: unknown,
    holds: boolean,
    must = "be false: the option is not built",
  ): Requirement => [
    holds,
    key,
    must,
    value,
  ];
  const zero = (key: string, value: number) => off(key, value, value === 0, "be 0: dropout is not built");
  return [
    [
      data.synth === null || data.modality === "RGB",
      "data.modality",
      "be RGB with data.synth, which makes folders of frames",
      data.modality,
    ],
    off(
      "data.shot",
      data.shot,
      data.shot === null || data.shots === null,
      "be null when data.shots is given: it is the published name of that",
    ),
    off("network.tm", network.tm, network.tm === false || network.tm === "False"),
    off("network.joint_st", network.joint_st, !network.joint_st),
    off(
      "network.sim_header",
      network.sim_header,
      network.sim_header === null,
      "be None: there is no fusion head",
    ),
    off(
      "network.my_fix_clip",
      network.my_fix_clip,
      network.my_fix_clip,
      "be true: the backbone is always frozen",
    ),
    zero("network.drop_out", network.drop_out),
    zero("network.emb_dropout", network.emb_dropout),
    zero("network.drop_fc", network.drop_fc),
    [
      !solver.mixup || data.batch_size * data.num_sample % 2 === 0,
      "data.batch_size",
      "make an even number of clips (times num_sample) when solver.mixup is true",
      data.batch_size,
    ],
  ];
}

/** Remarks on a recipe that can be run, each one line. */
export function remarksOn(config: Config): string[] {
  const { data, network, solver } = config;
  const remarks: string[] = [];
  if (solver.mixup && solver.smoothing !== MIX_SMOOTHING) {
    remarks.push(
      `solver.smoothing has no effect with solver.mixup: mixed targets are smoothed by ${MIX_SMOOTHING}`,
    );
  }
  if (data.colour_jitter !== null && colourJitterOperations(data.colour_jitter) === 0) {
    remarks.push("data.colour_jitter has no effect: its probability, or each of its ranges, is 0");
  }
  if (data.shots_repeat && data.shots === null) {
    remarks.push("data.shots_repeat has no effect without data.shots");
  }
  if (data.frame_cache !== null && data.features !== null) {
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
  // The side network of an EVA tower has no last batch norm.
  const isEva = network.arch in EVA_PRESETS || network.backbone?.eva != null;
  if (data.batch_size * data.num_sample === 1 && !isEva) {
    remarks.push(
      "a batch of one clip makes the last batch norm, followed by a mean over the clip, return a constant: only its " +
        "bias and the classifier will learn; use data.batch_size of 2 or more",
    );
  }
  if (solver.lr_refresh === "published" && solver.lr_warmup_step > 0) {
    remarks.push(
      "solver.lr_refresh is published: the first 9 updates have learning rate 0, as in the published code",
    );
  }
  return remarks;
}
