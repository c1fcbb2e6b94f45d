/**
 * Toys whose weights and input follow from formulas, so that numbers of the original PyTorch modules can be compared with
 * no file: 2 clips of 4 frames of 32 x 32 pixels in 16 patches, 128 side channels, 5 classes.
 */

import assert from "node:assert/strict";
import { differentiate } from "../../gpu/autodiff.ts";
import type { Gpu } from "../../gpu/device.ts";
import { Graph, resident, sizeOf, type Tensor } from "../../gpu/graph.ts";
import { crossEntropy } from "../../gpu/ops/mod.ts";
import { type ResidentValues, runGraph } from "../../gpu/run.ts";
import type { Weight } from "../../models/params.ts";
import type { VideoModel } from "../../models/video_model.ts";

export const CLIPS = 2, FRAMES = 4, SIZE = 32, PATCH = 8, PATCHES = 16, D = 128, CLASSES = 5;
const LABELS = [3, 1];
/** The numbers are given to six decimals. */
const VALUE_TOLERANCE = 2e-5, GRADIENT_TOLERANCE = 1e-3;
/** Channels whose values are given. */
const CHANNELS = [0, 1, 63, 64, 127];

/** x[i] = sin(0.013·i + 0.5·sin(0.0007·i)). */
export function toyFrames(): Float32Array {
  return Float32Array.from(
    { length: CLIPS * FRAMES * 3 * SIZE * SIZE },
    (_, i) => Math.sin(0.013 * i + 0.5 * Math.sin(0.0007 * i)),
  );
}

/** Values by the last part of the name, with a wave whose phase is the place `k` in the order of all names. */
function toyValues({ name, shape }: Weight, k: number): Float32Array {
  const last = name.slice(name.lastIndexOf(".") + 1);
  const form = last === "running_var"
    ? (wave: number) => 1 + 0.5 * wave
    : ["running_mean", "bias", "in_proj_bias", "q_bias", "v_bias"].includes(last)
    ? (wave: number) => 0.1 * wave
    : last === "weight" && shape.length === 1
    ? (wave: number) => 1 + 0.1 * wave
    : (wave: number) => 0.08 * wave;
  return Float32Array.from(
    { length: sizeOf(shape) },
    (_, i) => form(Math.sin(0.37 * i + 0.0005 * i ** 1.5 + 1.3 * k)),
  );
}

/** All names in the order that gives each its phase. @param unused Names of the original that the model lacks. */
export function toyNames(model: VideoModel, unused: readonly string[] = []): string[] {
  return [...model.weights.list.map(({ name }) => name), ...unused].sort();
}

/** A toy: the model and the names of tensors that count in the order of names, and nowhere else. */
export interface Toy {
  model: VideoModel;
  unused?: readonly string[];
}

function valuesOf({ model, unused }: Toy, frames: Tensor): Map<Tensor, Float32Array | Uint32Array> {
  const names = toyNames(model, unused);
  const values = new Map<Tensor, Float32Array | Uint32Array>([[frames, toyFrames()]]);
  for (const weight of model.weights.list) {
    values.set(weight.tensor, toyValues(weight, names.indexOf(weight.name)));
  }
  return values;
}

/** Compares with numbers given to six decimals. */
export function assertValues(
  name: string,
  actual: ArrayLike<number>,
  expected: readonly number[],
  tolerance = VALUE_TOLERANCE,
) {
  expected.forEach((value, i) => {
    assert.ok(
      Math.abs(actual[i] - value) <= tolerance,
      `${name}[${i}] is ${actual[i]}, expected ${value}`,
    );
  });
}

/** Compares the given channels of row `row` of a value with D channels, or with `width`. */
export function assertRow(
  name: string,
  values: Float32Array,
  expected: { row: number; channels: readonly number[]; width?: number },
) {
  const { row, channels, width = D } = expected;
  assertValues(name, CHANNELS.map((channel) => values[row * width + channel]), channels);
}

