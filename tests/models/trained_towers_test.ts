/** CLIP's towers with every weight trained: their gradients on plain references, without a device. */

import assert from "node:assert/strict";
import { differentiate } from "../../gpu/autodiff.ts";
import { Graph, resident, sizeOf, type Tensor } from "../../gpu/graph.ts";
import { matmul, reshape, splitTokens } from "../../gpu/ops/mod.ts";
import { createPrng } from "../../lib/random.ts";
import { endPositions, TextTower } from "../../models/clip/text.ts";
import { ClipImageHead, FrozenVit } from "../../models/clip/vit.ts";
import { type Init, Weights } from "../../models/params.ts";
import { elementsOf, type Memory, runReference } from "../_util/reference_engine.ts";

const STEP = 1e-5, TOLERANCE = 1e-5, SAMPLES = 6;

/** Declares as trained what a tower declares as frozen. */
class TrainedWeights extends Weights {
  override frozen(name: string, shape: readonly number[], init: Init): Tensor {
    return this.trained(name, shape, init);
  }
}

/** Compares the gradients of Σ embedding² with central differences, at a few elements of every weight. */
function checkTower(
  record: (g: Graph, weights: Weights) => Tensor,
  inputs: ReadonlyMap<Tensor, ArrayLike<number>>,
): void {
  const g = new Graph(), weights = new TrainedWeights();
  const flat = reshape(g, record(g, weights), [1, -1]);
  const objective = matmul(g, flat, flat, { transposeB: true }), forward = g.nodes.slice(); // [1 1]
  const memory: Memory = new Map([...inputs].map(([tensor, values]) => [tensor, Float64Array.from(values)]));
  weights.list.forEach(({ tensor, shape }, i) => {
    const prng = createPrng(7, i);
    memory.set(tensor, Float64Array.from({ length: sizeOf(shape) }, () => 0.5 * prng.normal()));
  });
  const seed = resident("input", "seed", [1, 1]);
  memory.set(seed, Float64Array.of(1));
  const gradients = differentiate(g, { seeds: [{ output: objective, gradient: seed }] });
  const after = runReference(g.nodes, new Map(memory));
  for (const { name, tensor } of weights.list) {
    const gradient = gradients.get(tensor);
    assert.ok(gradient, `${name} must get a gradient`);
    const actual = elementsOf(after, gradient), prng = createPrng(11, sizeOf(tensor.shape));
    const largest = actual.reduce((max, each) => Math.max(max, Math.abs(each)), 1);
    for (let sample = 0; sample < SAMPLES; sample++) {
      const i = prng.integer(actual.length);
      const at = (delta: number) => {
        const moved = memory.get(tensor)!.slice();
        moved[i] += delta;
        return elementsOf(runReference(forward, new Map(memory).set(tensor, moved)), objective)[0];
      };
      const expected = (at(STEP) - at(-STEP)) / (2 * STEP);
      assert.ok(
        Math.abs(actual[i] - expected) <= TOLERANCE * largest,
        `d${name}[${i}] is ${actual[i]}, finite differences give ${expected}`,
      );
    }
  }
}

const SIZES = { width: 8, heads: 2, layers: 2, embedDim: 3 };

for (const activation of ["quick_gelu", "gelu"] as const) {
  Deno.test(`every weight of a text tower with ${activation} gets its gradient, the token table included`, () => {
    const context = 5, ids = [1, 4, 4, 9, 0, 1, 2, 9, 0, 0]; // 9 ends a sentence
    const tensors = [resident("input", "ids", [2, context], "u32"), resident("input", "ends", [2], "u32")];
    checkTower(
      (g, weights) => {
        const tower = new TextTower(weights, { ...SIZES, context, vocabulary: 10, activation });
        return tower.sentences(g, tower.run(g, tensors[0]), tensors[1]); // [2 3]
      },
      new Map<Tensor, ArrayLike<number>>([[tensors[0], ids], [tensors[1], endPositions(ids, context)]]),
    );
  });
}

Deno.test("every weight of an image tower gets its gradient, the patch convolution included", () => {
  const frames = resident("input", "frames", [2, 3, 4, 4]), prng = createPrng(3);
  const config = { ...SIZES, imageSize: 4, patchSize: 2 };
  checkTower(
    (g, weights) => {
      const tower = new FrozenVit(weights, config, { dtype: "f32" });
      const head = new ClipImageHead(weights, config);
      return head.apply(g, splitTokens(g, [...tower.outputs(g, frames)].at(-1)!).token).embedding; // [2 3]
    },
    new Map([[frames, Array.from({ length: sizeOf(frames.shape) }, () => prng.normal())]]),
  );
});
