/**
 * Class tokens, patch tokens and position tables put together and taken apart. Gradients overwrite; those of what is
 * shared by clips are sums over the leading axis.
 */

import addPositionSource from "./add_position.wgsl" with { type: "text" };
import prependSource from "./prepend_token.wgsl" with { type: "text" };
import sideTokensSource from "./side_tokens.wgsl" with { type: "text" };
import type { Dtype, Graph, Tensor } from "../graph.ts";
import { sizeOf } from "../graph.ts";
import { defineOp, recordOne } from "../op.ts";
import { flatDispatch } from "./_dispatch.ts";
import { concat, copyRange, pad, slice } from "./memory.ts";
import { sumLeading } from "./reduce.ts";
import { shiftTokens, tokenShift } from "./token_shift.ts";
import { reshape, sliceRows } from "./views.ts";

/** The first of every row of tokens, and the others. */
export const splitTokensOp = defineOp({
  name: "splitTokens",
  inputs: { x: "B N D" },
  outputs: ({ inputs, axes: { B, N, D } }) => ({
    token: { shape: [B, 1, D], dtype: inputs.x.dtype },
    patches: { shape: [B, N - 1, D], dtype: inputs.x.dtype },
  }),
  dispatches: ({ inputs, outputs, axes: { N } }) => [
    copyRange(inputs.x, outputs.token, { axis: 1, from: 0, to: 0, length: 1 }),
    copyRange(inputs.x, outputs.patches, { axis: 1, from: 1, to: 0, length: N - 1 }),
  ],
  gradient: ({ g, grads: { token, patches }, axes: { N } }) => {
    if (token && patches) return { x: concat(g, [token, patches], 1) };
    return {
      x: token ? pad(g, token, { axis: 1, after: N - 1 }) : pad(g, patches, { axis: 1, before: 1 }),
    };
  },
  reference: ({ x }, { axes: { B, N, D } }) => {
    const token = new Float64Array(B * D), patches = new Float64Array(B * (N - 1) * D);
    for (let b = 0; b < B; b++) {
      token.set(x.subarray(b * N * D, (b * N + 1) * D), b * D);
      patches.set(x.subarray((b * N + 1) * D, (b + 1) * N * D), b * (N - 1) * D);
    }
    return { token, patches };
  },
});

const prependTokenOp = defineOp<{ dtype?: Dtype }>({
  name: "prependToken",
  inputs: { x: "B P C", cls: "C", position: "N C" },
  outputs: ({ inputs, axes, attrs }) => ({
    out: { shape: [axes.B, axes.N, axes.C], dtype: attrs.dtype ?? inputs.x.dtype },
  }),
  dispatches: ({ inputs, outputs, axes: { B, N, C } }) => [
    flatDispatch("prependToken", prependSource, {
      tensors: { x: inputs.x, cls: inputs.cls, position: inputs.position, out: outputs.out },
      params: { frame: N * C, channels: C },
      count: B * N * C,
    }),
  ],
  gradient: ({ g, grads, axes: { P, C }, needs }) => {
    const position = needs("position") || needs("cls") ? sumLeading(g, grads.out) : undefined; // [N C]
    return {
      x: needs("x") ? slice(g, grads.out, { axis: 1, start: 1, length: P }) : undefined,
      cls: needs("cls") ? reshape(g, sliceRows(g, position!, { start: 0, rows: 1 }), [C]) : undefined,
      position,
    };
  },
  reference: ({ x, cls, position }, { axes: { B, P, N, C } }) => {
    const out = new Float64Array(B * N * C);
    for (let b = 0; b < B; b++) {
      for (let n = 0; n < N; n++) {
        for (let c = 0; c < C; c++) {
          const token = n === 0 ? cls[c] : x[(b * P + n - 1) * C + c];
          out[(b * N + n) * C + c] = token + position[n * C + c];
        }
      }
    }
    return { out };
  },
  flops: ({ axes }) => axes.B * axes.N * axes.C,
});

const addPositionOp = defineOp({
  name: "addPosition",
  inputs: { x: "B P D", position: "P D" },
  outputs: ({ inputs }) => ({ out: { shape: inputs.x.shape, dtype: inputs.x.dtype } }),
  dispatches: ({ inputs, outputs, axes: { B, P, D } }) => [
    flatDispatch("addPosition", addPositionSource, {
      tensors: { x: inputs.x, position: inputs.position, out: outputs.out },
      params: { frame: P * D },
      count: B * P * D,
    }),
  ],
  gradient: ({ g, grads, needs }) => ({
    x: grads.out,
    position: needs("position") ? sumLeading(g, grads.out) : undefined,
  }),
  reference: ({ x, position }) => ({
    out: x.map((value, i) => value + position[i % position.length]),
  }),
  flops: ({ inputs }) => sizeOf(inputs.x.shape),
});

