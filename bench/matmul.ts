/**
 * Measures the matmul family on this machine's adapter: the frozen tower's linear layer in all three transpositions that
 * training uses, small shapes of a side network, f16 storage and a split sum.
 *
 *     deno run -A bench/matmul.ts [--json] [--all]
 *
 * `--all` times every candidate and not only the default one. Every kernel is checked before it is timed.
 */

import { matmulCandidates } from "../gpu/ops/matmul_kernel.ts";
import type { MatmulSpec } from "../gpu/ops/matmul_kernel.ts";
import { openGpu } from "../gpu/device.ts";
import type { Gpu } from "../gpu/device.ts";
import { describeProduct, matmulTrial, operandLengths } from "../gpu/tuning/matmul_trial.ts";
import { createTrial } from "../gpu/tuning/trial.ts";

/** One measurement, as `bench --json` prints it. */
export interface Measurement {
  name: string;
  variant: string;
  shape: string;
  ms: number;
  gflops: number;
  gbps: number;
  adapter: string;
}

/** A dense product without epilogue. */
export function plainSpec(m: number, n: number, k: number, extra: Partial<MatmulSpec> = {}): MatmulSpec {
  return {
    m,
    n,
    k,
    batch: 1,
    splitK: 1,
    transposeA: false,
    transposeB: false,
    typeA: "f32",
    typeB: "f32",
    typeC: "f32",
    bias: false,
    residual: false,
    activation: "none",
    strideA: m * k,
    strideB: k * n,
    strideC: m * n,
    ...extra,
  };
}

/** Eight frames of ViT-B/16, 197 tokens each, through one 768x768 linear layer. */
const [ROWS, WIDTH] = [8 * 197, 768];

/** What is measured, by name. The first is the headline: X · Wᵀ, as a linear layer computes it. */
const SPECS: [string, MatmulSpec][] = [
  ["matmul", plainSpec(ROWS, WIDTH, WIDTH, { transposeB: true })],
  ["matmul.dX", plainSpec(ROWS, WIDTH, WIDTH)],
  ["matmul.dW", plainSpec(WIDTH, WIDTH, ROWS, { transposeA: true })],
  [
    "matmul.mlp",
    plainSpec(ROWS, 4 * WIDTH, WIDTH, { transposeB: true, bias: true, activation: "quickGelu" }),
  ],
  ["matmul.f16Weight", plainSpec(ROWS, WIDTH, WIDTH, { transposeB: true, typeB: "f16" })],
  [
    "matmul.f16",
    plainSpec(ROWS, WIDTH, WIDTH, { transposeB: true, typeA: "f16", typeB: "f16", typeC: "f16" }),
  ],
  ["matmul.side", plainSpec(2048, 64, 64, { transposeB: true, bias: true })],
  ["matmul.head", plainSpec(16, 4, 64, { transposeB: true, bias: true })],
  ["matmul.splitK", plainSpec(320, 320, 50_000, { transposeA: true, splitK: 4 })],
];

/** Bytes that a product must move at least: every operand once. */
function bytesOf(spec: MatmulSpec): number {
  const lengths = operandLengths(spec);
  const size = (type: "f32" | "f16") => type === "f16" ? 2 : 4;
  return lengths.a * size(spec.typeA) + lengths.b * size(spec.typeB) + lengths.c * size(spec.typeC);
}

/** Times the default variant (or all candidates) of each spec. */
export async function* benchMatmul(gpu: Gpu, options: { all?: boolean } = {}): AsyncGenerator<Measurement> {
  for (const [name, spec] of SPECS) {
    const candidates = matmulCandidates(spec, gpu.environment);
    const trial = createTrial(gpu.device, matmulTrial(spec));
    try {
      for (const variant of options.all ? candidates : candidates.slice(0, 1)) {
        const ms = await trial.measure(variant.build(spec), { budgetMs: 1500 });
        if (typeof ms === "string") throw new Error(`Cannot time ${variant.name}: ${ms}`);
        const flops = 2 * spec.m * spec.n * spec.k * spec.batch;
        yield {
          name,
          variant: variant.name,
          shape: describeProduct(spec),
          ms: Number(ms.toFixed(3)),
          gflops: Number((flops / ms / 1e6).toFixed(2)),
          gbps: Number((bytesOf(spec) / ms / 1e6).toFixed(2)),
          adapter: gpu.name,
        };
      }
    } finally {
      trial.destroy();
    }
  }
}

if (import.meta.main) {
  using gpu = await openGpu();
  const print = (line: string) => Deno.stdout.writeSync(new TextEncoder().encode(line + "\n"));
  for await (const row of benchMatmul(gpu, { all: Deno.args.includes("--all") })) {
    print(
      Deno.args.includes("--json")
        ? JSON.stringify(row)
        : `${row.name.padEnd(18)}${row.shape.padEnd(34)}${row.variant.padEnd(30)}` +
          `${row.ms.toFixed(2).padStart(10)} ms ${row.gflops.toFixed(1).padStart(8)} GFLOP/s`,
    );
  }
}
