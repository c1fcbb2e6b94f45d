/** What the case tables do not reach: functions made of several ops, kernels for other adapters, accuracy near zero. */

import assert from "node:assert/strict";
import { differentiate } from "../../gpu/autodiff.ts";
import { Gpu } from "../../gpu/device.ts";
import { Graph, resident, type Tensor } from "../../gpu/graph.ts";
import { runGraph } from "../../gpu/run.ts";
import type { KernelEnvironment } from "../../gpu/op.ts";
import { erf } from "../../gpu/ops/activation_functions.ts";
import { gelu } from "../../gpu/ops/activation.ts";
import { clipTensors } from "../../gpu/ops/clip_tensors.ts";
import { crossEntropy, softCrossEntropy } from "../../gpu/ops/cross_entropy.ts";
import { accumulateInto, concat, fill, padRows, slice, zeros } from "../../gpu/ops/memory.ts";
import { l2Normalize } from "../../gpu/ops/normalize.ts";
import {
  adamw,
  ADAMW_HYPER_LENGTH,
  bertAdam,
  clipFactor,
  gradNorm,
  packAdamwHyper,
  packBertAdamHyper,
} from "../../gpu/ops/optimizer.ts";
import { columnSum, meanTokens, sumLeading } from "../../gpu/ops/reduce.ts";
import { softmax } from "../../gpu/ops/softmax.ts";
import { temporalConv } from "../../gpu/ops/temporal_conv.ts";
import { tokenShift } from "../../gpu/ops/token_shift.ts";
import { addPosition, concatTokens, prependToken, sideTokens, splitTokens } from "../../gpu/ops/tokens.ts";
import { unfold } from "../../gpu/ops/unfold.ts";
import { GUARD_LENGTH } from "../../gpu/ops/update_guard.ts";
import { createPrng } from "../../lib/random.ts";
import { engineTest } from "../_util/engine.ts";

/** A resident tensor with seeded normal values. */
function normals(values: Map<Tensor, Float32Array>, shape: readonly number[]): Tensor {
  const prng = createPrng(5, values.size);
  const tensor = resident("parameter", `x${values.size}`, shape);
  values.set(tensor, Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => prng.normal()));
  return tensor;
}

function assertClose(actual: Float32Array, expected: ArrayLike<number>, tolerance: number): void {
  assert.equal(actual.length, expected.length);
  actual.forEach((value, i) => {
    assert.ok(Math.abs(value - expected[i]) <= tolerance, `[${i}] is ${value}, expected ${expected[i]}`);
  });
}

engineTest("gelu() carries an error function accurate to 3e-7 everywhere", async (gpu) => {
  const g = new Graph(), x = resident("input", "x", [20001]);
  const data = Float32Array.from({ length: 20001 }, (_, i) => (i - 10000) / 1000);
  g.output("out", gelu(g, x));
  const out = (await runGraph(gpu, g, new Map([[x, data]]))).get("out")!;
  // gelu = x/2 (1 + erf): an error of erf shows up multiplied by x/2, beside the rounding of the result.
  data.forEach((value, i) => {
    const expected = 0.5 * value * (1 + erf(value / Math.SQRT2));
    const allowed = 0.5 * Math.abs(value) * 3e-7 + 1.2e-7 * Math.abs(expected);
    assert.ok(Math.abs(out[i] - expected) <= allowed, `gelu(${value}) is ${out[i]}, expected ${expected}`);
  });
});

/** Pretends that the adapter is a GPU, so that rows are reduced by many lanes. */
class Hardware extends Gpu {
  override get environment(): KernelEnvironment {
    return { ...super.environment, isSoftware: false };
  }
}

engineTest("rows reduced by one invocation and by many lanes agree", async (gpu) => {
  for (const [rows, columns] of [[1, 1], [7, 197], [67, 3], [33, 64], [5, 65]]) {
    const results: Map<string, Float32Array>[] = [];
    for (const each of [gpu, new Hardware(gpu.device, gpu.info, gpu.features)]) {
      const g = new Graph(), values = new Map<Tensor, Float32Array>();
      const x = normals(values, [rows, columns]), targets = normals(values, [rows, columns]);
      const { loss, lossPerSample } = softCrossEntropy(g, x, softmax(g, g.view(targets, targets.shape)));
      g.output("loss", loss);
      g.output("lossPerSample", lossPerSample);
      const outputs = { softmax: softmax(g, x), normalized: l2Normalize(g, x) };
      const seeds = Object.values(outputs).map((output) => ({ output, gradient: targets }));
      for (const [name, output] of Object.entries(outputs)) g.output(name, output);
      g.output("dx", differentiate(g, { seeds }).get(x)!);
      results.push(await runGraph(each, g, values));
    }
    for (const [name, values] of results[0]) assertClose(results[1].get(name)!, values, 1e-5);
  }
});

