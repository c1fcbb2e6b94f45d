/** Attention on generated operands: each kernel is compared with plain loops on sampled rows, then timed. */

import { type AttentionPass, type AttentionUse, BINDINGS } from "../ops/attention_kernel.ts";
import { testValue } from "./matmul_trial.ts";
import type { TrialSetup, TrialTensor } from "./trial.ts";

/** Multiply-adds of the plain loops: a few hundredths of a second. */
const CHECKED_WORK = 1.5e7;
const MOST_PLACES = 96;

/** What each pass writes. */
const WRITTEN: Readonly<Record<AttentionPass, readonly string[]>> = {
  forward: ["result", "lse"],
  backwardQuery: ["dq", "delta"],
  backwardKey: ["dkv"],
};

type Values = Readonly<Record<string, ArrayLike<number>>>;

/** Operands of a pass, and the sampled check. Log-sum-exps are about those of the scores, so that weights sum to about 1. */
export function attentionTrial(pass: AttentionPass, use: AttentionUse): TrialSetup {
  const { batch: B, queries: Q, skipped, keys: S, heads, headSize } = use;
  const D = heads * headSize, O = Q - skipped;
  const lengths: Record<string, number> = {
    q: B * Q * D,
    kv: B * S * 2 * D,
    result: B * O * D,
    dout: B * O * D,
    dq: B * Q * D,
    dkv: B * S * 2 * D,
    lse: B * heads * O,
    delta: B * heads * O,
  };
  const make = (name: string, salt: number): TrialTensor => {
    const Type = use.types[name] === "f16" ? Float16Array : Float32Array;
    const [factor, offset] = name === "q" ? [4, 0] : name === "lse" ? [1, Math.log(S)] : [1, 0];
    const data = new Type(Math.ceil(lengths[name] / 4) * 4);
    for (let i = 0; i < data.length; i++) data[i] = factor * testValue(i, salt) + offset;
    return data;
  };
  const names = BINDINGS[pass].bindings.slice(1), written = WRITTEN[pass];
  const inputs = Object.fromEntries(
    names.filter((name) => !written.includes(name)).map((name, i) => [name, make(name, i + 1)]),
  );
  return {
    name: BINDINGS[pass].label,
    inputs,
    outputs: Object.fromEntries(
      written.map((name) => [
        name,
        { length: lengths[name], type: use.types[name] === "f16" ? "f16" : "f32" },
      ]),
    ),
    check: (outputs) => check(pass, use, { inputs, outputs }),
  };
}

/** Compares rows spread over batch, heads and length, and looks for what was not written. */
function check(
  pass: AttentionPass,
  use: AttentionUse,
  values: { inputs: Values; outputs: Values },
): string | undefined {
  const { batch, heads, headSize, queries, skipped, keys } = use;
  for (const [name, data] of Object.entries(values.outputs)) {
    for (let i = 0; i < data.length; i++) {
      if (!Number.isFinite(data[i]) && i < lengthOf(name, use)) return `${name}[${i}] is ${data[i]}`;
    }
  }
  const [own, other] = pass === "forward"
    ? [queries - skipped, keys]
    : pass === "backwardQuery"
    ? [queries, keys]
    : [keys, queries - skipped];
  const total = batch * heads * own;
  const places = Math.max(4, Math.min(MOST_PLACES, total, Math.floor(CHECKED_WORK / (4 * other * headSize))));
  for (let place = 0; place < places; place++) {
    const index = place === places - 1 ? total - 1 : Math.floor(place * total / places);
    const row = index % own, head = Math.floor(index / own) % heads, b = Math.floor(index / own / heads);
    for (const { name, at, value, size } of REFERENCES[pass](use, values.inputs, { b, head, row })) {
      const actual = values.outputs[name][at], half = use.types[name] === "f16";
      if (!(Math.abs(actual - value) <= 2e-5 * (1 + size) + (half ? 1e-3 * (1 + Math.abs(value)) : 0))) {
        return `${name}[${at}] must be ${value}, current value is ${actual}`;
      }
    }
  }
  return undefined;
}

function lengthOf(name: string, { batch, heads, headSize, queries, skipped, keys }: AttentionUse): number {
  const rows: Record<string, number> = {
    result: (queries - skipped) * headSize,
    lse: queries - skipped,
    delta: queries - skipped,
    dq: queries * headSize,
    dkv: 2 * keys * headSize,
  };
  return batch * heads * rows[name];
}

/** One element that a row must have, and the sum of the absolute values that it is made of. */
interface Expected {
  readonly name: string;
  readonly at: number;
  readonly value: number;
  readonly size: number;
}
interface Place {
  readonly b: number;
  readonly head: number;
  readonly row: number;
}

