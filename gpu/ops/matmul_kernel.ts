/**
 * The matmul kernel family: C[b] = epilogue(op(A[b]) · op(B[b])), every matrix row-major, sums in f32.
 *
 * Each algorithm is a small text generator, because the register tile must be unrolled text: the same tile written as loops over
 * an array runs ten times slower on a software adapter.
 *   - `_matmul_register.ts`: a tile in registers only. For llvmpipe, where a load is a loop over lanes and so a load is
 *     what costs; one that reads 64 bits a lane and spreads A by subgroup broadcast touches each value once.
 *   - `_matmul_shared.ts`: workgroup memory plus a register tile. For GPUs.
 *   - `_matmul_subgroup.ts`: B in workgroup memory, A spread by subgroups of a known size. For GPUs that were measured.
 *   - `_matmul_rows.ts`: few rows, the sum over k shared out among threads. For GPUs.
 *
 * Which variant runs is measured (`gpu/tuning/`); the first candidate serves without a measurement.
 */

import { type KernelAdapter, type KernelFamily, sizeRange } from "../tuning/family.ts";
import type { MatmulSpec, MatmulVariant } from "./_matmul_common.ts";
import { registerVariant } from "./_matmul_register.ts";
import type { RegisterTile } from "./_matmul_register.ts";
import { rowsVariant } from "./_matmul_rows.ts";
import { sharedVariant } from "./_matmul_shared.ts";
import type { SharedTile } from "./_matmul_shared.ts";
import { subgroupVariant } from "./_matmul_subgroup.ts";

export { halfProductBound, type MatmulSpec, type MatmulVariant, splitLength } from "./_matmul_common.ts";

/** Tiles of the register algorithm that read 64-bit words: [lanes, rows, columns of one lane], so [8 64 4] is 64x32. */
const WIDE_TILES = [[8, 64, 4], [8, 32, 8], [8, 32, 4], [8, 16, 4], [8, 16, 2], [8, 8, 1], [4, 32, 8], [
  4,
  16,
  4,
], [4, 8, 2]];
/** The same with 32-bit words, for devices without 64-bit integers. */
const NARROW_TILES = [[8, 32, 8], [8, 16, 4], [8, 8, 1], [4, 32, 8], [4, 8, 2]];
/** Without subgroups every lane reads all of A. */
const PLAIN_TILES = [[8, 16, 8], [8, 8, 4], [8, 4, 1]];

/** Blocks through workgroup memory: [m, n, rows and columns of one thread]. */
const BLOCKS = [
  [32, 32, 4, 4],
  [64, 32, 4, 4],
  [32, 64, 4, 4],
  [64, 64, 4, 4],
  [64, 64, 8, 4],
  [128, 32, 8, 4],
  [128, 64, 8, 4],
  [64, 64, 4, 8],
  [64, 128, 4, 8],
  [64, 64, 8, 8],
  [128, 64, 8, 8],
  [64, 128, 8, 8],
  [128, 128, 8, 8],
];
/** How they are fed: [steps of k, buffers]. */
const FEEDS = [[8, 2], [16, 1], [16, 2], [32, 1], [32, 2]] as const;
const HALF_FEEDS = [[16, 2], [32, 1]] as const;
/** The blocks that may multiply in f16. */
const CHUNK_BLOCKS = [[64, 64, 4, 4], [128, 64, 8, 4], [128, 128, 8, 8]];

/** [lanes, subgroups, rows and columns of one lane]. */
const SUBGROUP_TILES = [
  [4, 8, 4, 8],
  [8, 8, 8, 8],
  [16, 8, 8, 8],
  [32, 4, 8, 4],
  [32, 8, 8, 4],
  [32, 4, 8, 8],
  [64, 2, 16, 4],
  [64, 4, 16, 4],
];

/** Rows of few and threads. */
const ROWS_TILES = [[1, 64], [1, 256], [4, 64], [4, 256], [8, 128]];

function registerTiles(): RegisterTile[] {
  const tiles = (shapes: number[][], options: { spread: boolean; wide: boolean }) =>
    shapes.map(([lanes, rows, columns]) => ({ lanes, rows, columns, ...options }));
  return [
    ...tiles(WIDE_TILES, { spread: true, wide: true }),
    ...tiles(NARROW_TILES, { spread: true, wide: false }),
    ...tiles(PLAIN_TILES, { spread: false, wide: false }),
  ];
}