engineTest("sums over rows, over the leading axis and over tokens reduce the axis they name", async (gpu) => {
  const g = new Graph(), values = new Map<Tensor, Float32Array>();
  const x = normals(values, [3, 37, 5]), data = values.get(x)!;
  g.output("columns", columnSum(g, x));
  g.output("leading", sumLeading(g, x));
  g.output("tokens", meanTokens(g, x));
  const columns = new Float64Array(5), leading = new Float64Array(185), tokens = new Float64Array(15);
  data.forEach((value, i) => {
    columns[i % 5] += value;
    leading[i % 185] += value;
    tokens[Math.floor(i / 185) * 5 + i % 5] += value / 37;
  });
  const results = await runGraph(gpu, g, values);
  assertClose(results.get("columns")!, columns, 1e-5);
  assertClose(results.get("leading")!, leading, 1e-5);
  assertClose(results.get("tokens")!, tokens, 1e-6);
  assert.deepEqual([...g.outputs.values()].map((t) => t.shape), [[5], [37, 5], [3, 5]]);
});

engineTest("crossEntropy() with labels is the smoothed negative log likelihood", async (gpu) => {
  const g = new Graph(), values = new Map<Tensor, Float32Array | Uint32Array>();
  const logits = normals(values as Map<Tensor, Float32Array>, [3, 7]);
  const labels = resident("input", "labels", [3], "u32");
  values.set(labels, Uint32Array.of(0, 6, 2));
  const { loss, lossPerSample } = crossEntropy(g, logits, { labels, smoothing: 0.1 });
  g.output("loss", loss);
  g.output("lossPerSample", lossPerSample);
  const expected = [0, 6, 2].map((label, b) => {
    const row = [...values.get(logits)!.subarray(7 * b, 7 * b + 7)];
    const normaliser = Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0));
    const mean = row.reduce((sum, x) => sum + normaliser - x, 0) / 7;
    return 0.9 * (normaliser - row[label]) + 0.1 * mean;
  });
  const results = await runGraph(gpu, g, values);
  assertClose(results.get("lossPerSample")!, expected, 1e-6);
  assertClose(results.get("loss")!, [(expected[0] + expected[1] + expected[2]) / 3], 1e-6);
});

engineTest(
  "splitTokens() gives zeros for the part that no gradient reaches, and concatTokens() undoes it",
  async (gpu) => {
    for (const part of ["token", "patches"] as const) {
      const g = new Graph(), values = new Map<Tensor, Float32Array>();
      const x = normals(values, [2, 4, 3]);
      const parts = splitTokens(g, x);
      const seed = normals(values, parts[part].shape),
        other = new Float32Array(24),
        data = values.get(seed)!;
      const gradient = differentiate(g, { seeds: [{ output: parts[part], gradient: seed }] }).get(x)!;
      g.output("dx", gradient);
      g.output("joined", concatTokens(g, parts.token, parts.patches));
      for (let i = 0, from = 0; i < 24; i++) if ((i % 12 < 3) === (part === "token")) other[i] = data[from++];
      const results = await runGraph(gpu, g, values);
      assert.deepEqual(results.get("dx"), other);
      assert.deepEqual(results.get("joined"), values.get(x));
    }
  },
);

engineTest(
  "sideTokens() is the token shift, the position table and the concatenation in one",
  async (gpu) => {
    const g = new Graph(), values = new Map<Tensor, Float32Array>();
    const [B, T, P, D] = [2, 3, 5, 7];
    const tokens = {
      c: normals(values, [B, T, D]),
      s: normals(values, [B, T, P, D]),
      position: normals(values, [P, D]),
    };
    g.output("fused", sideTokens(g, tokens));
    const shifted = g.view(tokenShift(g, tokens.c), [B * T, D]);
    g.output(
      "parts",
      concatTokens(g, shifted, addPosition(g, g.view(tokens.s, [B * T, P, D]), tokens.position)),
    );
    const results = await runGraph(gpu, g, values);
    assert.deepEqual(results.get("fused"), results.get("parts"));
  },
);

