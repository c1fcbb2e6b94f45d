/** ONNX forms of ops that move elements: shapes, slices, padding, tokens, shifts in time, rows picked by number. */

import { attribute, fixed, fixedAll, type Form, form, type Use } from "../form.ts";
import { isFixed, isSame, productOf, shapeFrom, sizeFrom } from "../sizes.ts";
import type { OnnxWriter, Value } from "../writer.ts";

/** Places `start … end` of an axis. */
export function sliced(w: OnnxWriter, x: string, axis: number, [start, end]: [number, number]): string {
  return w.op("Slice", [x, w.ints([start]), w.ints([end]), w.ints([axis])]);
}

/** Zeros before and after, by axis. */
export function padded(
  w: OnnxWriter,
  x: string,
  before: readonly number[],
  after: readonly number[],
): string {
  return [...before, ...after].every((count) => count === 0)
    ? x
    : w.op("Pad", [x, w.ints([...before, ...after])]);
}

/** A window of leading rows. Of a weight that is a window of its values. */
function rows(w: OnnxWriter, use: Use): Value {
  const { inputs: { x }, outputs: { out }, recorded: [two, three] } = use;
  const offset = sizeFrom(two.attrs.offset as number, three.attrs.offset as number, "sliceRows");
  if (x.weight && isFixed(offset)) {
    const { tensor, offset: start } = x.weight;
    return { shape: out, weight: { tensor, offset: start + offset, shape: fixedAll(out, use) } };
  }
  if (isSame(out[0], x.shape[0])) return x;
  const row = fixed(productOf(x.shape.slice(1)), use), start = fixed(offset, use) / row;
  return { shape: out, name: sliced(w, w.read(x), 0, [start, start + fixed(out[0], use)]) };
}

const sliceRows: Form = { emit: (w, use) => ({ out: rows(w, use) }), varying: ["shape", "offset"] };

/** x [B T D] moved by one place in time, in halves: the first channels come from the next frame, the others from the one before. */
function shifted(
  w: OnnxWriter,
  x: string,
  { T, D, reverse }: { T: number; D: number; reverse: boolean },
): string {
  if (T === 1) return w.op("Mul", [x, w.float(0)]);
  const half = Math.floor(D / 2);
  const from = (later: boolean, part: string) =>
    later
      ? padded(w, sliced(w, part, 1, [1, T]), [0, 0, 0], [0, 1, 0])
      : padded(w, sliced(w, part, 1, [0, T - 1]), [0, 1, 0], [0, 0, 0]);
  if (half === 0) return from(reverse, x);
  const [first, second] = w.ops("Split", [x, w.ints([half, D - half])], { axis: 2 }, 2);
  return w.op("Concat", [from(!reverse, first), from(reverse, second)], { axis: 2 });
}

/** Sizes that a shift reads, of x [B T D]. */
function shiftSizes({ shape }: Value, use: Use): { T: number; D: number } {
  return { T: fixed(shape[1], use), D: fixed(shape[2], use) };
}

/** What lies behind the name `x0`, `x1`, … of a use. */
function parts(use: Use): Value[] {
  return Object.values(use.inputs);
}

/** Columns of a matrix of neighbours on one axis: the places that outputs read, tap by tap; null where these are the places in order. */
function tapPlaces({ outputs, kernel, stride }: { outputs: number; kernel: number; stride: number }) {
  if (stride === kernel || outputs === 1) return null;
  return Array.from({ length: outputs * kernel }, (_, i) => Math.floor(i / kernel) * stride + i % kernel);
}

/** Patches as rows: zeros around, the places that every patch reads one after the other, and axes in the order of rows and columns. */
function unfold(w: OnnxWriter, use: Use): string {
  const { inputs: { x }, outputs: { out } } = use;
  const frames = attribute<number>(use, "frames"), kernel = attribute<number[]>(use, "kernel");
  const stride = attribute<number[]>(use, "stride"), padding = attribute<number[]>(use, "padding");
  const [, C, H, W] = fixedAll([0, ...x.shape.slice(1)], use), sizes = [frames, H, W];
  const counts = sizes.map((size, i) => Math.floor((size + 2 * padding[i] - kernel[i]) / stride[i]) + 1);
  // [B T C H W], of which time, rows and columns are axes 1, 3 and 4.
  let name = w.reshaped(w.read(x), [{ perBatch: 1 }, frames, C, H, W]);
  const around = [0, padding[0], 0, padding[1], padding[2]];
  name = padded(w, name, around, around);
  for (const [i, axis] of [1, 3, 4].entries()) {
    const places = tapPlaces({ outputs: counts[i], kernel: kernel[i], stride: stride[i] });
    const used = counts[i] * kernel[i];
    if (places) name = w.op("Gather", [name, w.ints(places)], { axis });
    else if (used < sizes[i] + 2 * padding[i]) name = sliced(w, name, axis, [0, used]);
  }
  const [t, h, v] = counts, [kt, kh, kw] = kernel;
  if (t * kt === 1) { // as few axes as can be
    const apart = w.reshaped(name, [{ perBatch: 1 }, C, h, kh, v, kw]);
    return w.reshaped(w.op("Transpose", [apart], { perm: [0, 2, 4, 1, 3, 5] }), out);
  }
  const apart = w.reshaped(name, [{ perBatch: 1 }, t, kt, C, h, kh, v, kw]);
  return w.reshaped(w.op("Transpose", [apart], { perm: [0, 1, 4, 6, 3, 2, 5, 7] }), out);
}

