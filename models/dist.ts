/**
 * DiST (Qing et al. 2023, arXiv 2309.07911; spec dist): a temporal encoder that reads every frame, a frozen tower that reads every α-th of
 * them, and a branch that integrates both and is pooled by learned queries. Clips are classified by the texts of the classes.
 */

import { z } from "zod";
import type { Graph, Tensor } from "../gpu/graph.ts";
import {
  add,
  cast,
  l2Normalize,
  layerNorm,
  linear,
  matmul,
  meanTokens,
  multiplyByExp,
  repeatRows,
  reshape,
  slice,
  splitTokens,
} from "../gpu/ops/mod.ts";
import type { NormWeights } from "./clip/transformer.ts";
import { isEva } from "./eva/tower.ts";
import { type IgnoreList, normal, Weights } from "./params.ts";
import { sideHeads, sideLayer } from "./parts/blocks.ts";
import { declareLayerNorm, declareLinear, type LinearWeights } from "./parts/declare.ts";
import { distCaseRecipe, distComputed, distToRecorded } from "./parts/dist_cases.ts";
import { distKeysIn, RENAMED, towerBesideBranches } from "./parts/dist_files.ts";
import {
  BRANCH_INIT,
  branchLayer,
  type BranchSizes,
  type BranchState,
  declareLayer,
  declareTokens,
  type LayerWeights,
} from "./parts/integration.ts";
import { declarePooling, poolingLayer, type PoolingWeights, type Queries } from "./parts/query_pooling.ts";
import { sideHeadsRequirement } from "./parts/recipe_parts.ts";
import { stemConv } from "./parts/stem.ts";
import { TEXT_KEYS, textKeyRequirements } from "./parts/text_keys.ts";
import {
  FLOAT_FAMILY,
  type OptimizerGroup,
  type RecipePart,
  type System,
  type SystemRecipe,
} from "./system.ts";
import { type FrozenTower, gridOf, type Keep, ofBlocks, type TextConfig, type TowerSizes } from "./tower.ts";
import { declareTower, type TextKeys, textOf, towerOf, towerSizes } from "./towers.ts";
import {
  type ClassTexts,
  collectActivations,
  type ModelInputs,
  type ModelOptions,
  type ModelOutput,
  type TapSource,
  type VideoModel,
} from "./video_model.ts";

/** Colours of a picture. */
const RGB = 3;

/** Sizes of the network: plain data. */
export interface DistSizes {
  backbone: TowerSizes;
  /** T, frames of a clip, which the temporal encoder reads. */
  frames: number;
  /** α: the tower reads every α-th frame. */
  ratio: number;
  /** K. */
  classes: number;
  branch: BranchSizes;
  /** Frames of the temporal encoder's stem, odd. */
  stemFrames: number;
  /** A. */
  poolingLayers: number;
  /** Blocks of the tower that layers read, ascending; null: all. */
  selected: readonly number[] | null;
  text: TextConfig;
  tokens: readonly number[] | null;
  /** Words before the name of every class; none when absent. */
  promptPrefix?: string;
}

/** Weights that stand for themselves. */
interface HeadWeights {
  clipQuery: Tensor;
  frameQuery: Tensor;
  token: LinearWeights;
  norm: NormWeights;
  projection: Tensor;
}

/** The network: its weights, and how to record its forward pass. */
export class Dist implements VideoModel {
  readonly weights: Weights;
  readonly config: DistSizes;
  readonly unusedInBackbone: IgnoreList;
  readonly taps: TapSource;
  readonly tapped: readonly number[];
  readonly tapFrames: number;
  readonly classTexts: ClassTexts;
  readonly #tower: FrozenTower;
  readonly #stem: LinearWeights;
  readonly #layers: LayerWeights[];
  readonly #pooling: PoolingWeights[];
  readonly #head: HeadWeights;
  readonly #textFeatures: Tensor;
  readonly #logitScale: Tensor;

