/**
 * The matmul kernel family: C[b] = epilogue(op(A[b]) · op(B[b])), every matrix row-major, sums in f32.
 *
 * Two algorithms, each a small text generator, because the register tile must be unrolled text: the same tile written as
 * loops over an array runs ten times slower on a software adapter.
 *   - `_matmul_register.ts`: a tile in registers only. For llvmpipe, where a load is a loop over lanes and so a load is
 *     what costs; one that reads 64 bits a lane and spreads A by subgroup broadcast touches each value once.
 *   - `_matmul_shared.ts`: workgroup memory plus a register tile. For GPUs.
 *
 * Which variant runs is measured (`gpu/tuning/`); the first candidate serves without a measurement.
 */

import { type KernelAdapter, type KernelFamily, sizeRange } from "../tuning/family.ts";
import type { MatmulSpec, MatmulVariant } from "./_matmul_common.ts";
import { registerVariant } from "./_matmul_register.ts";
import type { RegisterTile } from "./_matmul_register.ts";
import { sharedVariant } from "./_matmul_shared.ts";
import type { SharedTile } from "./_matmul_shared.ts";
import { softwareLanes } from "../adapter.ts";

export { type MatmulSpec, type MatmulVariant, splitLength } from "./_matmul_common.ts";

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

const SHARED_TILES: SharedTile[] = [
  { blockM: 128, blockN: 64, blockK: 16, rows: 8, columns: 4 },
  { blockM: 64, blockN: 64, blockK: 16, rows: 4, columns: 4 },
  { blockM: 32, blockN: 32, blockK: 16, rows: 4, columns: 4 },
];

function registerTiles(): RegisterTile[] {
  const tiles = (shapes: number[][], options: { spread: boolean; wide: boolean }) =>
    shapes.map(([lanes, rows, columns]) => ({ lanes, rows, columns, ...options }));
  return [
    ...tiles(WIDE_TILES, { spread: true, wide: true }),
    ...tiles(NARROW_TILES, { spread: true, wide: false }),
    ...tiles(PLAIN_TILES, { spread: false, wide: false }),
  ];
}

/** Every variant. The plainest one, which runs on any device, is last. */
export const MATMUL_VARIANTS: readonly MatmulVariant[] = [
  ...SHARED_TILES.map(sharedVariant),
  ...registerTiles().map(registerVariant),
];

/** The variants worth timing on this adapter, most promising first. f16 storage needs the feature "shader-f16". */
export function matmulCandidates(spec: MatmulSpec, adapter: KernelAdapter): MatmulVariant[] {
  if ([spec.typeA, spec.typeB, spec.typeC].includes("f16") && !adapter.features.has("shader-f16")) return [];
  const lanes = softwareLanes(adapter);
  const family = MATMUL_VARIANTS.filter((variant) => {
    if (!variant.needs.every((feature) => adapter.features.has(feature))) {
      return false;
    }
    if (!adapter.isSoftware) return variant.name.startsWith("shared");
    // A tile made for a larger subgroup would broadcast from lanes that do not exist.
    return variant.name.startsWith("register") &&
      (!variant.needs.includes("subgroups") || variant.name.includes(`lanes${lanes}-`));
  });
  const costs = new Map(family.map((variant) => [variant, variant.cost(spec)]));
  return family.sort((left, right) => costs.get(left)! - costs.get(right)!);
}

/** Products of matrices as a kernel family. */
export const MATMUL: KernelFamily<MatmulSpec> = {
  name: "matmul",
  candidates: matmulCandidates,
  shapeKey: (spec) => [spec.m, spec.n, spec.k, spec.batch, spec.splitK].map(sizeRange).join("."),
};
