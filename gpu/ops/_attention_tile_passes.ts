/** Attention's three passes by tiles (`_attention_tile.ts`). Bindings are those of the kernels that give every invocation whole rows. */

import { repeat } from "./_attention_text.ts";
import {
  accumulate,
  columnOf,
  declareSums,
  eachScore,
  exchangeAt,
  exchangeRegion,
  ownRegion,
  ownRows,
  rowOf,
  type Rows,
  scores,
  shareWeights,
  stage,
  storeSums,
  streamedRegion,
  tileKernel,
  tileSizes,
  type TileSpec,
  weightRegion,
} from "./_attention_tile.ts";

const QUERIES: Rows = { tensor: "q", start: (row) => `q_start + ${row} * params.width` };
const KEYS: Rows = { tensor: "kv", start: (row) => `kv_start + ${row} * 2u * params.width` };
const VALUES: Rows = { tensor: "kv", start: (row) => `kv_start + ${row} * 2u * params.width + params.width` };
const FLOWS: Rows = { tensor: "dout", start: (row) => `result_start + ${row} * params.width` };

/** Queries with an online softmax. A row's total stays spread over its threads until the end; its largest score must be known at once. */
export function forwardTile(spec: TileSpec): string {
  const { rows, columns, threads: [, across], compare } = spec.tile, sizes = tileSizes(spec);
  const each = (text: (r: number) => string) => repeat(rows, text);
  const lanes = Array.from({ length: across }, (_, lane) => lane);
  const largestOf = (r: number) =>
    compare === "subgroup"
      ? across === 1
        ? ""
        : exchange(across, (mask) => `next_${r} = max(next_${r}, subgroupShuffleXor(next_${r}, ${mask}u));`)
      : lanes.map((lane) => `next_${r} = max(next_${r}, ${exchangeAt("max", r, lane)});`).join("\n");
  const totalOf = (r: number) =>
    compare === "subgroup"
      ? exchange(across, (mask) => `total_${r} += subgroupShuffleXor(total_${r}, ${mask}u);`)
      : `total_${r} = ${lanes.map((lane) => exchangeAt("max", r, lane)).join(" + ")};`;
  const put = (value: (r: number) => string) =>
    compare === "subgroup" ? "" : each((r) => `${exchangeAt("max", r, "lane")} = ${value(r)};`);
  const body = `
${
    each((r) =>
      `let row_${r} = ${rowOf(spec, r)};
let limit_${r} = select(params.keys, min(params.keys, min(row_${r}, outputs - 1u) + params.skipped + 1u), is_causal); // keys it sees
var largest_${r} = -1e30;
var total_${r} = 0.0;`
    )
  }
${declareSums(spec, "out")}
${ownRows(spec, "q", { ...QUERIES, rowOf: (row) => `(min(${row}, outputs - 1u) + params.skipped)` })}
let last = select(params.keys, min(params.keys, first + ${sizes.ownRows}u + params.skipped), is_causal);
for (var tile = 0u; tile < last; tile += ${sizes.streamedRows}u) {
${stage(spec, { x: KEYS }, "params.keys")}
workgroupBarrier();
${scores(spec, [{ score: "s", own: "q", ownTensor: "q", region: "x", tensor: "kv" }])}
${
    eachScore(
      spec,
      (r, t) => `s_${r}_${t} = select(-3e38, s_${r}_${t} * scale, ${columnOf(spec, t)} < limit_${r});`,
    )
  }
${
    each((r) =>
      `var next_${r} = largest_${r};
${repeat(columns, (t) => `next_${r} = max(next_${r}, s_${r}_${t});`)}`
    )
  }
${put((r) => `next_${r}`)}
workgroupBarrier(); // all have used the keys
${stage(spec, { x: VALUES }, "params.keys")}
${
    each((r) =>
      `${largestOf(r)}
let shrink_${r} = exp2(largest_${r} - next_${r});
largest_${r} = next_${r};
total_${r} *= shrink_${r};
${repeat(columns, (t) => `s_${r}_${t} = exp2(s_${r}_${t} - next_${r});\ntotal_${r} += s_${r}_${t};`)}
${repeat(sizes.share, (q) => `out_${r}_${q} *= shrink_${r};`)}`
    )
  }
${shareWeights(spec, "p", "s")}
workgroupBarrier();
${accumulate(spec, [{ sum: "out", weights: "p", region: "x", tensor: "kv" }], "last")}
workgroupBarrier(); // all have used the values
}
${put((r) => `total_${r}`)}
${compare === "subgroup" ? "" : "workgroupBarrier();"}
${
    each((r) =>
      `${totalOf(r)}
if (is_pair && row_${r} < outputs) {
let start = result_start + row_${r} * params.width;
let factor = 1.0 / total_${r};
${storeSums(spec, { sum: "out", tensor: "result", start: "start", factor: "factor", r })}
if (lane == 0u) { lse[statistics + row_${r}] = (largest_${r} + log2(total_${r})) * ${Math.LN2}; }
}`
    )
  }`;
  return tileKernel(spec, {
    vectors: ["q", "kv", "result"],
    scalars: ["lse"],
    module: [
      ownRegion(spec, "q", "q"),
      streamedRegion(spec, "x", "kv"),
      weightRegion(spec, "p"),
      compare === "subgroup" ? "" : exchangeRegion(spec, "max"),
    ],
    body,
  });
}

