/**
 * Attention as three kernel families, one a pass. Variants are of two kinds:
 *   - `_attention_rows.ts`: an invocation owns whole rows. The only ones on software adapters, where a barrier costs more than what
 *     workgroup memory saves; on GPUs for head sizes that are no multiple of 4, and in little workgroup memory.
 *   - `_attention_tile.ts`: a workgroup owns a block of rows and makes register tiles of scores. For GPUs.
 *
 * Which one runs is measured (`gpu/tuning/`). Without a measurement an estimate orders them (`_attention_cost.ts`); one that compares
 * between lanes never comes first, because which invocations form a subgroup is no promise of WebGPU, so it must be tried.
 */

import { grid1d, type KernelAdapter } from "../op.ts";
import { type BuiltKernel, type KernelFamily, type KernelVariant, sizeRange } from "../tuning/family.ts";
import { rowsCost, tileBytes, tileCost } from "./_attention_cost.ts";
import { sharedRows, softwareRows } from "./_attention_rows.ts";
import { isStagedAsHalves, type Tile, tileSizes, type TileSpec } from "./_attention_tile.ts";
import { backwardKeyTile, backwardQueryTile, forwardTile } from "./_attention_tile_passes.ts";
import { type AttentionPass, type AttentionUse, BINDINGS, ownRowsOf, scaleBits } from "./_attention_use.ts";

export { type AttentionPass, type AttentionUse, BINDINGS } from "./_attention_use.ts";

/** One way to do a pass. */
export interface AttentionVariant extends KernelVariant<AttentionUse> {
  /** Of those by tiles. */
  readonly tile?: Tile;
}

const TILE_SOURCES: Readonly<Record<AttentionPass, (spec: TileSpec) => string>> = {
  forward: forwardTile,
  backwardQuery: backwardQueryTile,
  backwardKey: backwardKeyTile,
};

type Shape = Pick<Tile, "threads" | "rows" | "columns" | "heads">;

const shape = (down: number, across: number, rows: number, columns: number, heads = 1): Shape => ({
  threads: [down, across],
  rows,
  columns,
  heads,
});

/** Blocks of 32 to 128 own rows by 16 to 64 streamed ones. */
const BLOCKS: readonly Shape[] = [
  shape(16, 8, 4, 4), // 64x32
  shape(8, 8, 4, 4), // 32x32
  shape(16, 4, 4, 4), // 64x16
  shape(16, 4, 2, 4), // 32x16
  shape(16, 8, 8, 4), // 128x32
  shape(16, 8, 4, 8), // 64x64
  shape(32, 8, 4, 8), // 128x64
];

/**
 * Several heads of 8 or 16 rows a workgroup: attention over the frames of a clip has few rows and very many heads, of which each is
 * read once, so that what counts is how many bytes are under way.
 */
const PACKS: readonly Shape[] = [
  ...[4, 8, 16].map((heads) => shape(4, 2, 2, 4, heads)),
  ...[2, 4].map((heads) => shape(4, 4, 4, 4, heads)),
];

const BASE = { own: "staged", halves: false, compare: "workgroup" } as const;
const REREAD = { ...BASE, own: "reread" } as const;

/** Every tile. Halves and lanes are for shapes that gain most by less memory and fewer barriers' worth of reading. */
const TILES: readonly Tile[] = [
  ...BLOCKS.flatMap((each) => [{ ...each, ...BASE }, { ...each, ...REREAD }]),
  ...BLOCKS.filter(({ threads: [, across] }) => across === 8)
    .map((each) => ({ ...each, ...BASE, halves: true })),
  ...PACKS.flatMap((each) => [{ ...each, ...REREAD }, { ...each, ...REREAD, halves: true }]),
];

const COMPARING: readonly Tile[] = TILES
  .filter(({ threads: [, across], rows, columns, halves, heads }) =>
    across === 8 && !halves && heads === 1 && rows * columns >= 16
  )
  .map((tile) => ({ ...tile, compare: "subgroup" as const }));

function tileName(tile: Tile): string {
  const { threads: [down, across], rows, columns, heads, own, halves, compare } = tile;
  return [
    `tile-${down * rows}x${across * columns}-${rows}x${columns}`,
    heads > 1 && `heads${heads}`,
    own === "reread" && "reread",
    halves && "halves",
    compare === "subgroup" && "subgroup",
  ].filter(Boolean).join("-");
}

function tileVariant(pass: AttentionPass, tile: Tile): AttentionVariant & { tile: Tile } {
  const name = tileName(tile);
  return { name, tile, build: (use) => buildTile(pass, use, { tile, name }) };
}

function buildTile(
  pass: AttentionPass,
  use: AttentionUse,
  { tile, name }: { tile: Tile; name: string },
): BuiltKernel {
  const { batch, queries, skipped, keys, heads, headSize, types } = use, { label, bindings } = BINDINGS[pass];
  const spec = { headSize, types, tile };
  const pairs = batch * heads, blocks = Math.ceil(ownRowsOf(pass, use) / tileSizes(spec).ownRows);
  const sizes = [queries, skipped, keys, heads * headSize, use.causal ? 1 : 0, scaleBits(use)];
  return {
    label: `${label}/${name}`,
    code: TILE_SOURCES[pass](spec),
    entryPoint: "main",
    bindings,
    params: new Uint32Array([...sizes, heads, pairs, blocks]),
    workgroups: grid1d(blocks * Math.ceil(pairs / tile.heads)),
  };
}

