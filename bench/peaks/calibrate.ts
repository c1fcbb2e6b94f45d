/** How fast this adapter runs every op, at a few sizes each: what the time of a plan is worked out from. */

import { OP_CASES } from "../../gpu/cases/all.ts";
import { inputValues, type OpCase } from "../../gpu/cases/op_case.ts";
import type { Gpu } from "../../gpu/device.ts";
import type { Tensor } from "../../gpu/graph.ts";
import { OPS } from "../../gpu/op.ts";
import { zeros } from "../../gpu/ops/mod.ts";
import { nodesOfLaunches, pieceMs } from "../../gpu/profile.ts";
import { prepareGraph } from "../../gpu/run.ts";
import type { Prng } from "../../lib/random.ts";
import { type OpPoint, pointOf } from "../../train/planning/rates.ts";
import { caseFor, recordings } from "../ops.ts";

/**
 * Times that everything is measured, a while apart, of which the middle one counts. A software adapter shares its processor with all else,
 * other machines on the same host among it, and a plan is for its usual speed.
 */
const ROUNDS = { software: 3, hardware: 1 };
/** From so many GFLOP/s on, products of the size of a whole batch are run too. */
const FAST_GFLOPS = 1000;

/** Rows and widths of products: a head's, a side network's, a tower's; and of a whole batch, on a card. */
const PRODUCTS: readonly [m: number, n: number, k: number][] = [
  [64, 64, 64],
  [2048, 64, 64],
  [2048, 192, 64],
  [2048, 64, 256],
  [788, 320, 320],
  [394, 768, 768],
  [394, 1280, 320],
];
const LARGE_PRODUCTS: readonly [m: number, n: number, k: number][] = [
  [3152, 768, 768],
  [25_216, 320, 320],
  [25_216, 768, 768],
  [25_216, 3072, 768],
  [25_216, 768, 3072],
];
/**
 * An op that moves so many bytes is measured with caches full of others', as they are in a step; smaller tensors come from caches there too.
 * What fills them is larger than the caches of today's adapters.
 */
const COLD = {
  software: { leastBytes: 2 ** 18, fillBytes: 2 ** 25 },
  hardware: { leastBytes: 2 ** 25, fillBytes: 2 ** 27 },
};
/** Parts of the long sum of a weight's gradient. */
const ROWS_A_PART = 1024, MOST_PARTS = 32;

/** Clips or frames, tokens, width and heads of attention: over time, of a small and of large towers; and of a whole batch, on a card. */
const ATTENTIONS: readonly [B: number, S: number, D: number, heads: number][] = [
  [64, 9, 64, 1],
  [16, 17, 64, 2],
  [16, 50, 128, 2],
  [2, 197, 320, 5],
  [1, 257, 768, 12],
];
const LARGE_ATTENTIONS: typeof ATTENTIONS = [[6272, 8, 320, 5], [128, 197, 320, 5], [128, 197, 768, 12]];

/** What fits the caches of a processor, for the ops that most of the traffic is of: rows, width. */
const [MIDDLE_ROWS, MIDDLE_WIDTH] = [2176, 64];
const MIDDLE: Readonly<Record<string, readonly string[]>> = {
  add: ["x", "y"],
  scale: ["x"],
  gelu: ["x"],
  geluDx: ["x", "dOut"],
  quickGelu: ["x"],
  quickGeluDx: ["x", "dOut"],
};
const MIDDLE_NORMS: Readonly<Record<string, OpCase["inputs"]>> = {
  layerNorm: { x: [MIDDLE_ROWS, MIDDLE_WIDTH], weight: [MIDDLE_WIDTH], bias: [MIDDLE_WIDTH] },
  batchNormTrain: { x: [MIDDLE_ROWS, MIDDLE_WIDTH], weight: [MIDDLE_WIDTH], bias: [MIDDLE_WIDTH] },
  sumRows: { x: [1, MIDDLE_ROWS, MIDDLE_WIDTH] },
};

/** The cases of an op. */
interface Calibrated {
  readonly op: string;
  readonly cases: readonly OpCase[];
}

/** Every op's measured times. One that needs half floats where the adapter has none is left out. */
export async function calibrate(
  gpu: Gpu,
  options: {
    gflops: number;
    /** Ops to measure; all when absent. */
    ops?: readonly string[];
    tell?: (done: number, of: number) => void;
    signal?: AbortSignal;
  },
): Promise<OpPoint[]> {
  const all = calibrated(options.gflops).filter(({ op }) => options.ops?.includes(op) ?? true),
    of = all.reduce((sum, { cases }) => sum + cases.length, 0);
  const rounds = gpu.isSoftware ? ROUNDS.software : ROUNDS.hardware, found = new Map<OpCase, OpPoint[]>();
  let done = 0;
  for (let round = 0; round < rounds; round++) {
    for (const { op, cases } of all) {
      for (const each of cases) {
        options.signal?.throwIfAborted();
        options.tell?.(done++, rounds * of);
        const point = await measure(gpu, op, each);
        if (point) found.set(each, [...found.get(each) ?? [], point]);
      }
    }
  }
  return [...found.values()].map((points) => points.sort((a, b) => a.ms - b.ms)[(points.length - 1) >> 1]);
}