/** Text for every step of a reduction among `lanes` neighbouring lanes. */
function exchange(lanes: number, text: (mask: number) => string): string {
  return repeat(Math.log2(lanes), (i) => text(2 ** i));
}

/** Gradient of q, and delta = sum of dout * out over a head. */
export function backwardQueryTile(spec: TileSpec): string {
  const { rows, columns } = spec.tile, sizes = tileSizes(spec);
  const each = (text: (r: number) => string) => repeat(rows, text);
  const [, across] = spec.tile.threads, lanes = Array.from({ length: across }, (_, lane) => lane);
  const shareOfDelta = (r: number, q: number) => {
    const value = `mad(load_dout(flow_${r}, quad_${q}), load_result(flow_${r}, quad_${q}), share_${r})`;
    return `share_${r} = ${
      across * (q + 1) <= sizes.quads
        ? value
        : `select(share_${r}, ${value}, lane + ${across * q}u < ${sizes.quads}u)`
    };`;
  };
  const rowOfQ = (row: string) => `clamp(${row}, params.skipped, params.queries - 1u)`;
  const body = `
${
    each((r) =>
      `let row_${r} = ${rowOf(spec, r)};
let query_${r} = ${rowOfQ(`row_${r}`)};
let limit_${r} = select(params.keys, min(params.keys, query_${r} + 1u), is_causal); // keys it sees
let statistic_${r} = statistics + query_${r} - params.skipped;
let lse_${r} = lse[statistic_${r}] * ${Math.LOG2E};
let flow_${r} = ${FLOWS.start(`(query_${r} - params.skipped)`)};
var delta_${r} = 0.0;`
    )
  }
{
// The threads of a row share out its vectors, and meet where weights will lie.
${each((r) => `var share_${r} = 0.0;\n${repeat(sizes.share, (q) => shareOfDelta(r, q))}`)}
${each((r) => `tile_p[part][${r}][down][lane] = vec4f(share_${r});`)}
}
workgroupBarrier();
${each((r) => `delta_${r} = ${lanes.map((lane) => `tile_p[part][${r}][down][${lane}].x`).join(" + ")};`)}
${declareSums(spec, "dq")}
${ownRows(spec, "q", { ...QUERIES, rowOf: rowOfQ })}
${ownRows(spec, "dout", { ...FLOWS, rowOf: (row) => `(${rowOfQ(row)} - params.skipped)` })}
let last = select(params.keys, min(params.keys, first + ${sizes.ownRows}u), is_causal);
for (var tile = 0u; tile < last; tile += ${sizes.streamedRows}u) {
${stage(spec, { k: KEYS, v: VALUES }, "params.keys")}
workgroupBarrier();
${
    scores(spec, [
      { score: "s", own: "q", ownTensor: "q", region: "k", tensor: "kv" },
      { score: "d", own: "dout", ownTensor: "dout", region: "v", tensor: "kv" },
    ])
  }
${
    repeat(columns, (t) =>
      each((r) =>
        `d_${r}_${t} = select(0.0, exp2(s_${r}_${t} * scale - lse_${r}) * (d_${r}_${t} - delta_${r}), ${
          columnOf(spec, t)
        } < limit_${r});`
      ))
  }
${shareWeights(spec, "p", "d")}
workgroupBarrier();
${accumulate(spec, [{ sum: "dq", weights: "p", region: "k", tensor: "kv" }], "last")}
workgroupBarrier(); // all have used the block
}
${
    each((r) =>
      `if (is_pair && row_${r} < params.queries) {
let start = ${QUERIES.start(`row_${r}`)};
let factor = select(0.0, params.scale, row_${r} >= params.skipped); // rows without a query have gradient 0
${storeSums(spec, { sum: "dq", tensor: "dq", start: "start", factor: "factor", r })}
if (lane == 0u && row_${r} >= params.skipped) { delta[statistic_${r}] = delta_${r}; }
}`
    )
  }`;
  return tileKernel(spec, {
    vectors: ["q", "kv", "result", "dout", "dq"],
    scalars: ["lse", "delta"],
    module: [
      ownRegion(spec, "q", "q"),
      ownRegion(spec, "dout", "dout"),
      streamedRegion(spec, "k", "kv"),
      streamedRegion(spec, "v", "kv"),
      weightRegion(spec, "p"),
    ],
    body,
  });
}

