/** Every case table: the tests check ops on them, and `sidenet bench ops` measures ops on them. */

import { cases as activation } from "./activation_cases.ts";
import { cases as add } from "./add_cases.ts";
import { cases as attention } from "./attention_cases.ts";
import { cases as average } from "./average_cases.ts";
import { cases as batchNorm } from "./batch_norm_cases.ts";
import { cases as channelDifference } from "./channel_difference_cases.ts";
import { cases as convolution } from "./convolution_cases.ts";
import { cases as crossEntropy } from "./cross_entropy_cases.ts";
import { cases as gather } from "./gather_cases.ts";
import { cases as layerNorm } from "./layer_norm_cases.ts";
import { cases as linear } from "./linear_cases.ts";
import { cases as memory } from "./memory_cases.ts";
import { cases as multiplyByExp } from "./multiply_by_exp_cases.ts";
import { cases as normalize } from "./normalize_cases.ts";
import { cases as optimizer } from "./optimizer_cases.ts";
import { cases as permute } from "./permute_cases.ts";
import { cases as reduce } from "./reduce_cases.ts";
import { cases as rope } from "./rope_cases.ts";
import { cases as sharedBatchNorm } from "./shared_batch_norm_cases.ts";
import { cases as sigmoidGate } from "./sigmoid_gate_cases.ts";
import { cases as siluMultiply } from "./silu_multiply_cases.ts";
import { cases as softmax } from "./softmax_cases.ts";
import { cases as temporalConv } from "./temporal_conv_cases.ts";
import { cases as temporalDeficit } from "./temporal_deficit_cases.ts";
import { cases as tokenInteraction } from "./token_interaction_cases.ts";
import { cases as tokenShift } from "./token_shift_cases.ts";
import { cases as tokens } from "./tokens_cases.ts";
import { cases as unfold } from "./unfold_cases.ts";
import { cases as updateGuard } from "./update_guard_cases.ts";
import type { CaseTable, OpCase } from "./op_case.ts";

const TABLES: readonly CaseTable[] = [
  activation,
  add,
  attention,
  average,
  batchNorm,
  channelDifference,
  convolution,
  crossEntropy,
  gather,
  layerNorm,
  linear,
  memory,
  multiplyByExp,
  normalize,
  optimizer,
  permute,
  reduce,
  rope,
  sharedBatchNorm,
  sigmoidGate,
  siluMultiply,
  softmax,
  temporalConv,
  temporalDeficit,
  tokenInteraction,
  tokenShift,
  tokens,
  unfold,
  updateGuard,
];

/** Cases by op name. */
export const OP_CASES: ReadonlyMap<string, readonly OpCase[]> = new Map(TABLES.flatMap(Object.entries));
