/** Every op. Importing this module registers them all. */

export * from "./activation.ts";
export * from "./add.ts";
export * from "./attention.ts";
export * from "./batch_norm.ts";
export * from "./channel_difference.ts";
export * from "./cross_entropy.ts";
export * from "./gather.ts";
export * from "./layer_norm.ts";
export * from "./linear.ts";
export * from "./memory.ts";
export * from "./multiply_by_exp.ts";
export * from "./normalize.ts";
export * from "./optimizer.ts";
export * from "./reduce.ts";
export * from "./rope.ts";
export * from "./sigmoid_gate.ts";
export * from "./silu_multiply.ts";
export * from "./softmax.ts";
export * from "./temporal_conv.ts";
export * from "./temporal_deficit.ts";
export * from "./token_shift.ts";
export * from "./tokens.ts";
export * from "./transpose.ts";
export * from "./unfold.ts";
export * from "./update_guard.ts";
export * from "./views.ts";