/** Where rows of one head begin, and scalar products of them. */
function rowsOf(use: AttentionUse, inputs: Values, { b, head }: Place) {
  const { heads, headSize, queries, skipped, keys } = use, D = heads * headSize, outputs = queries - skipped;
  return {
    scale: 1 / Math.sqrt(headSize),
    query: (row: number) => (b * queries + row) * D + head * headSize,
    result: (i: number) => (b * outputs + i) * D + head * headSize,
    key: (j: number) => (b * keys + j) * 2 * D + head * headSize,
    value: (j: number) => (b * keys + j) * 2 * D + D + head * headSize,
    statistic: (i: number) => (b * heads + head) * outputs + i,
    visible: (row: number) => use.causal ? Math.min(keys, row + 1) : keys,
    product(left: string, at: number, right: string, from: number): number {
      const x = inputs[left], y = inputs[right];
      let sum = 0;
      for (let c = 0; c < headSize; c++) sum += x[at + c] * y[from + c];
      return sum;
    },
  };
}

/** Weighted sum of rows of one tensor. */
function weighted(
  inputs: Values,
  terms: readonly { weight: number; at: number }[],
  into: { name: string; tensor: string; at: number; headSize: number },
): Expected[] {
  const data = inputs[into.tensor];
  return Array.from({ length: into.headSize }, (_, c) => {
    let value = 0, size = 0;
    for (const { weight, at } of terms) {
      value += weight * data[at + c];
      size += Math.abs(weight * data[at + c]);
    }
    return { name: into.name, at: into.at + c, value, size };
  });
}

type Reference = (use: AttentionUse, inputs: Values, place: Place) => Expected[];

const REFERENCES: Readonly<Record<AttentionPass, Reference>> = {
  forward(use, inputs, place) {
    const rows = rowsOf(use, inputs, place), { headSize, skipped } = use, row = place.row + skipped;
    const scores = Array.from(
      { length: rows.visible(row) },
      (_, j) => rows.scale * rows.product("q", rows.query(row), "kv", rows.key(j)),
    );
    const largest = Math.max(...scores), sum = scores.reduce((all, s) => all + Math.exp(s - largest), 0);
    const terms = scores.map((s, j) => ({ weight: Math.exp(s - largest) / sum, at: rows.value(j) }));
    const lse = largest + Math.log(sum);
    return [
      ...weighted(inputs, terms, { name: "result", tensor: "kv", at: rows.result(place.row), headSize }),
      { name: "lse", at: rows.statistic(place.row), value: lse, size: Math.abs(lse) },
    ];
  },

  backwardQuery(use, inputs, place) {
    const rows = rowsOf(use, inputs, place), { headSize, skipped } = use, { row } = place, i = row - skipped;
    const into = { name: "dq", tensor: "kv", at: rows.query(row), headSize };
    if (i < 0) return weighted(inputs, [], into);
    const delta = rows.product("dout", rows.result(i), "result", rows.result(i));
    const terms = Array.from({ length: rows.visible(row) }, (_, j) => {
      const score = rows.scale * rows.product("q", rows.query(row), "kv", rows.key(j));
      const flow = rows.product("dout", rows.result(i), "kv", rows.value(j)) - delta;
      return {
        weight: rows.scale * Math.exp(score - inputs.lse[rows.statistic(i)]) * flow,
        at: rows.key(j),
      };
    });
    return [
      ...weighted(inputs, terms, into),
      { name: "delta", at: rows.statistic(i), value: delta, size: Math.abs(delta) },
    ];
  },

  backwardKey(use, inputs, place) {
    const rows = rowsOf(use, inputs, place), { headSize, queries, skipped } = use, { row: j } = place;
    const toKey: { weight: number; at: number }[] = [], toValue: { weight: number; at: number }[] = [];
    for (let i = 0; i < queries - skipped; i++) {
      if (j >= rows.visible(i + skipped)) continue;
      const score = rows.scale * rows.product("q", rows.query(i + skipped), "kv", rows.key(j));
      const weight = Math.exp(score - inputs.lse[rows.statistic(i)]);
      const flow = rows.product("dout", rows.result(i), "kv", rows.value(j)) -
        inputs.delta[rows.statistic(i)];
      toValue.push({ weight, at: rows.result(i) });
      toKey.push({ weight: rows.scale * weight * flow, at: rows.query(i + skipped) });
    }
    return [
      ...weighted(inputs, toKey, { name: "dkv", tensor: "q", at: rows.key(j), headSize }),
      ...weighted(inputs, toValue, { name: "dkv", tensor: "dout", at: rows.value(j), headSize }),
    ];
  },
};
