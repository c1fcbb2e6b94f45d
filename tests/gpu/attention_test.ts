/** Attention's and layer norm's kernels for other kinds of adapter, run on the adapter there is. */

import assert from "node:assert/strict";
import { createPrng } from "../../lib/random.ts";
import { differentiate } from "../../gpu/autodiff.ts";
import { Gpu } from "../../gpu/device.ts";
import { Graph, resident, sizeOf, type Tensor } from "../../gpu/graph.ts";
import { attention } from "../../gpu/ops/attention.ts";
import { layerNorm } from "../../gpu/ops/layer_norm.ts";
import { runGraph } from "../../gpu/run.ts";
import { engineTest } from "../_util/engine.ts";

const info = (description: string) =>
  ({ vendor: "", architecture: "", device: "", description }) as GPUAdapterInfo;

/** Descriptions that select another kernel: none of them needs what the adapter lacks. */
const ADAPTERS = { "a GPU": info("Test GPU"), "a software adapter without subgroups": info("llvmpipe") };

/** The graph's outputs and the gradients of its parameters, computed with the kernels chosen for `gpu`. */
async function evaluate(gpu: Gpu, parameters: readonly Tensor[], record: (g: Graph) => Tensor) {
  const g = new Graph(), values = new Map<Tensor, Float32Array>();
  const out = g.output("out", record(g));
  const gradient = resident("input", "gradient", out.shape);
  for (const [parameter, flow] of differentiate(g, { seeds: [{ output: out, gradient }] })) {
    g.output(parameter.label, flow);
  }
  for (const [i, tensor] of [...parameters, gradient].entries()) {
    const prng = createPrng(31, i);
    values.set(tensor, Float32Array.from({ length: sizeOf(tensor.shape) }, () => prng.normal()));
  }
  return await runGraph(gpu, g, values);
}

/** Compares the kernels chosen for every entry of ADAPTERS with those of the adapter itself, which the case tables check. */
function sameEverywhere(
  name: string,
  parameters: readonly Tensor[],
  record: (g: Graph) => Tensor,
): void {
  for (const [kind, described] of Object.entries(ADAPTERS)) {
    engineTest(`${name} gives the same with the kernels for ${kind}`, async (gpu) => {
      const expected = await evaluate(gpu, parameters, record);
      const actual = await evaluate(new Gpu(gpu.device, described, gpu.features), parameters, record);
      assert.equal(actual.size, expected.size);
      for (const [label, wanted] of expected) {
        actual.get(label)!.forEach((value, i) =>
          assert.ok(
            Math.abs(value - wanted[i]) <= 1e-5 * Math.max(1, Math.abs(wanted[i])),
            `${label}[${i}] is ${value}, expected ${wanted[i]}`,
          )
        );
      }
    });
  }
}

for (
  const [name, headSize, options] of [
    ["attention()", 8, {}],
    ["attention(), causal, with a row without a query,", 8, { causal: true, queryStart: 1 }],
    ["attention() with a head size of 3", 3, {}],
  ] as const
) {
  const heads = 2, width = heads * headSize;
  const q = resident("parameter", "q", [2, 37, width]), kv = resident("parameter", "kv", [2, 35, 2 * width]);
  sameEverywhere(name, [q, kv], (g) => attention(g, q, kv, { heads, ...options }));
}

const x = resident("parameter", "x", [19, 132]);
const weight = resident("parameter", "weight", [132]), bias = resident("parameter", "bias", [132]);
sameEverywhere("layerNorm()", [x, weight, bias], (g) => layerNorm(g, x, { weight, bias }));