function sharedTiles(): SharedTile[] {
  const tiles = (
    blocks: number[][],
    feeds: readonly (readonly [number, 1 | 2])[],
    options: Pick<SharedTile, "half" | "chunk">,
  ) =>
    blocks.flatMap(([blockM, blockN, rows, columns]) =>
      feeds.map(([blockK, buffers]) => ({ blockM, blockN, blockK, rows, columns, buffers, ...options }))
    );
  return [
    ...tiles(BLOCKS, FEEDS, { half: false, chunk: 0 }),
    ...tiles(BLOCKS, HALF_FEEDS, { half: true, chunk: 0 }),
    ...tiles(CHUNK_BLOCKS, HALF_FEEDS, { half: true, chunk: 4 }),
    ...tiles(CHUNK_BLOCKS, HALF_FEEDS, { half: true, chunk: 8 }),
  ].filter(isWorthIt);
}

/**
 * Shallow blocks of few places are little but barriers; deep ones of many places leave no memory for a second workgroup, which an 8 x 8
 * tile needs least.
 */
function isWorthIt({ blockM, blockN, blockK, rows, columns, buffers, half }: SharedTile): boolean {
  const places = blockM + blockN;
  if (blockK === 8) return places >= 128;
  if (blockK === 16 || half) return true;
  return rows * columns === 64 ? places >= 192 || buffers === 1 : places <= 128 && buffers === 1;
}

/** Every variant. The plainest one, which runs on any device, is last. */
export const MATMUL_VARIANTS: readonly MatmulVariant[] = [
  ...sharedTiles().map(sharedVariant),
  ...SUBGROUP_TILES.map(([lanes, subgroups, rows, columns]) =>
    subgroupVariant({ lanes, subgroups, rows, columns })
  ),
  ...ROWS_TILES.map(([rows, threads]) => rowsVariant({ rows, threads })),
  ...registerTiles().map(registerVariant),
];

/** Candidates that are made to differ, and what a trait in common with earlier ones adds to an estimate: twice at most, but for kinds. */
const DIVERSE = 8, SAMENESS = 0.04;

/**
 * The variants worth timing on this adapter, most promising first; those that are tried first on a GPU differ in block, tile and
 * feed, as an estimate errs for all that are alike. f16 storage needs the feature "shader-f16".
 */
export function matmulCandidates(spec: MatmulSpec, adapter: KernelAdapter): MatmulVariant[] {
  if ([spec.typeA, spec.typeB, spec.typeC].includes("f16") && !adapter.features.has("shader-f16")) return [];
  const costs = new Map<MatmulVariant, number>();
  for (const variant of MATMUL_VARIANTS) {
    if (variant.needs.every((feature) => adapter.features.has(feature)) && variant.suits(spec, adapter)) {
      costs.set(variant, variant.cost(spec, adapter));
    }
  }
  const sorted = [...costs.keys()].sort((one, other) => costs.get(one)! - costs.get(other)!);
  return adapter.isSoftware ? sorted : differingFirst(sorted, costs);
}

/** Begins with candidates that have little in common, then goes on by estimate. */
function differingFirst(
  sorted: readonly MatmulVariant[],
  costs: ReadonlyMap<MatmulVariant, number>,
): MatmulVariant[] {
  const first: MatmulVariant[] = [], seen = new Map<string, number>();
  const weighed = (variant: MatmulVariant) => {
    const counts = variant.traits.map((trait) => seen.get(trait) ?? 0);
    const common = counts.reduce((sum, count, i) => sum + (i === 0 ? count : Math.min(2, count)), 0);
    return costs.get(variant)! * (1 + SAMENESS * common);
  };
  while (first.length < Math.min(DIVERSE, sorted.length)) {
    // Without a measurement the first one runs: one that holds on any driver and is as exact as the others.
    const left = sorted.filter((variant) =>
      !first.includes(variant) && (first.length > 0 || !variant.traits.some(isUncertain))
    );
    const best = left.reduce((one, other) => weighed(other) < weighed(one) ? other : one);
    first.push(best);
    for (const trait of best.traits) seen.set(trait, (seen.get(trait) ?? 0) + 1);
  }
  return [...first, ...sorted.filter((variant) => !first.includes(variant))];
}

const isUncertain = (trait: string) => trait === "subgroup" || trait.startsWith("chunk");

/** Products of matrices as a kernel family. */
export const MATMUL: KernelFamily<MatmulSpec> = {
  name: "matmul",
  candidates: matmulCandidates,
  shapeKey: (spec) => [spec.m, spec.n, spec.k, spec.batch, spec.splitK].map(sizeRange).join("."),
};
