/**
 * Settles what a recipe leaves open (`auto`, null) from its other values, and refuses combinations that cannot be run.
 */
import { ConfigError } from "../lib/errors.ts";
import type { ParsedConfig } from "./_config_schema.ts";
import { countSynthClasses } from "./_config_synth.ts";

type Settled<T, K extends keyof T, V> = Omit<T, K> & V;
type Network = Omit<ParsedConfig["network"], "type" | "fix_clip">;
type Solver = Omit<ParsedConfig["solver"], "epoch_offset" | "optim" | "loss_type" | "layer_decay">;

/** A complete recipe: every key has its final value, and keys without effect are gone. */
export type Config = Settled<ParsedConfig, "name" | "data" | "network" | "solver", {
  name: string;
  data: Settled<
    ParsedConfig["data"],
    "seg_length" | "family" | "resize" | "flip" | "grey" | "input_size" | "num_classes",
    {
      family: "sth" | "kinetics";
      resize: "sth" | "kinetics" | "none" | [height: number, width: number];
      flip: "none" | "plain" | "sth";
      grey: number;
      input_size: number;
      num_classes: number;
    }
  >;
  solver: Solver;
  network: Settled<Network, "arch" | "n_emb" | "tm", {
    arch: NonNullable<ParsedConfig["network"]["arch"]>;
    n_emb: number;
    tm: false;
  }>;
}>;

/** Side of the picture that the published backbones take. */
const PRESET_IMAGE_SIZE = 224;
/** Channels of one head of the side network's attention. */
const SIDE_HEAD_WIDTH = 64;
const KINETICS_GREY_PROBABILITY = 0.2;

/**
 * Settles a parsed recipe.
 *
 * @param origin the recipe in words, for messages, and the name of a run that has none
 */
export function settleConfig(parsed: ParsedConfig, origin: { label: string; runName: string }): Config {
  const { seg_length: _length, ...data } = parsed.data;
  const { type: _type, fix_clip: _fixClip, ...network } = parsed.network;
  const { epoch_offset: _offset, optim: _optim, loss_type: _loss, layer_decay: _decay, ...solver } =
    parsed.solver;
  const family = data.family !== "auto"
    ? data.family
    : data.dataset.includes("something")
    ? "sth"
    : "kinetics";
  const config: Config = {
    ...parsed,
    name: parsed.name ?? origin.runName,
    data: {
      ...data,
      family,
      resize: data.resize === "auto" ? family : data.resize,
      flip: data.flip !== "auto" ? data.flip : family === "sth" ? "sth" : "plain",
      grey: data.grey !== "auto" ? data.grey : family === "sth" ? 0 : KINETICS_GREY_PROBABILITY,
      input_size: data.input_size ?? network.backbone?.image_size ?? PRESET_IMAGE_SIZE,
      num_classes: data.num_classes ?? (data.synth === null ? 0 : countSynthClasses(data.synth)),
    },
    network: {
      ...network,
      arch: network.arch ?? (network.backbone === null ? "ViT-B/16" : "custom"),
      n_emb: network.n_emb ?? network.side_dim,
      tm: false,
    },
    solver,
  };
  for (const [holds, key, must, value] of requirements(parsed, config)) {
    if (holds) continue;
    throw new ConfigError(
      `Cannot use ${origin.label}: ${key} must ${must}, current value is ${JSON.stringify(value)}`,
    );
  }
  return config;
}

type Requirement = [holds: boolean, key: string, must: string, value: unknown];

function requirements(parsed: ParsedConfig, config: Config): Requirement[] {
  const { data, network, solver } = config;
  const sideHeads = Math.floor(network.side_dim / SIDE_HEAD_WIDTH);
  const imageSize = network.backbone?.image_size ?? PRESET_IMAGE_SIZE;
  const name = config.name;
  return [
    [!/[\\/]|^\.+$/.test(name), "name", "be a folder name without slashes", name],
    [data.num_classes > 0, "data.num_classes", "be the number of classes", parsed.data.num_classes],
    [
      data.synth === null || data.num_classes === countSynthClasses(data.synth),
      "data.num_classes",
      "equal the number of classes that data.synth makes",
      data.num_classes,
    ],
    ...backboneRequirements(config),
    [
      data.input_size === imageSize,
      "data.input_size",
      `equal the backbone's picture side (${imageSize})`,
      data.input_size,
    ],
    [
      sideHeads >= 1 && network.side_dim % sideHeads === 0,
      "network.side_dim",
      `be at least ${SIDE_HEAD_WIDTH} and divisible by its number of heads (side_dim / ${SIDE_HEAD_WIDTH}, rounded down)`,
      network.side_dim,
    ],
    [
      network.n_emb === network.side_dim,
      "network.n_emb",
      `equal network.side_dim (${network.side_dim})`,
      network.n_emb,
    ],
    [
      solver.start_epoch < solver.epochs,
      "solver.start_epoch",
      `come before solver.epochs (${solver.epochs})`,
      solver.start_epoch,
    ],
    [
      solver.betas.every((beta) => beta < 1),
      "solver.betas",
      "be two numbers below 1",
      solver.betas,
    ],
    ...decayRequirements(config),
    ...unsupportedOptions(parsed),
  ];
}

function backboneRequirements({ network }: Config): Requirement[] {
  const { backbone, arch } = network;
  const both: Requirement = [
    (backbone === null) === (arch !== "custom"),
    "network.arch",
    backbone === null ? "come with network.backbone" : "be custom when network.backbone is given",
    arch,
  ];
  if (backbone === null) return [both];
  return [
    both,
    [
      backbone.image_size % backbone.patch_size === 0,
      "network.backbone.image_size",
      `be a multiple of patch_size (${backbone.patch_size})`,
      backbone.image_size,
    ],
    [
      backbone.width % backbone.heads === 0,
      "network.backbone.width",
      `be a multiple of heads (${backbone.heads})`,
      backbone.width,
    ],
  ];
}

function decayRequirements({ solver }: Config): Requirement[] {
  if (solver.type !== "multistep") return [];
  const decay = solver.lr_decay_step;
  const first = decay === null ? -1 : typeof decay === "number" ? decay : Math.min(...decay);
  const must = `start after the warm-up (${solver.lr_warmup_step} epochs) when solver.type is multistep`;
  return [[first > solver.lr_warmup_step, "solver.lr_decay_step", must, decay]];
}

/** Options of the published code that no shipped recipe switches on and that are not built. */
function unsupportedOptions({ data, network, solver }: ParsedConfig): Requirement[] {
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
  return [
    off(
      "data.modality",
      data.modality,
      data.modality === "RGB",
      "be RGB: video files are not read, extract frames",
    ),
    off("data.shot", data.shot, data.shot === null, "be null: few-shot selection is not built"),
    off("data.rand_erase", data.rand_erase, !data.rand_erase),
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
    ...(["drop_out", "emb_dropout", "drop_fc"] as const).map((key) =>
      off(`network.${key}`, network[key], network[key] === 0, "be 0: dropout is not built")
    ),
    off("solver.mixup", solver.mixup, !solver.mixup),
  ];
}

/** Remarks on a recipe that can be run, each one line. */
export function remarksOn(config: Config): string[] {
  const { data, solver } = config;
  const remarks: string[] = [];
  if (data.rand_aug) {
    remarks.push("data.rand_aug is true, but RandAugment is not built: training goes on without it");
  }
  if (data.batch_size * data.num_sample === 1) {
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