const sideTokensOp = defineOp<{ dtype?: Dtype }>({
  name: "sideTokens",
  inputs: { c: "B T D", s: "B T P D", position: "Q D" },
  outputs: ({ inputs, axes: { B, T, P, D }, attrs }) => ({
    out: { shape: [B * T, P + 1, D], dtype: attrs.dtype ?? inputs.s.dtype },
  }),
  dispatches: ({ inputs, outputs, axes: { B, T, P, Q, D } }) => [
    flatDispatch("sideTokens", sideTokensSource, {
      tensors: { c: inputs.c, s: inputs.s, position: inputs.position, out: outputs.out },
      params: { frames: T, frame: (P + 1) * D, channels: D, split: Math.floor(D / 2), lead: (Q - P) * D },
      count: B * (P + 1) * D,
      wgSize: 64,
    }),
  ],
  gradient: ({ g, inputs, grads, axes: { P, Q }, needs }) => {
    const token = () => reshape(g, slice(g, grads.out, { axis: 1, start: 0, length: 1 }), inputs.c.shape);
    const patches = needs("s") || (needs("position") && Q === P)
      ? slice(g, grads.out, { axis: 1, start: 1, length: P }) // [B·T P D]
      : undefined;
    return {
      c: needs("c") ? tokenShift(g, token(), { reverse: true }) : undefined,
      s: patches && reshape(g, patches, inputs.s.shape),
      position: needs("position") ? sumLeading(g, Q === P ? patches! : grads.out) : undefined,
    };
  },
  reference: ({ c, s, position }, { axes: { B, T, P, Q, D } }) => {
    const shifted = shiftTokens(c, { B, T, D }), lead = (Q - P) * D;
    const out = new Float64Array(B * T * (P + 1) * D);
    for (let f = 0; f < B * T; f++) {
      for (let d = 0; d < D; d++) {
        out[f * (P + 1) * D + d] = shifted[f * D + d] + (lead > 0 ? position[d] : 0);
      }
      for (let i = 0; i < P * D; i++) out[(f * (P + 1) + 1) * D + i] = s[f * P * D + i] + position[lead + i];
    }
    return { out };
  },
  flops: ({ inputs }) => sizeOf(inputs.s.shape),
});

/** `[B D]` and `[B P D]` → `[B P+1 D]`, the token first. */
export function concatTokens(g: Graph, token: Tensor, patches: Tensor): Tensor {
  const [batch, channels] = token.shape;
  return concat(g, [reshape(g, token, [batch, 1, channels]), patches], 1);
}

/** `[B N D]` → the first token of each row `[B D]` and the others `[B N−1 D]`. */
export function splitTokens(g: Graph, x: Tensor): { token: Tensor; patches: Tensor } {
  const [batch, , channels] = x.shape;
  const { token, patches } = g.record(splitTokensOp, { x });
  return { token: reshape(g, token, [batch, channels]), patches };
}

/**
 * The input of a CLIP tower: `out[b] = [cls ; x[b]] + position`.
 *
 * @param x `[B P C]`
 * @param table.cls `[C]`
 * @param table.position `[P+1 C]`
 * @returns `[B P+1 C]`
 */
export function prependToken(
  g: Graph,
  x: Tensor,
  table: { cls: Tensor; position: Tensor; dtype?: Dtype },
): Tensor {
  const { cls, position, dtype } = table;
  if (position.shape[0] !== x.shape[1] + 1) {
    throw new RangeError(
      `Cannot record prependToken: axis N of position must be ${
        x.shape[1] + 1
      }, current shape is [${position.shape}]`,
    );
  }
  return recordOne(g, prependTokenOp, { x, cls, position }, { dtype });
}

/** `out[b] = x[b] + position`, for x `[B P D]` and position `[P D]`. */
export function addPosition(g: Graph, x: Tensor, position: Tensor): Tensor {
  return recordOne(g, addPositionOp, { x, position });
}

/**
 * The tokens a Side4Video block attends to, in one pass: the class tokens shifted over time (`tokenShift`) before the
 * patches, with the positions added.
 *
 * @param tokens.c class tokens `[B T D]`
 * @param tokens.s side state `[B T P D]`
 * @param tokens.position of the patches `[P D]`, or of the class token and the patches `[P+1 D]`
 * @returns `[B·T P+1 D]`
 */
export function sideTokens(
  g: Graph,
  tokens: { c: Tensor; s: Tensor; position: Tensor },
  options: { dtype?: Dtype } = {},
): Tensor {
  const { position, s } = tokens, patches = s.shape[2];
  if (position.shape[0] !== patches && position.shape[0] !== patches + 1) {
    throw new RangeError(
      `Cannot record sideTokens: axis Q of position must be ${patches} or ${
        patches + 1
      }, current shape is [${position.shape}]`,
    );
  }
  return recordOne(g, sideTokensOp, { ...tokens }, { ...options });
}
