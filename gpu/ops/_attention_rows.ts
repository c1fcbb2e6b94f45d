/** Attention's kernels that give every invocation whole rows, as variants. */

import type { BuiltKernel, KernelVariant } from "../tuning/family.ts";
import type { KernelAdapter } from "../op.ts";
import { backwardKeySource, backwardQuerySource } from "./_attention_backward.ts";
import { forwardSource } from "./_attention_forward.ts";
import { type AttentionSpec, type Feed, quadsOf } from "./_attention_text.ts";
import { type AttentionPass, type AttentionUse, BINDINGS, ownRowsOf, scaleBits } from "./_attention_use.ts";
import { softwareLanes } from "../adapter.ts";

/** Most rows of one invocation. More rows reuse a load more often, but compile longer. */
const MAX_ROWS = 4;

/** Vectors of four that may be held per array of registers; the text grows with it. */
const QUADS_HELD: Readonly<Record<AttentionPass, number>> = {
  forward: 48,
  backwardQuery: 32,
  backwardKey: 32,
};

const SOURCES: Readonly<Record<AttentionPass, (spec: AttentionSpec) => string>> = {
  forward: forwardSource,
  backwardQuery: backwardQuerySource,
  backwardKey: backwardKeySource,
};

/**
 * How rows are streamed on a software adapter. A broadcast from a lane that does not exist is undefined, hence the check.
 *
 * Measured on llvmpipe (Mesa 22.3, 2 cores of a Zen 4, November 2026), forward, 197 tokens, 12 heads of 64: spread 39 GFLOP
 * per second of both cores, direct 7 to 12.
 */
function softwareFeed(adapter: KernelAdapter): Feed {
  const lanes = softwareLanes(adapter);
  return lanes === 4 || lanes === 8
    ? { kind: "spread", lanes, step: lanes }
    : { kind: "direct", lanes: 8, step: 2 };
}

/** A feed with at most so many rows an invocation: as few as make the same number of workgroups. */
export interface RowsVariant extends KernelVariant<AttentionUse> {
  readonly feed: Feed;
  rows(use: AttentionUse): number;
}

/** One of these kernels. */
export function rowsVariant(pass: AttentionPass, feed: Feed, most: number): RowsVariant {
  const rows = (use: AttentionUse) => {
    const own = ownRowsOf(pass, use), tiles = Math.ceil(own / (feed.lanes * most));
    return Math.ceil(own / (feed.lanes * tiles));
  };
  return {
    name: `${feed.kind}-lanes${feed.lanes}-step${feed.step}-rows${most}`,
    feed,
    rows,
    build: (use) => build(pass, use, { headSize: use.headSize, feed, rows: rows(use), types: use.types }),
  };
}

function build(pass: AttentionPass, use: AttentionUse, spec: AttentionSpec): BuiltKernel {
  const { label, bindings } = BINDINGS[pass], { feed, rows } = spec, { queries, skipped, keys } = use;
  const width = use.heads * use.headSize;
  return {
    label: `${label}/${feed.kind}${rows}`,
    code: SOURCES[pass](spec),
    entryPoint: "main",
    bindings,
    params: new Uint32Array([queries, skipped, keys, width, use.causal ? 1 : 0, scaleBits(use)]),
    workgroups: [Math.ceil(ownRowsOf(pass, use) / (feed.lanes * rows)), use.heads, use.batch],
  };
}

/** Those of a software adapter, the fixed choice first. */
export function softwareRows(
  pass: AttentionPass,
  use: AttentionUse,
  adapter: KernelAdapter,
): RowsVariant[] {
  const feed = softwareFeed(adapter);
  const most = Math.max(1, Math.min(MAX_ROWS, Math.floor(QUADS_HELD[pass] / quadsOf(use.headSize))));
  const first = rowsVariant(pass, feed, most), taken = new Set([first.rows(use)]);
  const others = Array.from({ length: MAX_ROWS }, (_, i) => rowsVariant(pass, feed, i + 1)).filter(
    (variant) => {
      const isNew = !taken.has(variant.rows(use));
      taken.add(variant.rows(use));
      return isNew;
    },
  );
  return [first, ...others];
}

/** Those for hardware, which share streamed rows in workgroup memory. */
export function sharedRows(pass: AttentionPass): RowsVariant[] {
  return [[32, 1], [64, 1], [64, 2]].map(([lanes, rows]) =>
    rowsVariant(pass, { kind: "shared", lanes, step: 4 }, rows)
  );
}
