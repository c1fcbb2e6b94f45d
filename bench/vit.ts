/** Measures the frozen tower: one frame through ViT-B/16 at full size with random weights, beside the matmul rate. */

import type { Gpu } from "../gpu/device.ts";
import { Graph, resident, sizeOf, type Tensor } from "../gpu/graph.ts";
import { matmul } from "../gpu/ops/mod.ts";
import { prepareGraph } from "../gpu/run.ts";
import { createPrng } from "../lib/random.ts";
import { VIT_PRESETS } from "../models/clip/tower.ts";
import { type ClipSizes, FrozenVit } from "../models/clip/vit.ts";
import { Weights } from "../models/params.ts";
import type { Measurement } from "./matmul.ts";
import { bestMs } from "./_program_time.ts";

function randomValues(tensors: Iterable<Tensor>, scale: number): Map<Tensor, Float32Array> {
  const prng = createPrng(1);
  const values = new Map<Tensor, Float32Array>();
  for (const tensor of tensors) {
    values.set(
      tensor,
      Float32Array.from({ length: sizeOf(tensor.shape) }, () => (prng.uniform() - 0.5) * scale),
    );
  }
  return values;
}

/** A tower's forward pass with random weights, and the values of what lies in memory before it. */
export function recordTower(
  config: ClipSizes,
  { dtype, frames: count }: { dtype: "f32" | "f16"; frames: number },
): { g: Graph; values: Map<Tensor, Float32Array> } {
  const weights = new Weights({ frozenDtype: dtype });
  const vit = new FrozenVit(weights, config, { dtype });
  const g = new Graph();
  const frames = resident("input", "frames", [count, 3, config.imageSize, config.imageSize]);
  let z = vit.embed(g, frames);
  for (let i = 0; i < config.layers; i++) z = vit.block(g, i, z);
  g.output("tokens", z);
  return { g, values: randomValues([frames, ...weights.list.map((weight) => weight.tensor)], 0.05) };
}

/** Times the forward pass of one frame and a product of the same adapter minutes. Yields one line each. */
export async function* benchVit(gpu: Gpu): AsyncGenerator<Measurement & { share_of_matmul?: number }> {
  const product = await benchProduct(gpu);
  yield product;
  for (const dtype of ["f32", "f16"] as const) {
    if (dtype === "f16" && !gpu.features.has("shader-f16")) continue;
    const { g, values } = recordTower(VIT_PRESETS["ViT-B/16"], { dtype, frames: 1 });
    const program = await prepareGraph(gpu, g, values);
    const ms = await bestMs(gpu, program);
    const { flops, bytesMoved } = program.plan;
    gpu.memory[Symbol.dispose]();
    const gflops = flops / ms / 1e6;
    yield {
      name: "vit",
      variant: `ViT-B/16/${dtype}`,
      shape: "1x3x224x224",
      ms,
      gflops,
      gbps: bytesMoved / ms / 1e6,
      adapter: gpu.name,
      share_of_matmul: gflops / product.gflops,
    };
  }
}

/** The headline product, through the same engine as the tower. */
async function benchProduct(gpu: Gpu): Promise<Measurement> {
  const g = new Graph(), [m, n, k] = [1576, 768, 768];
  const a = resident("input", "a", [m, k]), b = resident("input", "b", [n, k]);
  g.output("c", matmul(g, a, b, { transposeB: true }));
  const program = await prepareGraph(gpu, g, randomValues([a, b], 1));
  const ms = await bestMs(gpu, program);
  gpu.memory[Symbol.dispose]();
  return {
    name: "matmul",
    variant: program.labels().join("+"),
    shape: `${m}x${n}x${k}`,
    ms,
    gflops: 2 * m * n * k / ms / 1e6,
    gbps: 4 * (m * k + n * k + m * n) / ms / 1e6,
    adapter: gpu.name,
  };
}
