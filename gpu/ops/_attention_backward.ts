/**
 * Attention's backward kernels: scores are computed again from the kept log-sum-exp, as in FlashAttention (Dao et al. 2022,
 * arXiv 2205.14135). One kernel owns queries, the other keys, so no sum needs atomics.
 */

import { type AttentionSpec, declare, entry, quadsOf, repeat, streamText } from "./_attention_text.ts";

/**
 * Gradient of q; every invocation holds `rows` rows of q. Also writes delta = sum of dout * out over a head.
 * Bindings: params, q [B Q D], kv [B S 2D], result and dout [B Q-skipped D], dq [B Q D], lse and delta [B heads Q-skipped].
 */
export function backwardQuerySource(spec: AttentionSpec): string {
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
        each((r) => repeat(step, (t) => `var s_${r}_${t} = -lse_${r};\nvar d_${r}_${t} = -delta_${r};`)),
        repeat(quads, (c) =>
          fetch("k", c) + "\n" + fetch("v", c) + "\n" +
          repeat(step, (t) =>
            each((r) =>
              `s_${r}_${t} += dot(q_${r}_${c}, k_${c}_${t});\nd_${r}_${t} += dot(dout_${r}_${c}, v_${c}_${t});`
            ))),
        each((r) =>
          repeat(step, (t) =>
            `d_${r}_${t} = select(0.0, exp2(s_${r}_${t}) * d_${r}_${t}, ${position} + ${t}u < limit_${r});`)
        ),
        repeat(quads, (c) =>
          each((r) =>
            `dq_${r}_${c} += ${
              Array.from({ length: step }, (_, t) =>
                `d_${r}_${t} * k_${c}_${t}`).join(" + ")
            };`
          )),
      ].join("\n"),
  });
  const body = `
${
    each((r) =>
      `let row_${r} = first + ${lanes * r}u + lane;
let query_${r} = clamp(row_${r}, params.skipped, params.queries - 1u);
let limit_${r} = select(params.keys, min(params.keys, query_${r} + 1u), is_causal); // keys it sees
let q_start_${r} = (group.z * params.queries + query_${r}) * params.width + head;
let dout_start_${r} = (group.z * outputs + query_${r} - params.skipped) * params.width + head;
let statistic_${r} = (group.z * groups.y + group.y) * outputs + query_${r} - params.skipped;
let lse_${r} = lse[statistic_${r}] * ${Math.LOG2E};
var delta_${r} = 0.0;
${
        repeat(quads, (c) =>
          `let q_${r}_${c} = scale * load_q(q_start_${r}, ${c}u);
let dout_${r}_${c} = load_dout(dout_start_${r}, ${c}u);
delta_${r} += dot(dout_${r}_${c}, load_result(dout_start_${r}, ${c}u));
var dq_${r}_${c} = vec4f();`)
      }`
    )
  }
let last = select(params.keys, min(params.keys, first + ${lanes * spec.rows}u), is_causal);
${loop}
${
    each((r) =>
      `if (row_${r} < params.queries) {
let start = (group.z * params.queries + row_${r}) * params.width + head;
let factor = select(0.0, params.scale, row_${r} >= params.skipped); // rows without a query have gradient 0
${repeat(quads, (c) => `store_dq(start, ${c}u, factor * dq_${r}_${c});`)}
if (row_${r} >= params.skipped) {
delta[statistic_${r}] = delta_${r};
}
}`
    )
  }`;
  return declare(spec, { vectors: ["q", "kv", "result", "dout", "dq"], scalars: ["lse", "delta"] }) +
    entry(spec, module, body);
}

/**
 * Gradient of kv; every invocation holds `rows` keys with their values.
 * Bindings: params, q [B Q D], kv [B S 2D], dout [B Q-skipped D], dkv [B S 2D], lse and delta [B heads Q-skipped].
 */
export function backwardKeySource(spec: AttentionSpec): string {
  const quads = quadsOf(spec.headSize), { lanes, step } = spec.feed;
  const each = (text: (r: number) => string) => repeat(spec.rows, text);
  const total = (weight: (t: number) => string, vector: (t: number) => string) =>
    Array.from({ length: step }, (_, t) => `${weight(t)} * ${vector(t)}`).join(" + ");
  const { module, loop } = streamText(spec, {
    vectors: {
      q: {
        tensor: "q",
        start: (row) => `(group.z * params.queries + params.skipped + ${row}) * params.width + head`,
      },
      dout: { tensor: "dout", start: (row) => `(group.z * outputs + ${row}) * params.width + head` },
    },
    scalars: {
      log_sum: (row) => `lse[statistics + ${row}] * ${Math.LOG2E}`,
      mean: (row) => `delta[statistics + ${row}]`,
    },
    begin: "begin",
    end: "outputs",
    count: "outputs",
    body: (position, fetch) =>
      [
        each((r) => repeat(step, (t) => `var s_${r}_${t} = -log_sum_${t};\nvar d_${r}_${t} = -mean_${t};`)),
        repeat(quads, (c) =>
          fetch("q", c) + "\n" + fetch("dout", c) + "\n" +
          repeat(step, (t) =>
            each((r) =>
              `s_${r}_${t} += dot(k_${r}_${c}, q_${c}_${t});\nd_${r}_${t} += dot(v_${r}_${c}, dout_${c}_${t});`
            ))),
        each((r) =>
          repeat(step, (t) =>
            `s_${r}_${t} = select(0.0, exp2(s_${r}_${t}), ${position} + ${t}u >= least_${r} && ${position} + ${t}u < outputs);
d_${r}_${t} *= s_${r}_${t};`)
        ),
        repeat(quads, (c) =>
          each((r) =>
            `dk_${r}_${c} += ${
              total((t) => `d_${r}_${t}`, (t) =>
                `q_${c}_${t}`)
            };
dv_${r}_${c} += ${total((t) => `s_${r}_${t}`, (t) => `dout_${c}_${t}`)};`
          )),
      ].join("\n"),
  });
  const body = `
let statistics = (group.z * groups.y + group.y) * outputs;
${
    each((r) =>
      `let row_${r} = first + ${lanes * r}u + lane;
let key_${r} = min(row_${r}, params.keys - 1u);
let start_${r} = kv_start + key_${r} * 2u * params.width;
// First query that sees the key.
let least_${r} = select(0u, key_${r} - min(key_${r}, params.skipped), is_causal);
${
        repeat(quads, (c) =>
          `let k_${r}_${c} = scale * load_kv(start_${r}, ${c}u);
let v_${r}_${c} = load_kv(start_${r} + params.width, ${c}u);
var dk_${r}_${c} = vec4f();
var dv_${r}_${c} = vec4f();`)
      }`
    )
  }
let begin = select(0u, first - min(first, params.skipped), is_causal);
${loop}
${
    each((r) =>
      `if (row_${r} < params.keys) {
${
        repeat(quads, (c) =>
          `store_dkv(start_${r}, ${c}u, params.scale * dk_${r}_${c});
store_dkv(start_${r} + params.width, ${c}u, dv_${r}_${c});`)
      }
}`
    )
  }`;
  return declare(spec, { vectors: ["q", "kv", "dout", "dkv"], scalars: ["lse", "delta"] }) +
    entry(spec, module, body);
}
