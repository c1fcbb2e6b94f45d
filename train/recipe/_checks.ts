/** What must hold in a settled recipe, and remarks on recipes that can be run: the common part, and the systems'. */
import { CAPTIONED_KINDS, isCaptioned } from "../../data/synth/options.ts";
import { systemOf, SYSTEMS } from "../../models/registry.ts";
import { FLOAT_FAMILY, type Requirement } from "../../models/system.ts";
import { type BackboneKeys, type CustomBackbone, givesSizes } from "../../models/tower.ts";
import { TOWER_KEYS, towerOf, towerSizes } from "../../models/towers.ts";
import type { Config } from "./_settled.ts";
import type { ParsedConfig } from "./schema.ts";

/** The run's name, its classes and its tower. */
export function basicRequirements(parsed: ParsedConfig, config: Config): Requirement[] {
  const { name, data, network: { arch, backbone } } = config, { captions = false } = systemOf(config.system);
  return [
    [!/[\\/]|^\.+$/.test(name), "name", "be a folder name without slashes", name],
    ...captions ? captionRequirements(parsed) : [
      [
        data.captions === "all",
        "data.captions",
        "be left out where clips have classes",
        data.captions,
      ] as Requirement,
    ],
    [
      data.synth === null || isCaptioned(data.synth) === captions,
      "data.synth.kind",
      captions
        ? `be one of ${CAPTIONED_KINDS.join(", ")} where the system ${config.system} learns from captions`
        : `be motions where the system ${config.system} learns classes`,
      data.synth?.kind,
    ],
    [
      captions || data.num_classes > 0,
      "data.num_classes",
      "be the number of classes",
      parsed.data.num_classes,
    ],
    [
      captions || data.synth === null || data.num_classes === data.synth.classes?.length,
      "data.num_classes",
      "equal the number of classes that data.synth makes",
      data.num_classes,
    ],
    [
      givesSizes(backbone) === (arch === "custom"),
      "network.arch",
      givesSizes(backbone) ? "be custom when network.backbone gives sizes" : "come with network.backbone",
      arch,
    ],
    ...(givesSizes(backbone) ? backboneRequirements(backbone) : []),
    ...(backbone === null || !givesSizes(backbone) && arch === "custom"
      ? []
      : optionRequirements(arch, backbone)),
  ];
}

/** A network that learns from captions knows no classes, and so nothing that goes by them. */
function captionRequirements({ data, solver }: ParsedConfig): Requirement[] {
  const must = "be left out where clips have captions and no classes";
  return [
    [data.num_classes === null || data.num_classes === 0, "data.num_classes", must, data.num_classes],
    [data.label_list === null, "data.label_list", must, data.label_list],
    [data.shots === null, "data.shots", must, data.shots],
    [data.balance === "none", "data.balance", must, data.balance],
    [data.flip !== "sth", "data.flip", must, data.flip],
    [!solver.mixup, "solver.mixup", must, solver.mixup],
    [
      data.features === null,
      "data.features",
      "be left out: features of clips with captions are not stored",
      data.features,
    ],
    [
      data.num_sample === 1,
      "data.num_sample",
      "be 1 where clips have captions: copies of a clip would count as others",
      data.num_sample,
    ],
  ];
}

/** Options of `network.backbone` are those of the tower's own kind; beside a preset fewer have a meaning. */
function optionRequirements(arch: string, backbone: BackboneKeys): Requirement[] {
  const tower = towerOf(towerSizes({ arch, backbone }));
  const own = givesSizes(backbone) ? Object.keys(tower.keys) : tower.options;
  return Object.keys(TOWER_KEYS).filter((key) => !own.includes(key)).map((key) => [
    backbone[key] === null || backbone[key] === "auto",
    `network.backbone.${key}`,
    `be left out for ${arch === "custom" ? `a tower of ${tower.title}` : arch}`,
    backbone[key],
  ]);
}

function backboneRequirements(backbone: CustomBackbone): Requirement[] {
  return [
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

/** What the recipe's system asks, and what the others ask of the keys that are theirs alone. */
export function systemRequirements(config: Config): Requirement[] {
  const { recipe } = systemOf(config.system);
  const isOwn = (name: string) => {
    const [section, key] = name.split(".");
    return Object.hasOwn(recipe.keys[section as keyof typeof recipe.keys] ?? {}, key);
  };
  const foreign = SYSTEMS.filter(({ id }) => id !== config.system)
    .flatMap((system) => system.recipe.foreignRequirements?.(config, config.system) ?? [])
    .filter(([, name]) => !isOwn(name));
  return [...recipe.requirements(config), ...foreign];
}

/** The remaining values. */
export function runRequirements({ data, network, solver }: Config): Requirement[] {
  const imageSize = towerSizes(network).imageSize;
  return [
    [
      data.input_size === imageSize,
      "data.input_size",
      `equal the backbone's picture side (${imageSize})`,
      data.input_size,
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
    ...foldRequirements(solver),
    [
      solver.betas.every((beta) => beta < 1),
      "solver.betas",
      "be two numbers below 1",
      solver.betas,
    ],
    ...familyRequirements(data),
    ...decayRequirements(solver),
    [
      solver.ema === null || solver.ema < 1,
      "solver.ema",
      "be below 1: with 1 the average would stay what the weights were at first",
      solver.ema,
    ],
    [
      !solver.mixup || data.batch_size * data.num_sample % 2 === 0,
      "data.batch_size",
      "make an even number of clips (times num_sample) when solver.mixup is true",
      data.batch_size,
    ],
  ];
}

/** DiST's rules know other resizes and crops. */
function familyRequirements(data: Config["data"]): Requirement[] {
  const isRising = ([least, most]: readonly number[]) => least <= most;
  const always: Requirement[] = [
    [isRising(data.crop_scale), "data.crop_scale", "be the least and the most area", data.crop_scale],
    [isRising(data.crop_ratio), "data.crop_ratio", "be the least and the most shape", data.crop_ratio],
  ];
  if (data.family !== FLOAT_FAMILY) return always;
  const { test_side: side, input_size: size } = data, ofFamily = `in the family ${FLOAT_FAMILY}`;
  return [
    ...always,
    [
      data.resize === "short",
      "data.resize",
      `be auto or short ${ofFamily}: training reads the frames as they are, an evaluation by data.test_side`,
      data.resize,
    ],
    [
      data.crop === "random_resized" || data.crop === "centre",
      "data.crop",
      `be auto, random_resized or centre ${ofFamily}`,
      data.crop,
    ],
    [
      !data.dense,
      "data.dense",
      `be false ${ofFamily}, whose data.frame_rule is interval instead`,
      data.dense,
    ],
    [(side ?? size) >= size, "data.test_side", `be at least data.input_size (${size})`, side],
  ];
}

/** A run is made of whole loops. */
function foldRequirements({ folds, epochs, start_epoch: start }: Config["solver"]): Requirement[] {
  const must = `be a multiple of solver.folds (${folds})`;
  return [
    [epochs % folds === 0, "solver.epochs", must, epochs],
    [start % folds === 0, "solver.start_epoch", must, start],
  ];
}

function decayRequirements(solver: Config["solver"]): Requirement[] {
  if (solver.type !== "multistep") return [];
  const decay = solver.lr_decay_step;
  const first = decay === null ? -1 : typeof decay === "number" ? decay : Math.min(...decay);
  const must = `start after the warm-up (${solver.lr_warmup_step} epochs) when solver.type is multistep`;
  return [[first > solver.lr_warmup_step, "solver.lr_decay_step", must, decay]];
}