/** Gradient of kv: owns keys with their values, streams queries with what flows into their outputs. */
export function backwardKeyTile(spec: TileSpec): string {
  const { rows, columns } = spec.tile, sizes = tileSizes(spec);
  const each = (text: (r: number) => string) => repeat(rows, text);
  const rowOfKv = (row: string) => `min(${row}, params.keys - 1u)`;
  const body = `
${
    each((r) =>
      `let row_${r} = ${rowOf(spec, r)};
let key_${r} = ${rowOfKv(`row_${r}`)};
// First query that sees the key.
let least_${r} = select(0u, key_${r} - min(key_${r}, params.skipped), is_causal);`
    )
  }
${declareSums(spec, "dk")}
${declareSums(spec, "dv")}
${ownRows(spec, "k", { ...KEYS, rowOf: rowOfKv })}
${ownRows(spec, "v", { ...VALUES, rowOf: rowOfKv })}
let begin = select(0u, first - min(first, params.skipped), is_causal);
for (var tile = begin; tile < outputs; tile += ${sizes.streamedRows}u) {
${
    stage(spec, {
      q: { tensor: "q", start: (row) => QUERIES.start(`(${row} + params.skipped)`) },
      dout: FLOWS,
    }, "outputs")
  }
workgroupBarrier();
${
    scores(spec, [
      { score: "s", own: "k", ownTensor: "kv", region: "q", tensor: "q" },
      { score: "d", own: "v", ownTensor: "kv", region: "dout", tensor: "dout" },
    ])
  }
${
    repeat(columns, (t) =>
      `{
let query = ${columnOf(spec, t)};
let statistic = statistics + min(query, outputs - 1u);
let log_sum = lse[statistic] * ${Math.LOG2E};
let mean = delta[statistic];
${
        each((r) =>
          `s_${r}_${t} = select(0.0, exp2(s_${r}_${t} * scale - log_sum), query >= least_${r} && query < outputs);
d_${r}_${t} = s_${r}_${t} * (d_${r}_${t} - mean);`
        )
      }
}`)
  }
${shareWeights(spec, "p", "s")}
${shareWeights(spec, "ds", "d")}
workgroupBarrier();
${
    accumulate(spec, [
      { sum: "dv", weights: "p", region: "dout", tensor: "dout" },
      { sum: "dk", weights: "ds", region: "q", tensor: "q" },
    ], "outputs")
  }
workgroupBarrier(); // all have used the block
}
${
    each((r) =>
      `if (is_pair && row_${r} < params.keys) {
let start = ${KEYS.start(`row_${r}`)};
${storeSums(spec, { sum: "dk", tensor: "dkv", start: "start", factor: "params.scale", r })}
${storeSums(spec, { sum: "dv", tensor: "dkv", start: "start + params.width", factor: "1.0", r })}
}`
    )
  }`;
  return tileKernel(spec, {
    vectors: ["q", "kv", "dout", "dkv"],
    scalars: ["lse", "delta"],
    module: [
      ownRegion(spec, "k", "kv"),
      ownRegion(spec, "v", "kv"),
      streamedRegion(spec, "q", "q"),
      streamedRegion(spec, "dout", "dout"),
      weightRegion(spec, "p"),
      weightRegion(spec, "ds"),
    ],
    body,
  });
}
