/**
 * Settles what a recipe leaves open (`auto`, null) from its other values, and refuses combinations that cannot be run.
 */
import { ConfigError } from "../../lib/errors.ts";
import { EVA_PRESETS, TDS_WINDOW, VIT_PRESETS } from "../../models/mod.ts";
import { type Requirement, unsupportedOptions } from "./_checks.ts";
import type { ParsedConfig } from "./_schema.ts";

type Settled<T, K extends keyof T, V> = Omit<T, K> & V;
type Network = Omit<ParsedConfig["network"], "type" | "fix_clip">;
type Solver = Omit<ParsedConfig["solver"], "epoch_offset" | "optim" | "loss_type" | "layer_decay">;

/** A complete recipe: every key has its final value, and keys without effect are gone. */
export type Config = Settled<ParsedConfig, "system" | "name" | "data" | "network" | "solver", {
  system: NonNullable<ParsedConfig["system"]>;
  name: string;
  data: Settled<
    ParsedConfig["data"],
    "seg_length" | "shot" | "family" | "resize" | "flip" | "grey" | "input_size" | "num_classes",
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

const DEFAULT_ARCH = "ViT-B/16";
/** Channels of one head of the side network's attention. */
const SIDE_HEAD_WIDTH = 64;
const KINETICS_GREY_PROBABILITY = 0.2;
/** Classes of Something-Something, of either version. */
const SOMETHING_CLASSES = 174;

/** A mirrored clip keeps its class in Kinetics; in Something-Something left becomes right, and only its own labels can tell. */
function flipOf(family: "sth" | "kinetics", classes: number | null): Config["data"]["flip"] {
  if (family === "kinetics") return "plain";
  return classes === SOMETHING_CLASSES ? "sth" : "none";
}

/** Side of the picture that the backbone takes. */
function imageSizeOf(
  { arch, backbone }: { arch: string | null; backbone: { image_size: number } | null },
): number {
  const preset = arch === null ? VIT_PRESETS[DEFAULT_ARCH] : VIT_PRESETS[arch] ?? EVA_PRESETS[arch];
  return backbone?.image_size ?? preset?.imageSize ?? VIT_PRESETS[DEFAULT_ARCH].imageSize;
}

/**
 * Settles a parsed recipe.
 *
 * @param origin the recipe in words, for messages, and the name of a run that has none
 */
export function settleConfig(parsed: ParsedConfig, origin: { label: string; runName: string }): Config {
  const { seg_length: _length, shot, ...data } = parsed.data;
  const { type: _type, fix_clip: _fixClip, ...network } = parsed.network;
  const { epoch_offset: _offset, optim: _optim, loss_type: _loss, layer_decay: _decay, ...solver } =
    parsed.solver;
  const family = data.family !== "auto"
    ? data.family
    : data.dataset.includes("something")
    ? "sth"
    : "kinetics";
  // The published TDS-CLIP files carry no name of a network; the window of pictures tells them.
  const system = parsed.system ?? (data.num_diff === null ? "side4video" : "tds-clip");
  // A synthetic set has its lists beside it.
  const made = (file: string) => data.synth === null || data.root === null ? null : `${data.root}/${file}`;
  const config: Config = {
    ...parsed,
    system,
    name: parsed.name ?? origin.runName,
    data: {
      ...data,
      train_list: data.train_list ?? made("train.txt"),
      val_list: data.val_list ?? made("val.txt"),
      family,
      resize: data.resize === "auto" ? family : data.resize,
      flip: data.flip !== "auto" ? data.flip : flipOf(family, data.num_classes),
      grey: data.grey !== "auto" ? data.grey : family === "sth" ? 0 : KINETICS_GREY_PROBABILITY,
      input_size: data.input_size ?? imageSizeOf(network),
      shots: data.shots ?? shot,
      shots_repeat: data.shots_repeat || shot !== null,
      num_diff: data.num_diff ?? (system === "tds-clip" ? TDS_WINDOW : null),
      num_classes: data.num_classes ?? (data.synth === null ? 0 : data.synth.classes.length),
    },
    network: {
      ...network,
      arch: network.arch ?? (network.backbone === null ? DEFAULT_ARCH : "custom"),
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

function requirements(parsed: ParsedConfig, config: Config): Requirement[] {
  const { data, network, solver } = config;
  const sideHeads = Math.floor(network.side_dim / SIDE_HEAD_WIDTH);
  const imageSize = imageSizeOf(network);
  const name = config.name;
  return [
    [!/[\\/]|^\.+$/.test(name), "name", "be a folder name without slashes", name],
    [data.num_classes > 0, "data.num_classes", "be the number of classes", parsed.data.num_classes],
    [
      data.synth === null || data.num_classes === data.synth.classes.length,
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
    ...windowRequirements(config),
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
    [
      backbone.eva === null || backbone.layers >= 2,
      "network.backbone.layers",
      "be at least 2 for an EVA tower, whose every second block has a side layer",
      backbone.layers,
    ],
    [
      backbone.eva?.rope_span == null || backbone.width / backbone.heads % 4 === 0,
      "network.backbone.width",
      "be a multiple of 4 for each head when eva.rope_span is given",
      backbone.width,
    ],
  ];
}

function windowRequirements({ system, data, network }: Config): Requirement[] {
  if (system !== "tds-clip") {
    return [[data.num_diff === null, "data.num_diff", `be null when system is ${system}`, data.num_diff]];
  }
  return [
    [
      data.num_diff === TDS_WINDOW,
      "data.num_diff",
      `be ${TDS_WINDOW} when system is tds-clip: the published network is made for no other window`,
      data.num_diff,
    ],
    [
      network.side_dim % 16 === 0,
      "network.side_dim",
      "be a multiple of 16 when system is tds-clip",
      network.side_dim,
    ],
    [
      !(network.arch in EVA_PRESETS) && !network.backbone?.eva,
      "network.arch",
      "be a CLIP tower when system is tds-clip",
      network.arch,
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