engineTest(
  "three steps of adamw() on two groups, clipped by the norm of both, follow torch.optim.AdamW",
  async (gpu) => {
    const prng = createPrng(3),
      groups = [{ size: 5, lr: 0.1, weightDecay: 0.2 }, { size: 131, lr: 0.01, weightDecay: 0 }];
    const draw = (size: number): Float32Array => Float32Array.from({ length: size }, () => prng.normal());
    const params = groups.map(({ size }) => draw(size));
    const expected = params.map((p) => ({
      p: Float64Array.from(p),
      m: new Float64Array(p.length),
      v: new Float64Array(p.length),
    }));
    const moments: Float32Array[][] = groups.map((
      { size },
    ) => [new Float32Array(size), new Float32Array(size)]);
    for (let step = 1; step <= 3; step++) {
      const grads = groups.map(({ size }) => draw(size));
      const constants = groups.map(({ lr, weightDecay }) => ({
        lr,
        beta1: 0.9,
        beta2: 0.98,
        eps: 1e-8,
        weightDecay,
        step,
      }));
      const norm = Math.hypot(...grads.flatMap((each) => [...each])), clip = Math.min(1, 2 / (norm + 1e-6));
      expected.forEach(({ p, m, v }, k) => {
        const { lr, beta1, beta2, eps, weightDecay } = constants[k];
        for (let i = 0; i < p.length; i++) {
          const d = grads[k][i] * clip;
          p[i] -= lr * weightDecay * p[i];
          m[i] = beta1 * m[i] + (1 - beta1) * d;
          v[i] = beta2 * v[i] + (1 - beta2) * d * d;
          p[i] -= lr * (m[i] / (1 - beta1 ** step)) / (Math.sqrt(v[i] / (1 - beta2 ** step)) + eps);
        }
      });

      const g = new Graph(), values = new Map<Tensor, Float32Array>();
      const put = (label: string, data: Float32Array) => {
        const tensor = resident("state", label, [data.length]);
        values.set(tensor, data);
        return tensor;
      };
      const hyper = put("hyper", Float32Array.from(constants.flatMap((each) => [...packAdamwHyper(each)])));
      const guard = put("guard", new Float32Array(GUARD_LENGTH));
      const grad = grads.map((each, k) => put(`grad${k}`, each));
      const total = gradNorm(g, concat(g, grad.map((each) => gradNorm(g, each)), 0));
      const factor = clipFactor(g, total, 2), reads = new Map<string, Tensor>();
      groups.forEach((_, k) => {
        const [param, m, v] = [put("param", params[k]), put("m", moments[k][0]), put("v", moments[k][1])];
        adamw(g, { param, grad: grad[k], m, v, hyper, clip: factor, guard }, {
          hyperOffset: k * ADAMW_HYPER_LENGTH,
        });
        reads.set(`param${k}`, param).set(`m${k}`, m).set(`v${k}`, v);
      });
      const results = await runGraph(gpu, g, values, reads);
      groups.forEach((_, k) => {
        params[k] = results.get(`param${k}`)!;
        moments[k] = [results.get(`m${k}`)!, results.get(`v${k}`)!];
      });
    }
    expected.forEach(({ p }, k) => assertClose(params[k], p, 2e-6));
  },
);