/** What is measured. @param gflops The adapter's f32 peak. */
export function calibrated(gflops: number): Calibrated[] {
  const attentions = [...ATTENTIONS, ...gflops >= FAST_GFLOPS ? LARGE_ATTENTIONS : []];
  const own: Record<string, readonly OpCase[]> = {
    matmul: products(gflops),
    attention: attentions.map(([B, S, D, heads]) => ({
      name: "",
      inputs: { q: [B, S, D], kv: [B, S, 2 * D] },
      attrs: { heads },
    })),
    attentionBackwardQuery: attentions.map(([B, S, D, heads]) => ({
      name: "",
      inputs: { q: [B, S, D], kv: [B, S, 2 * D], out: [B, S, D], lse: [B, heads, S], dout: [B, S, D] },
      attrs: { heads },
    })),
    attentionBackwardKey: attentions.map(([B, S, D, heads]) => ({
      name: "",
      inputs: {
        q: [B, S, D],
        kv: [B, S, 2 * D],
        lse: [B, heads, S],
        delta: [B, heads, S],
        dout: [B, S, D],
      },
      attrs: { heads },
    })),
  };
  return [...OP_CASES].filter(([, cases]) => cases.length > 0).map(([op, cases]) => ({
    op,
    cases: own[op] ?? [...new Set([caseFor(cases, true), ...middle(op), caseFor(cases, false)])],
  }));
}

function middle(op: string): OpCase[] {
  const inputs = MIDDLE_NORMS[op] ??
    (MIDDLE[op] && Object.fromEntries(MIDDLE[op].map((name) => [name, [MIDDLE_ROWS, MIDDLE_WIDTH]])));
  return inputs === undefined ? [] : [{ name: "", inputs }];
}

function products(gflops: number): OpCase[] {
  const large = gflops >= FAST_GFLOPS ? LARGE_PRODUCTS : [];
  const f32 = [...PRODUCTS, ...large].flatMap(([m, n, k]): OpCase[] => [
    { name: "", inputs: { a: [m, k], b: [n, k], bias: [n] }, attrs: { transposeB: true } },
    { name: "", inputs: { a: [m, n], b: [n, k] } },
    {
      name: "",
      inputs: { a: [m, n], b: [m, k] },
      attrs: {
        transposeA: true,
        splitK: Math.max(1, Math.min(MOST_PARTS, Math.floor(m / ROWS_A_PART))),
      },
    },
  ]);
  const f16 = [PRODUCTS[5], ...large.slice(1)].map(([m, n, k]): OpCase => ({
    name: "",
    inputs: { a: [m, k], b: [n, k], bias: [n] },
    attrs: { transposeB: true, dtype: "f16" },
    dtypes: { a: "f16", b: "f16" },
  }));
  return [...f32, ...f16];
}

async function measure(gpu: Gpu, name: string, each: OpCase): Promise<OpPoint | null> {
  const [{ g }] = recordings(OPS.get(name)!, { ...each, gradient: "none" }),
    node = g.nodes.find(({ op }) => !op.view);
  if (node === undefined) return null;
  const tensors = [...Object.values(node.inputs), ...Object.values(node.outputs)];
  if (tensors.some(({ dtype }) => dtype === "f16") && !gpu.features.has("shader-f16")) return null;
  const values = new Map<Tensor, Float32Array | Uint32Array>();
  for (const tensor of Object.values(node.inputs)) {
    const owner = tensor.base ?? tensor;
    if (!values.has(owner)) values.set(owner, inputValues(each, owner, { prng: quick() }));
  }
  const { leastBytes, fillBytes } = gpu.isSoftware ? COLD.software : COLD.hardware;
  const isCold = node.op.work(node).bytes >= leastBytes;
  if (isCold) g.output("fill", zeros(g, [Math.min(fillBytes, gpu.maxBindingBytes) / 4]));
  const { runtime, plan } = await prepareGraph(gpu, g, values);
  try {
    const own = nodesOfLaunches(gpu.environment, plan).lastIndexOf(node) + 1;
    const after = isCold ? { from: own, to: own + 1 } : undefined;
    const ms = await pieceMs(gpu, runtime.program("graph"), { to: own, after });
    return pointOf(node, Number(ms.toPrecision(4)));
  } finally {
    gpu.memory[Symbol.dispose]();
  }
}

/** Numbers that look like normal ones and cost nothing. */
function quick(): Prng {
  let state = 1;
  const uniform = () => (state = Math.imul(state, 1_664_525) + 1_013_904_223 >>> 0) / 2 ** 32;
  return { normal: () => 2 * (uniform() - 0.5) } as Prng;
}
