/** ONNX forms of norms, of softmax and of sums over axes. */

import { attribute, fixed, type Form, form } from "../form.ts";
import { isFixed } from "../sizes.ts";
import { scaled } from "./elementwise.ts";

export const NORM_FORMS: Readonly<Record<string, Form>> = {
  layerNorm: form((w, use) => {
    const { inputs: { x, weight, bias } } = use;
    const attributes = { axis: -1, epsilon: { float: attribute<number>(use, "eps") } };
    return w.op("LayerNormalization", [w.read(x), w.read(weight), w.read(bias)], attributes);
  }),
  // As a factor and a sum by channel, which a runtime computes once.
  batchNormEval: form((w, use) => {
    const { x, weight, bias, runningMean, runningVar } = use.inputs;
    const deviation = w.op("Sqrt", [
      w.op("Add", [w.read(runningVar), w.float(attribute(use, "eps"))]),
    ]);
    const factor = w.op("Div", [w.read(weight), deviation]);
    const shift = w.op("Sub", [w.read(bias), w.op("Mul", [w.read(runningMean), factor])]);
    return w.op("Add", [w.op("Mul", [w.read(x), factor]), shift]);
  }),
  l2Normalize: form((w, { inputs: { x } }) => {
    const rows = w.read(x);
    return w.op("Div", [rows, w.op("ReduceL2", [rows], { axes: [-1], keepdims: 1 })]);
  }),
  softmax: form((w, { inputs: { x } }) => w.op("Softmax", [w.read(x)], { axis: -1 })),
  sumRows: form((w, use) => {
    const { inputs: { x }, recorded: [two, three] } = use, rows = w.read(x);
    const isMean = [two, three].every(({ axes, attrs }) =>
      Math.abs(attrs.factor as number * axes.R - 1) < 1e-9
    );
    if (isMean) return w.op("ReduceMean", [rows], { axes: [1], keepdims: 0 });
    if (!isFixed(x.shape[1])) fixed(x.shape[1], use); // a sum over clips with a factor of its own
    const sum = w.op("ReduceSum", [rows, w.ints([1])], { keepdims: 0 });
    return scaled(w, sum, attribute(use, "factor"));
  }, ["factor"]),
  temporalDeficit: form((w, use) => {
    const { inputs: { x }, outputs: { out } } = use, [B, T, P, C] = out, values = w.read(x);
    const flat = w.reshaped(values, [B, 1, T, fixed(P, use) * fixed(C, use)]);
    const largest = w.op("MaxPool", [flat], { kernel_shape: [3, 1], pads: [1, 0, 1, 0], strides: [1, 1] });
    const half = w.op("Mul", [w.op("Sub", [values, w.reshaped(largest, out)]), w.float(0.5)]);
    return w.op("Add", [half, w.op("ReduceMean", [half], { axes: [-1], keepdims: 1 })]);
  }),
};