  constructor(config: DistSizes, options: ModelOptions = {}) {
    const { backboneDtype: dtype = "f32", taps = "tower" } = options;
    const { backbone, frames, ratio, branch, stemFrames, poolingLayers, text, tokens, classes } = config;
    const { width: C, temporalWidth: c } = branch, { patchSize: p } = backbone;
    sideHeads(C); // refuses a width that does not divide
    const weights = new Weights({ frozenDtype: dtype, groupRule: groupOf });
    this.config = config;
    this.weights = weights;
    this.taps = taps;
    this.tapped = config.selected ?? Array.from({ length: backbone.layers }, (_, k) => k);
    this.tapFrames = frames / ratio;
    this.unusedInBackbone = towerOf(backbone).unused(backbone);
    this.#tower = declareTower(weights, backbone, { dtype, taps });
    this.#stem = declareLinear(weights, "dist_net.temporal_stem", [c, RGB, stemFrames, p, p], BRANCH_INIT);
    this.#layers = this.tapped.map((_, i) =>
      declareLayer(weights, i, branch, { sparse: this.tapFrames, inputWidth: backbone.width, ratio })
    );
    this.#pooling = Array.from(
      { length: poolingLayers },
      (_, j) => declarePooling(weights, j, { width: C, frames: this.tapFrames }),
    );
    this.#head = {
      clipQuery: declareTokens(weights, "dist_net.aggregated_cls_token", [1, 1, C]),
      frameQuery: declareTokens(weights, "dist_net.aggregated_spatial_cls_token", [1, 1, C]),
      token: declareLinear(weights, "dist_net.proj_spatial_cls_token", [C, backbone.width], BRANCH_INIT),
      norm: declareLayerNorm(weights, "dist_net.ln_post", C),
      projection: weights.trained("dist_net.proj", [C, text.embedDim], normal(C ** -0.5)),
    };
    this.#textFeatures = weights.constant("text_features", [classes, text.embedDim]);
    this.#logitScale = weights.constant("logit_scale", []);
    const prefix = config.promptPrefix ?? "";
    this.classTexts = { features: "text_features", scale: "logit_scale", tower: text, tokens, prefix };
  }

  /** Records the forward pass of clips [B*T 3 H W], normalised. */
  forward(g: Graph, { frames, taps }: ModelInputs): ModelOutput {
    const { frames: T, ratio, backbone } = this.config, { activations, keep } = collectActivations();
    const geometry = { grid: gridOf(backbone), ratio, keep };
    const stem = g.scope(
      "side/stem",
      () => stemConv(g, frames, this.#stem, { T, patchSize: backbone.patchSize, padding: 0 }),
    ); // [B T P c]
    let state: BranchState = { temporal: keep("temporal_stem", stem), integration: null };
    const outputs = taps ??
      ofBlocks(this.#tower.outputs(g, sparseFrames(g, frames, ratio), keep), this.tapped);
    let i = 0, last: Tensor | undefined, features: Tensor | null = null; // [B*S N D], [B*S N C]
    for (const x of outputs) {
      const at = { x, state, isLast: i === this.#layers.length - 1 };
      const layer = sideLayer(g, i, () => branchLayer(g, i, at, this.#layers[i], geometry));
      [state, features, last] = [layer.next, layer.last, x];
      i++;
    }
    const clips = this.#pool(g, features!, keep); // [B C]
    return { outputs: this.#classify(g, { clips, last: last!, keep }), activations };
  }

  recordTaps(g: Graph, pictures: Tensor): Tensor[] {
    return [...ofBlocks(this.#tower.outputs(g, sparseFrames(g, pictures, this.config.ratio)), this.tapped)];
  }

  /** What the queries of clips find in features [B*S N C]: [B C]. */
  #pool(g: Graph, features: Tensor, keep: Keep): Tensor {
    const S = this.tapFrames, F = features.shape[0], C = features.shape[2];
    const query = (token: Tensor, rows: number) =>
      reshape(g, repeatRows(g, reshape(g, token, [1, C]), { rows }), [rows, C]);
    let queries: Queries = {
      frames: query(this.#head.frameQuery, F),
      clips: query(this.#head.clipQuery, F / S),
    };
    this.#pooling.forEach((weights, j) => {
      queries = sideLayer(g, this.#layers.length + j, () => poolingLayer(g, queries, features, weights));
      keep(`adapooling.${j}.spatial_token`, queries.frames); // [B*S C]
      keep(`adapooling.${j}.temporal_token`, queries.clips); // [B C]
    });
    return queries.clips;
  }

  /** `logits` [B K] and `embedding` [B E] of pooled clips [B C] and the tower's last output [B*S N D]. */
  #classify(
    g: Graph,
    { clips, last, keep }: { clips: Tensor; last: Tensor; keep: Keep },
  ): { logits: Tensor; embedding: Tensor } {
    const [B] = clips.shape, { token: w, norm, projection } = this.#head;
    return g.scope("head", () => {
      const tokens = reshape(g, splitTokens(g, last).token, [B, this.tapFrames, -1]); // [B S D]
      const mean = meanTokens(g, cast(g, tokens, "f32")); // [B D]
      const sum = add(g, clips, linear(g, mean, w.weight, { bias: w.bias })); // [B C]
      const normed = keep("ln_post", layerNorm(g, sum, norm)); // [B C]
      const embedding = keep("video_embedding", matmul(g, normed, projection)); // [B E]
      const cosines = matmul(g, l2Normalize(g, embedding), l2Normalize(g, this.#textFeatures), {
        transposeB: true,
      });
      return { logits: multiplyByExp(g, cosines, this.#logitScale), embedding }; // [B K]
    });
  }
}

/** Every α-th of the frames [B*T 3 H W] of clips: [B*S 3 H W]. */
function sparseFrames(g: Graph, frames: Tensor, ratio: number): Tensor {
  const [F, channels, H, W] = frames.shape;
  const groups = reshape(g, frames, [F / ratio, ratio * channels, H, W]);
  return slice(g, groups, { axis: 1, start: 0, length: channels });
}

/** The published groups (spec dist §5.3): tokens and positions, the pooling's weights and the others; of both the biases and norms apart. */
const TOKENS = "tokens", POOLING = "pooling", BRANCHES = "branches", UNDECAYED = "_bias";

function groupOf(_group: string, name: string, shape: readonly number[]): string {
  if (/(cls_token|positional_embedding)$/.test(name)) return TOKENS;
  const group = name.includes("adapooling_nets") ? POOLING : BRANCHES;
  return name.includes("bias") || shape.length < 2 ? group + UNDECAYED : group;
}

/** The groups in memory order. */
function groups({ scale, weightDecay }: { scale: number; weightDecay: number }): OptimizerGroup[] {
  const group = (name: string, decay: number) => ({ name, lrScale: scale, weightDecay: decay });
  return [
    group(TOKENS, 0),
    group(POOLING, weightDecay),
    group(POOLING + UNDECAYED, 0),
    group(BRANCHES, weightDecay),
    group(BRANCHES + UNDECAYED, 0),
  ];
}

function sizes({ data, network }: Pick<SystemRecipe, "data" | "network">): DistSizes {
  return {
    backbone: towerSizes(network),
    frames: data.num_segments,
    ratio: data.frame_ratio as number,
    classes: data.num_classes,
    branch: {
      width: network.side_dim,
      temporalWidth: network.temporal_dim as number,
      kernel: network.temporal_kernel as number,
      temporalRatio: network.temporal_mlp_ratio as number,
      mlpRatio: network.integration_mlp_ratio as number,
      temporalMlpRatio: network.integration_temporal_mlp_ratio as number,
    },
    stemFrames: network.stem_frames as number,
    poolingLayers: network.pooling_layers as number,
    selected: network.selected_layers as number[] | null,
    text: textOf(network as SystemRecipe["network"] & TextKeys)!,
    tokens: network.tokens as number[] | null,
    promptPrefix: data.prompt_prefix as string,
  };
}

const size = (most: number) => z.number().int().positive().max(most);
const share = () => z.number().positive().max(16);

const recipe: RecipePart<DistSizes> = {
  family: FLOAT_FAMILY,
  keys: {
    data: {
      frame_ratio: size(1024).default(2).describe(
        "dist: frames that the temporal encoder reads for each one that the backbone reads",
      ),
      prompt_prefix: z.string().max(1000).default("").describe("dist: words before the name of every class"),
    },
    network: {
      ...TEXT_KEYS,
      temporal_dim: size(2 ** 14).default(96).describe("dist: channels of the temporal encoder"),
      pooling_layers: size(64).default(2).describe(
        "dist: layers of the pooling by queries; 2 for Something-Something, 4 for Kinetics",
      ),
      selected_layers: z.array(z.number().int().nonnegative().max(127)).min(1).nullable().default(null)
        .describe(
          "dist: blocks of the backbone, from 0, whose outputs are read; null: all",
        ),
      stem_frames: size(63).default(5).describe(
        "dist: frames that the temporal encoder's first convolution reads",
      ),
      temporal_kernel: size(63).default(3).describe(
        "dist: frames that the other convolutions over time read",
      ),
      temporal_mlp_ratio: share().default(1).describe(
        "dist: hidden channels of the temporal encoder's blocks, over temporal_dim",
      ),
      integration_mlp_ratio: share().default(1).describe(
        "dist: hidden channels of the integration branch's MLPs, over side_dim",
      ),
      integration_temporal_mlp_ratio: share().default(0.25).describe("dist: the same of its MLPs over time"),
    },
  },
  requirements: (recipe) => {
    const { data, network } = recipe, tower = towerSizes(network);
    const ratio = data.frame_ratio as number, selected = network.selected_layers as number[] | null;
    const odd = (key: string): [boolean, string, string, unknown] => [
      (network[key] as number) % 2 === 1,
      `network.${key}`,
      "be odd, so that frames stay in their places",
      network[key],
    ];
    const hidden = (key: string, width: number): [boolean, string, string, unknown] => [
      Math.floor(width * (network[key] as number)) >= 1,
      `network.${key}`,
      `leave at least one hidden channel of ${width}`,
      network[key],
    ];
    return [
      [
        data.num_segments % ratio === 0,
        "data.num_segments",
        `be a multiple of data.frame_ratio (${ratio})`,
        data.num_segments,
      ],
      sideHeadsRequirement(recipe),
      odd("stem_frames"),
      odd("temporal_kernel"),
      hidden("temporal_mlp_ratio", network.temporal_dim as number),
      hidden("integration_mlp_ratio", network.side_dim),
      hidden("integration_temporal_mlp_ratio", network.side_dim),
      [
        selected === null ||
        selected.every((block, i) => block < tower.layers && (i === 0 || block > selected[i - 1])),
        "network.selected_layers",
        `be ascending numbers of the backbone's ${tower.layers} blocks, from 0`,
        selected?.join(", "),
      ],
      [!isEva(tower), "network.arch", "be a CLIP tower when system is dist", network.arch],
      ...textKeyRequirements(network),
    ];
  },
  remarks: ({ network }) =>
    network.weights === null || network.init === false
      ? [
        "without network.weights clips are compared with what a random text tower makes of the classes' names",
      ]
      : [],
  sizes,
  groups: ({ solver }) => groups({ scale: solver.clip_ratio, weightDecay: solver.weight_decay }),
};

/** DiST. */
export const dist: System<DistSizes> = {
  id: "dist",
  title: "DiST",
  task: "classification",
  schedule: "running_cosine",
  recipe,
  build: (sizes, options) => new Dist(sizes, options),
  head: [],
  // What the last layer would give the temporal encoder, nothing reads.
  leftAlone: ({ name }, { tapped }) =>
    name.startsWith(`dist_net.integration2temporal_nets.${tapped.length - 1}.`),
  files: {
    prefix: "backbone.base_encoder.",
    renamed: RENAMED,
    recognise(source) {
      const input = source.shapeOf("dist_net.input_linears.0.weight");
      return input?.length === 2
        ? { title: "DiST", backbone: towerBesideBranches(source), sideDim: input[0] }
        : null;
    },
    keysIn: distKeysIn,
    explain: (source) =>
      source.shapeOf("dist_net.temporal_stem.weight")
        ? `the file looks like DiST with ${
          Object.entries(distKeysIn(source) ?? {}).map(([key, value]) => `${key}=${value}`).join(", ")
        }`
        : "the file holds no trained network of DiST, so it is probably a backbone (network.weights) or another network",
  },
  cases: [{
    system: "dist",
    sizes: (config, label) => sizes(distCaseRecipe(config, label)),
    groups: ({ optimizer }) =>
      groups({ scale: optimizer.new_net_lrmult, weightDecay: optimizer.new_net_weight_decay }),
    recipe: distCaseRecipe,
    toRecorded: distToRecorded,
    computed: distComputed,
  }],
};
