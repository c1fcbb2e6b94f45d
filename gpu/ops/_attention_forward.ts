/** Attention's forward kernel: online softmax (Milakov & Gimelshein 2018, arXiv 1805.02867), no score matrix in memory. */

import { type AttentionSpec, declare, entry, quadsOf, repeat, streamText } from "./_attention_text.ts";

/**
 * Every invocation holds `rows` queries and their sums; keys and values stream past.
 * Bindings: params, q [B Q D], kv [B S 2D], out [B Q-skipped D], lse [B heads Q-skipped].
 */
export function forwardSource(spec: AttentionSpec): string {
  const quads = quadsOf(spec.headSize), { lanes, step } = spec.feed;
  const each = (text: (r: number) => string) => repeat(spec.rows, text);
  const { module, loop } = streamText(spec, {
    vectors: {
      k: { tensor: "kv", start: (row) => `kv_start + ${row} * 2u * params.width` },
      v: { tensor: "kv", start: (row) => `kv_start + ${row} * 2u * params.width + params.width` },
    },
    begin: "0u",
    end: "last",
    count: "params.keys",
    body: (position, fetch) =>
      [
        each((r) => repeat(step, (t) => `var s_${r}_${t} = 0.0;`)),
        repeat(quads, (c) =>
          fetch("k", c) + "\n" +
          repeat(step, (t) => each((r) => `s_${r}_${t} += dot(q_${r}_${c}, k_${c}_${t});`))),
        each((r) => softmaxStep(r, step, position)),
        repeat(quads, (c) =>
          fetch("v", c) + "\n" +
          each((r) =>
            `out_${r}_${c} = out_${r}_${c} * shrink_${r}` +
            repeat(step, (t) => ` + s_${r}_${t} * v_${c}_${t}`) + ";"
          )),
      ].join("\n"),
  });
  const body = `
${
    each((r) =>
      `let row_${r} = first + ${lanes * r}u + lane;
let query_${r} = min(row_${r}, outputs - 1u) + params.skipped;
let limit_${r} = select(params.keys, min(params.keys, query_${r} + 1u), is_causal); // keys it sees
let q_start_${r} = (group.z * params.queries + query_${r}) * params.width + head;
var largest_${r} = -1e30;
var total_${r} = 0.0;
${
        repeat(quads, (c) =>
          `let q_${r}_${c} = scale * load_q(q_start_${r}, ${c}u);\nvar out_${r}_${c} = vec4f();`)
      }`
    )
  }
let last = select(params.keys, min(params.keys, first + ${lanes * spec.rows}u + params.skipped), is_causal);
${loop}
${
    each((r) =>
      `if (row_${r} < outputs) {
let start = (group.z * outputs + row_${r}) * params.width + head;
let factor = 1.0 / total_${r};
${repeat(quads, (c) => `store_result(start, ${c}u, factor * out_${r}_${c});`)}
lse[(group.z * groups.y + group.y) * outputs + row_${r}] = (largest_${r} + log2(total_${r})) * ${Math.LN2};
}`
    )
  }`;
  return declare(spec, { vectors: ["q", "kv", "result"], scalars: ["lse"] }) + entry(spec, module, body);
}

/** Turns the step's scores of row `r` into weights relative to the largest score so far. */
function softmaxStep(r: number, step: number, position: string): string {
  return `${
    repeat(step, (t) => `s_${r}_${t} = select(-3e38, s_${r}_${t}, ${position} + ${t}u < limit_${r});`)
  }
var next_${r} = largest_${r};
${repeat(step, (t) => `next_${r} = max(next_${r}, s_${r}_${t});`)}
let shrink_${r} = exp2(largest_${r} - next_${r});
largest_${r} = next_${r};
total_${r} *= shrink_${r};
${repeat(step, (t) => `s_${r}_${t} = exp2(s_${r}_${t} - next_${r});\ntotal_${r} += s_${r}_${t};`)}`;
}