engineTest(
  "three steps of bertAdam() with a warm-up, clipped tensor by tensor, give recorded weights",
  async (gpu) => {
    // lr 0.01 times the factors of a warm-up over a tenth of 20 steps, then a cosine.
    const rates = [0, 0.5, 0.975528].map((factor) => 0.01 * factor);
    const gradients = [[3, 4], [0.3, -0.4], [0.1, 0.2]];
    const expected = [[1, -2], [0.994537, -1.99927509], [0.98373461, -1.99911129]];
    let standing: Record<"param" | "m" | "v", Float32Array> = {
      param: Float32Array.of(1, -2),
      m: new Float32Array(2),
      v: new Float32Array(2),
    };
    for (const [step, lr] of rates.entries()) {
      const g = new Graph(), values = new Map<Tensor, Float32Array>();
      const put = (label: string, data: Float32Array) => {
        const tensor = resident("state", label, [data.length]);
        values.set(tensor, data);
        return tensor;
      };
      const constants = { lr, beta1: 0.9, beta2: 0.98, eps: 1e-6, weightDecay: 0.2 };
      const hyper = put("hyper", packBertAdamHyper(constants));
      const guard = put("guard", new Float32Array(GUARD_LENGTH)), clip = put("clip", Float32Array.of(1));
      const grad = put("grad", Float32Array.from(gradients[step]));
      const [param, m, v] = [put("param", standing.param), put("m", standing.m), put("v", standing.v)];
      clipTensors(g, grad, { starts: [0], clip, maxNorm: 1, maxBytes: 256 });
      bertAdam(g, { param, grad, m, v, hyper, clip, guard });
      const results = await runGraph(gpu, g, values, new Map(Object.entries({ param, m, v })));
      standing = { param: results.get("param")!, m: results.get("m")!, v: results.get("v")! };
      assertClose(standing.param, expected[step], 2e-7);
    }
  },
);

engineTest("accumulateInto() and fill() write resident memory in the recorded order", async (gpu) => {
  const g = new Graph(), values = new Map<Tensor, Float32Array>();
  const x = normals(values, [3, 5]), sum = resident("state", "sum", [3, 5]);
  fill(g, sum, 1);
  accumulateInto(g, x, { dst: sum, factor: 0.5 });
  accumulateInto(g, x, { dst: sum });
  g.output("padded", padRows(g, concat(g, [x, zeros(g, [1, 5])], 0), { before: 2 }));
  const results = await runGraph(gpu, g, values, new Map([["sum", sum]]));
  const data = [...values.get(x)!];
  assertClose(results.get("sum")!, data.map((each) => 1 + 1.5 * each), 1e-6);
  assertClose(results.get("padded")!, [0, 0, ...data, 0, 0, 0, 0, 0], 0);
});

Deno.test("clipTensors() is cut between tensors where one launch may bind no more", () => {
  const g = new Graph(), clip = resident("state", "clip", [1]), grad = resident("state", "grad", [640]);
  const cut = (maxBytes: number) => {
    const before = g.nodes.length;
    clipTensors(g, grad, { starts: [0, 64, 320, 384], clip, maxNorm: 1, maxBytes });
    return g.nodes.slice(before).map(({ inputs, attrs }) => [
      inputs.grad.offset,
      inputs.grad.shape[0],
      attrs.starts,
    ]);
  };
  assert.deepEqual(cut(4 * 640), [[0, 640, [0, 64, 320, 384]]]);
  assert.deepEqual(cut(4 * 320), [[0, 320, [0, 64]], [320, 320, [0, 64]]]);
  assert.deepEqual(cut(4 * 256), [[0, 64, [0]], [64, 256, [0]], [320, 64, [0]], [384, 256, [0]]]);
});

Deno.test("ops with shapes that do not fit are refused by name when recorded", () => {
  const g = new Graph();
  const make = (...shape: number[]) => resident("input", "x", shape);
  assert.throws(() => concat(g, [make(2, 3), make(2, 4)], 0), /Cannot concatenate along axis 0/);
  assert.throws(
    () => slice(g, make(2, 3), { axis: 1, start: 2, length: 2 }),
    /Cannot slice "x": places 2 to 4 of axis 1/,
  );
  assert.throws(
    () => temporalConv(g, make(1, 2, 3, 4), { weight: make(4, 2), bias: make(4) }),
    /Cannot record temporalConv: axis K of weight must be odd, current size is 2/,
  );
  assert.throws(
    () => prependToken(g, make(1, 4, 3), { cls: make(3), position: make(4, 3) }),
    /Cannot record prependToken: axis N of position must be 5, current shape is \[4,3\]/,
  );
  assert.throws(
    () =>
      unfold(g, make(5, 3, 4, 4), { frames: 2, kernel: [1, 2, 2], stride: [1, 2, 2], padding: [0, 0, 0] }),
    /Cannot record unfold: axis F of "x" must be a multiple of 2 frames/,
  );
  const [param, one] = [make(7), make(1)];
  assert.throws(
    () =>
      adamw(g, { param, grad: param, m: param, v: param, hyper: make(8), clip: one, guard: make(3) }, {
        hyperOffset: 8,
      }),
    /Cannot record adamw: 8 step constants must lie in "hyper" from element 8, current shape is \[8\]/,
  );
});