/** Rows of the other side that a pass streams, and its own, by binding. */
const STAGED: Readonly<Record<AttentionPass, readonly string[]>> = {
  forward: ["q", "kv"],
  backwardQuery: ["q", "kv", "dout"],
  backwardKey: ["q", "kv", "dout"],
};

/** Tiles that can make a pass on an adapter. */
function tilesFor(pass: AttentionPass, use: AttentionUse, adapter: KernelAdapter) {
  if (use.headSize % 4 !== 0) return [];
  const smallest = adapter.features.has("subgroups") ? adapter.subgroupSizes?.min ?? 0 : 0;
  const all = pass === "forward" ? [...TILES, ...COMPARING] : TILES;
  return all.filter((tile) => {
    const spec = { headSize: use.headSize, types: use.types, tile };
    const [, across] = tile.threads;
    return tileSizes(spec).team * tile.heads <= adapter.workgroupInvocations &&
      tileBytes(pass, spec) <= adapter.workgroupBytes &&
      (!tile.halves || STAGED[pass].some((tensor) => isStagedAsHalves(spec, tensor))) &&
      (tile.compare === "workgroup" || across <= smallest);
  }).map((tile) => tileVariant(pass, tile));
}

/** What is not known to be enough for a device shares a choice, and is tried with so many elements of a tensor. */
const TRIED_ELEMENTS = 1 << 22;

/** A use with no larger a batch than tells how fast kernels are: with more, they take proportionally longer. */
export function triedUse(use: AttentionUse): AttentionUse {
  const each = use.heads * use.headSize * Math.max(use.queries, 2 * use.keys);
  return { ...use, batch: Math.min(use.batch, Math.max(1, Math.floor(TRIED_ELEMENTS / each))) };
}

/** Every variant of a pass that can run, cheapest first but for the mixing of kinds. */
function candidates(pass: AttentionPass, given: AttentionUse, adapter: KernelAdapter): AttentionVariant[] {
  const use = triedUse(given);
  const halves = Object.values(use.types).includes("f16");
  if (halves && use.headSize % 4 !== 0 && !adapter.features.has("shader-f16")) return [];
  if (adapter.isSoftware) return softwareRows(pass, use, adapter);
  const priced = [
    ...sharedRows(pass).map((variant) => ({
      variant: variant as AttentionVariant,
      kind: "rows",
      cost: rowsCost(pass, use, { feed: variant.feed, rows: variant.rows(use), adapter }),
    })),
    ...tilesFor(pass, use, adapter).map((variant) => ({
      variant: variant as AttentionVariant,
      kind: tileName({ ...variant.tile, ...BASE, heads: 1 }),
      cost: tileCost(pass, use, { tile: variant.tile, adapter }),
    })),
  ];
  return mixed(priced);
}

/** How much cheaper the next one of a kind must be than one of a kind that has had its turn less often. */
const SAME_KIND = 1.25;

/** Orders variants by cost, but so that those few which are tried are not all alike. */
function mixed(
  priced: readonly { variant: AttentionVariant; kind: string; cost: number }[],
): AttentionVariant[] {
  const left = [...priced], order: AttentionVariant[] = [], turns = new Map<string, number>();
  const price = ({ kind, cost, variant: { tile } }: (typeof priced)[number]) =>
    order.length === 0 && tile?.compare === "subgroup"
      ? Infinity
      : cost * SAME_KIND ** (turns.get(kind) ?? 0);
  while (left.length > 0) {
    const best = left.reduce((least, each) => price(each) < price(least) ? each : least);
    order.push(best.variant);
    turns.set(best.kind, (turns.get(best.kind) ?? 0) + 1);
    left.splice(left.indexOf(best), 1);
  }
  return order;
}

function family(pass: AttentionPass): KernelFamily<AttentionUse> {
  return {
    name: BINDINGS[pass].label,
    candidates: (use, adapter) => candidates(pass, use, adapter),
    shapeKey: (given) => {
      const { batch, queries, keys, heads, headSize, causal } = triedUse(given);
      const sizes = [batch * heads, queries, keys].map(sizeRange);
      return `${sizes.join(".")}.${headSize}${causal ? ".causal" : ""}`;
    },
  };
}

/** The families by pass. */
export const ATTENTION: Readonly<Record<AttentionPass, KernelFamily<AttentionUse>>> = {
  forward: family("forward"),
  backwardQuery: family("backwardQuery"),
  backwardKey: family("backwardKey"),
};

/** A use in words: "64 sequences of 12 heads, 197x197x64". */
export function describeUse(
  { batch, queries, skipped, keys, heads, headSize, causal }: AttentionUse,
): string {
  return `${batch} sequences of ${heads} heads, ${queries - skipped}x${keys}x${headSize}${
    causal ? " causal" : ""
  }`;
}
