/** Weights of norms and linear layers that are trained, declared under PyTorch's names with its initial values. */

import type { Tensor } from "../../gpu/graph.ts";
import type { NormWeights } from "../clip/transformer.ts";
import { constant, type Init, uniform, type Weights } from "../params.ts";

/** Affine and running statistics of a batch norm over all axes but the last. */
export interface BatchNormWeights extends NormWeights {
  runningMean: Tensor;
  runningVar: Tensor;
}

/** Declares a batch norm under PyTorch's five names. */
export function declareBatchNorm(weights: Weights, prefix: string, width: number): BatchNormWeights {
  weights.counter(`${prefix}.num_batches_tracked`);
  return weights.inGroup("batch_norm", () => ({
    weight: weights.trained(`${prefix}.weight`, [width], constant(1)),
    bias: weights.trained(`${prefix}.bias`, [width], constant(0)),
    runningMean: weights.statistic(`${prefix}.running_mean`, [width], constant(0)),
    runningVar: weights.statistic(`${prefix}.running_var`, [width], constant(1)),
  }));
}

/** Declares a trained layer norm. */
export function declareLayerNorm(weights: Weights, prefix: string, width: number): NormWeights {
  return {
    weight: weights.trained(`${prefix}.weight`, [width], constant(1)),
    bias: weights.trained(`${prefix}.bias`, [width], constant(0)),
  };
}

/** Weight and bias of a linear layer or a convolution. */
export interface LinearWeights {
  weight: Tensor;
  bias: Tensor;
}

/** Initial values of a linear layer or a convolution that are not PyTorch's. */
export interface LinearInit {
  init?: Init;
  bias?: Init;
}

/** Declares a trained linear layer with PyTorch's default initial values, U(±1/√fan-in), unless told otherwise. */
export function declareLinear(
  weights: Weights,
  prefix: string,
  shape: readonly number[],
  options: LinearInit = {},
): LinearWeights {
  const bound = shape.slice(1).reduce((a, b) => a * b, 1) ** -0.5;
  return {
    weight: weights.trained(`${prefix}.weight`, shape, options.init ?? uniform(bound)),
    bias: weights.trained(`${prefix}.bias`, [shape[0]], options.bias ?? uniform(bound)),
  };
}
