/**
 * Mean cross entropy between logits and target distributions. Class labels become (smoothed) distributions first, so
 * that mixed targets and labels are one computation.
 *
 * Gradient: dLogits overwrites. Targets are constants.
 */

import source from "./cross_entropy.wgsl" with { type: "text" };
import sourceDx from "./cross_entropy_dx.wgsl" with { type: "text" };
import oneHotSource from "./one_hot.wgsl" with { type: "text" };
import type { Graph, Tensor } from "../graph.ts";
import { defineOp, recordOne } from "../op.ts";
import { flatDispatch, rowDispatch } from "./_dispatch.ts";
import { sumPartials } from "./reduce.ts";

const oneHotOp = defineOp({
  name: "oneHot",
  inputs: { labels: "B" },
  attrs: { classes: 1, smoothing: 0 },
  outputs: ({ axes, attrs }) => ({ out: { shape: [axes.B, attrs.classes] } }),
  dispatches: ({ inputs, outputs, axes, attrs }) => [
    flatDispatch("oneHot", oneHotSource, {
      tensors: { labels: inputs.labels, out: outputs.out },
      params: { classes: attrs.classes, smoothing: attrs.smoothing },
      count: axes.B * attrs.classes,
    }),
  ],
  gradient: "stop",
  reference: ({ labels }, { axes, attrs }) => {
    const K = attrs.classes, smoothing = attrs.smoothing;
    const out = new Float64Array(axes.B * K).fill(smoothing / K);
    labels.forEach((label, b) => out[b * K + label] += 1 - smoothing);
    return { out };
  },
});

const crossEntropyOp = defineOp({
  name: "crossEntropy",
  inputs: { logits: "B K", targets: "B K" },
  outputs: ({ axes: { B } }) => ({
    loss: { shape: [1] },
    lossPerSample: { shape: [B], auxiliary: true },
    logNormaliser: { shape: [B], auxiliary: true },
    mass: { shape: [B], auxiliary: true },
  }),
  dispatches: ({ inputs, outputs, axes: { B, K }, environment }) => [
    rowDispatch("crossEntropy", source, {
      tensors: {
        logits: inputs.logits,
        targets: inputs.targets,
        loss: outputs.lossPerSample,
        log_normaliser: outputs.logNormaliser,
        mass: outputs.mass,
      },
      rows: B,
      columns: K,
      environment,
    }),
    sumPartials(outputs.lossPerSample, outputs.loss, 1 / B),
  ],
  gradient: ({ g, inputs, outputs, grads }) => ({
    logits: recordOne(g, dLogitsOp, {
      logits: inputs.logits,
      targets: inputs.targets,
      logNormaliser: outputs.logNormaliser,
      mass: outputs.mass,
      dLoss: grads.loss,
    }),
  }),
  reference: ({ logits, targets }, { axes: { B, K } }) => {
    const loss = new Float64Array(1), lossPerSample = new Float64Array(B);
    const logNormaliser = new Float64Array(B), mass = new Float64Array(B);
    for (let b = 0; b < B; b++) {
      const row = logits.subarray(b * K, (b + 1) * K), largest = Math.max(...row);
      let sum = 0;
      for (const value of row) sum += Math.exp(value - largest);
      logNormaliser[b] = largest + Math.log(sum);
      for (let k = 0; k < K; k++) {
        mass[b] += targets[b * K + k];
        lossPerSample[b] += targets[b * K + k] * (logNormaliser[b] - row[k]);
      }
      loss[0] += lossPerSample[b] / B;
    }
    return { loss, lossPerSample, logNormaliser, mass };
  },
  flops: ({ axes }) => 8 * axes.B * axes.K,
});

const dLogitsOp = defineOp({
  name: "crossEntropyDLogits",
  inputs: { logits: "B K", targets: "B K", logNormaliser: "B", mass: "B", dLoss: "1" },
  outputs: ({ inputs }) => ({ out: { shape: inputs.logits.shape } }),
  dispatches: ({ inputs, outputs, axes: { B, K } }) => [
    flatDispatch("crossEntropy.backward", sourceDx, {
      tensors: {
        logits: inputs.logits,
        targets: inputs.targets,
        log_normaliser: inputs.logNormaliser,
        mass: inputs.mass,
        dloss: inputs.dLoss,
        dx: outputs.out,
      },
      params: { classes: K, factor: 1 / B },
      count: B * K,
    }),
  ],
  gradient: "none",
  reference: ({ logits, targets, logNormaliser, mass, dLoss }, { axes: { B, K } }) => ({
    out: logits.map((logit, i) => {
      const b = Math.floor(i / K);
      return dLoss[0] / B * (mass[b] * Math.exp(logit - logNormaliser[b]) - targets[i]);
    }),
  }),
  flops: ({ axes }) => 4 * axes.B * axes.K,
});

/** Losses of a batch: the mean, which gradients flow through, and each sample's own. */
export interface Losses {
  /** `[1]` */
  loss: Tensor;
  /** `[B]` */
  lossPerSample: Tensor;
}

/**
 * `(1 − smoothing)(−log p_label) + smoothing · mean_k(−log p_k)`, as torch's `CrossEntropyLoss(label_smoothing)`.
 *
 * @param logits `[B K]`
 * @param labels `[B]`, u32, below K
 */
export function crossEntropy(
  g: Graph,
  logits: Tensor,
  options: { labels: Tensor; smoothing?: number },
): Losses {
  const { labels, smoothing = 0 } = options;
  const targets = recordOne(g, oneHotOp, { labels }, { classes: logits.shape[1], smoothing });
  return softCrossEntropy(g, logits, targets);
}

/** `−Σ_k targets_k · log p_k` for targets `[B K]` of any mass, such as mixed distributions or weighted classes. */
export function softCrossEntropy(g: Graph, logits: Tensor, targets: Tensor): Losses {
  const { loss, lossPerSample } = g.record(crossEntropyOp, { logits, targets });
  return { loss, lossPerSample };
}