export const LAYOUT_FORMS: Readonly<Record<string, Form>> = {
  reshape: {
    emit: (w, { inputs: { x }, recorded: [two, three] }) => ({
      out: w.reshape(x, shapeFrom(two.attrs.shape as number[], three.attrs.shape as number[], "reshape")),
    }),
    varying: ["shape"],
  },
  sliceRows,
  sliceRowsCopy: sliceRows,
  permute: form((w, use) => {
    const order = attribute<number[]>(use, "order"), turned = attribute<number | null>(use, "reverse");
    let x = w.read(use.inputs.x);
    if (turned !== null) {
      x = w.op("Slice", [x, w.ints([-1]), w.ints([-(2 ** 31)]), w.ints([turned]), w.ints([-1])]);
    }
    return w.op("Transpose", [x], { perm: order });
  }),
  slice: form((w, use) => {
    const start = attribute<number>(use, "start");
    const axis = attribute<number>(use, "axis"), length = attribute<number>(use, "length");
    return sliced(w, w.read(use.inputs.x), axis, [start, start + length]);
  }),
  pad: form((w, use) => {
    const axis = attribute<number>(use, "axis"), none = use.outputs.out.map(() => 0);
    return padded(
      w,
      w.read(use.inputs.x),
      none.with(axis, attribute(use, "before")),
      none.with(axis, attribute(use, "after")),
    );
  }),
  concat: form((w, use) =>
    w.op("Concat", parts(use).map((part) => w.read(part)), { axis: attribute(use, "axis") })
  ),
  zeros: form((w, use) => w.op("Expand", [w.float(0), w.shape(use.outputs.out)]), ["shape"]),
  repeatRows: form((w, use) => {
    const { inputs: { x }, outputs: { out: [, rows, columns] } } = use;
    const each = w.reshaped(w.read(x), [x.shape[0], 1, columns]);
    const repeated = w.op("Expand", [each, w.shape([1, rows, 1])]), factor = attribute<number>(use, "factor");
    return factor === 1 ? repeated : w.op("Mul", [repeated, w.float(factor)]);
  }, ["rows"]),
  splitTokens: {
    emit: (w, use) => {
      const { inputs: { x }, outputs } = use, places = fixed(x.shape[1], use);
      const [token, patches] = w.ops("Split", [w.read(x), w.ints([1, places - 1])], { axis: 1 }, 2);
      return {
        token: { name: token, shape: outputs.token },
        patches: { name: patches, shape: outputs.patches },
      };
    },
    varying: [],
  },
  prependToken: form((w, use) => {
    const { inputs: { x, cls, position }, outputs: { out } } = use, [N, C] = fixedAll(out.slice(1), use);
    // Zeros where the token goes, which then comes with the positions: nothing depends on the batch.
    const token = padded(w, w.reshaped(w.read(cls), [1, C]), [0, 0], [N - 1, 0]);
    return w.op("Add", [
      padded(w, w.read(x), [0, 1, 0], [0, 0, 0]),
      w.op("Add", [w.read(position), token]),
    ]);
  }),
  addPosition: form((w, { inputs: { x, position } }) => w.op("Add", [w.read(x), w.read(position)])),
  tokenShift: form((w, use) => {
    const { inputs: { x } } = use;
    return shifted(w, w.read(x), { ...shiftSizes(x, use), reverse: attribute(use, "reverse") });
  }),
  sideTokens: form((w, use) => {
    const { inputs: { c, s, position }, outputs: { out: [frames, N, D] } } = use;
    const moved = shifted(w, w.read(c), { ...shiftSizes(c, use), reverse: false });
    const tokens = w.op("Concat", [
      w.reshaped(moved, [frames, 1, D]),
      w.reshaped(w.read(s), [frames, fixed(N, use) - 1, D]),
    ], { axis: 1 });
    const missing = fixed(N, use) - fixed(position.shape[0], use);
    return w.op("Add", [tokens, padded(w, w.read(position), [missing, 0], [0, 0])]);
  }),
  embedding: form((w, { inputs: { ids, table } }) =>
    w.op("Gather", [w.read(table), w.read(ids)], { axis: 0 })
  ),
  gatherRows: form((w, { inputs: { x, index } }) =>
    w.op("GatherND", [w.read(x), w.reshaped(w.read(index), [index.shape[0], 1])], { batch_dims: 1 })
  ),
  channelDifference: form((w, use) => {
    const { inputs: { x } } = use, lag = attribute<number>(use, "lag"), C = fixed(x.shape[1], use);
    const pictures = w.read(x);
    return w.op("Sub", [sliced(w, pictures, 1, [lag, C]), sliced(w, pictures, 1, [0, C - lag])]);
  }),
  unfold: form(unfold),
};