/** Runs the toy in evaluation. @param choose Names the values to read besides logits and embedding. */
export async function runToy(
  gpu: Gpu,
  toy: Toy,
  choose: (g: Graph, activations: ReadonlyMap<string, Tensor>) => Record<string, Tensor>,
): Promise<Map<string, Float32Array>> {
  const g = new Graph();
  const frames = resident("input", "frames", [CLIPS * FRAMES, 3, SIZE, SIZE]);
  const { outputs: { logits, embedding }, activations } = toy.model.forward(g, { frames }, { mode: "eval" });
  g.output("logits", logits);
  g.output("embedding", embedding);
  for (const [name, tensor] of Object.entries(choose(g, activations))) g.output(name, tensor);
  return await runGraph(gpu, g, valuesOf(toy, frames));
}

/** Numbers of the original after one forward and backward pass in training. */
export interface ToyTraining {
  /** The first six of the first clip. */
  feature: readonly number[];
  logits: readonly number[];
  loss: number;
  gradientNorm: number;
  /** L2 norm and first element of gradients of the loss. */
  gradients: Readonly<Record<string, readonly [norm: number, first: number]>>;
  /** First three channels of running statistics. */
  statistics: Readonly<Record<string, readonly number[]>>;
}

function normOf(values: Float32Array): number {
  return Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));
}

/** Runs the toy in training and compares everything. */
export async function assertToyTraining(
  gpu: Gpu,
  toy: Toy,
  expected: ToyTraining & { recompute: boolean },
): Promise<void> {
  const { model } = toy, g = new Graph();
  const frames = resident("input", "frames", [CLIPS * FRAMES, 3, SIZE, SIZE]);
  const labels = resident("input", "labels", [CLIPS], "u32"), seed = resident("input", "seed", [1]);
  const { logits, embedding } = model.forward(g, { frames }, { mode: "train" }).outputs;
  const { loss } = crossEntropy(g, logits, { labels, smoothing: 0.1 });
  g.output("logits", logits);
  g.output("embedding", embedding);
  g.output("loss", loss);
  const { recompute } = expected;
  for (
    const [parameter, gradient] of differentiate(g, { seeds: [{ output: loss, gradient: seed }], recompute })
  ) {
    g.output(`grad.${parameter.label}`, gradient);
  }
  const values: ResidentValues = valuesOf(toy, frames).set(labels, Uint32Array.from(LABELS))
    .set(seed, Float32Array.of(1));
  const statistics = new Map(
    Object.keys(expected.statistics).map((name) => [name, model.weights.get(name)!.tensor]),
  );
  const results = await runGraph(gpu, g, values, statistics);

  assertValues("feature", results.get("embedding")!, expected.feature);
  assertValues("logits", results.get("logits")!, expected.logits);
  assertValues("loss", results.get("loss")!, [expected.loss]);
  for (const [name, [norm, first]] of Object.entries(expected.gradients)) {
    const gradient = results.get(`grad.${name}`)!;
    const largest = gradient.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
    const actual = normOf(gradient);
    assert.ok(
      Math.abs(actual / norm - 1) <= GRADIENT_TOLERANCE,
      `norm of d ${name} is ${actual}, expected ${norm}`,
    );
    assert.ok(
      Math.abs(gradient[0] - first) <= GRADIENT_TOLERANCE * largest,
      `d ${name}[0] is ${gradient[0]}, expected ${first}`,
    );
  }
  const gradients = model.weights.of("trained").map(({ name }) => results.get(`grad.${name}`)!);
  const total = Math.hypot(...gradients.map(normOf));
  assert.ok(
    Math.abs(total / expected.gradientNorm - 1) <= GRADIENT_TOLERANCE,
    `total gradient norm is ${total}, expected ${expected.gradientNorm}`,
  );
  for (const [name, channels] of Object.entries(expected.statistics)) {
    assertValues(name, results.get(name)!, channels);
  }
}
