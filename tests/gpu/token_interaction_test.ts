/** What the case table of the token-wise interaction does not reach: equal scores, and what lies in memory. */

import assert from "node:assert/strict";
import { differentiate } from "../../gpu/autodiff.ts";
import { Graph, resident, sizeOf, type Tensor } from "../../gpu/graph.ts";
import { tokenInteraction } from "../../gpu/ops/mod.ts";
import { planGraph } from "../../gpu/plan.ts";
import { runGraph } from "../../gpu/run.ts";
import { createPrng } from "../../lib/random.ts";
import { engineTest } from "../_util/engine.ts";
import { elementsOf, runReference } from "../_util/reference_engine.ts";

interface Sizes {
  sentences: number;
  words: number;
  clips: number;
  frames: number;
  width: number;
}

/** Forward and backward of an interaction; all but the masks has a gradient. */
function record({ sentences: A, words: L, clips: B, frames: T, width: D }: Sizes) {
  const g = new Graph(), p = (label: string, ...shape: number[]) => resident("parameter", label, shape);
  const tokens = {
    words: p("words", A, L, D),
    frames: p("frames", B, T, D),
    wordMask: resident("input", "wordMask", [A, L]),
    frameMask: resident("input", "frameMask", [B, T]),
    alpha: p("alpha", A, L),
    beta: p("beta", B, T),
  };
  const output = tokenInteraction(g, tokens), gradient = resident("input", "flow", [A, B]);
  g.output("scores", output);
  const gradients = differentiate(g, { seeds: [{ output, gradient }] });
  for (const [{ label }, each] of gradients) g.output(label, each);
  return { g, tokens, inputs: [...Object.values(tokens), gradient] };
}

engineTest("tokenInteraction() gives the gradient of equal scores to the first of them", async (gpu) => {
  const width = 5, { g, tokens, inputs } = record({ sentences: 2, words: 4, clips: 3, frames: 4, width });
  const values = new Map<Tensor, Float32Array>(inputs.map((tensor, i) => {
    const prng = createPrng(31, i);
    return [tensor, Float32Array.from({ length: sizeOf(tensor.shape) }, () => prng.normal())];
  }));
  values.get(tokens.wordMask)!.fill(1);
  values.get(tokens.frameMask)!.fill(1)[11] = 0;
  const [words, frames] = [values.get(tokens.words)!, values.get(tokens.frames)!];
  const copyRow = (rows: Float32Array, from: number, to: number) =>
    rows.copyWithin(to * width, from * width, (from + 1) * width);
  for (const a of [0, 1]) copyRow(words, 4 * a, 4 * a + 3); // the last word is the first again
  for (const b of [0, 1, 2]) copyRow(frames, 4 * b + 1, 4 * b + 2);
  values.get(tokens.beta)!.fill(0);

  const results = await runGraph(gpu, g, values);
  const memory = runReference(
    g.nodes,
    new Map([...values].map(([tensor, each]) => [tensor, Float64Array.from(each)])),
  );
  for (const [name, tensor] of g.outputs) {
    const expected = elementsOf(memory, tensor);
    results.get(name)!.forEach((value, i) => {
      assert.ok(Math.abs(value - expected[i]) < 1e-4, `${name}[${i}] is ${value}, expected ${expected[i]}`);
    });
  }
  // Frames have no weight here, so only what was best for a word gets a gradient: never a second one of equals.
  const rows = Array.from(
    { length: 12 },
    (_, row) => results.get("frames")!.subarray(row * width, (row + 1) * width),
  );
  for (const b of [0, 1, 2]) assert.ok(rows[4 * b + 2].every((value) => value === 0), `clip ${b}`);
  assert.ok([0, 1, 2].some((b) => rows[4 * b + 1].some((value) => value !== 0)));
});

engineTest(
  "tokenInteraction() lets no word choose a padded frame, though all others score below 0",
  async (gpu) => {
    const { g, tokens, inputs } = record({ sentences: 1, words: 2, clips: 2, frames: 2, width: 1 });
    const given: [Tensor, number[]][] = [
      [tokens.words, [1, 2]],
      [tokens.frames, [-1, 5, -3, 7]],
      [tokens.wordMask, [1, 1]],
      [tokens.frameMask, [1, 0, 0, 0]], // of the second clip nothing is left
      [tokens.alpha, [0.25, 0.75]],
      [tokens.beta, [1, 0, 0.5, 0.5]],
      [inputs.at(-1)!, [1, 1]],
    ];
    const results = await runGraph(
      gpu,
      g,
      new Map(given.map(([tensor, values]) => [tensor, Float32Array.from(values)])),
    );
    // Words: (0.25 · −1 + 0.75 · −2) / 2; the frame's best word is the first: −1 / 2.
    assert.deepEqual([...results.get("scores")!], [-1.375, 0]);
    assert.deepEqual([...results.get("words")!], [-0.625, -0.375]);
    assert.deepEqual([...results.get("frames")!], [1.375, 0, 0, 0]);
  },
);

Deno.test("the scores of all words with all frames never lie in memory, nor do their gradients", () => {
  const sizes = { sentences: 256, words: 32, clips: 256, frames: 12, width: 64 };
  const { sentences: A, words: L, clips: B, frames: T } = sizes;
  const { g } = record(sizes);
  const { steps, peakLiveBytes } = planGraph(g, {
    limits: { maxBindingBytes: 2 ** 30, maxBufferBytes: 2 ** 30 },
  });
  const largest = steps.flatMap(({ node }) => Object.values(node.outputs)).map(({ shape }) => sizeOf(shape));
  assert.ok(Math.max(...largest) <= A * B * L, `${Math.max(...largest)} elements`);
  assert.ok(peakLiveBytes < 4 * A * B * L * T / 2, `${peakLiveBytes} bytes`);
});
