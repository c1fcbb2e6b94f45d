/** ONNX forms of ops that act on every element alone, and of activations. */

import { attribute, type Form, form, type Use } from "../form.ts";
import { isSame } from "../sizes.ts";
import type { OnnxWriter } from "../writer.ts";

/** What an activation makes of a result. */
export const ACTIVATION_FORMS: Readonly<Record<string, (w: OnnxWriter, x: string) => string>> = {
  none: (_, x) => x,
  relu: (w, x) => w.op("Relu", [x]),
  quickGelu: (w, x) => w.op("Mul", [x, w.op("Sigmoid", [w.op("Mul", [x, w.float(1.702)])])]),
  gelu: (w, x) => {
    const erf = w.op("Erf", [w.op("Div", [x, w.float(Math.SQRT2)])]);
    return w.op("Mul", [w.op("Mul", [x, w.op("Add", [erf, w.float(1)])]), w.float(0.5)]);
  },
};

/** `factor · x`. */
export function scaled(w: OnnxWriter, x: string, factor: number): string {
  return factor === 1 ? x : w.op("Mul", [x, w.float(factor)]);
}

const activation = (name: string): Form =>
  form((w, { inputs: { x } }) => ACTIVATION_FORMS[name](w, w.read(x)));

/** An input under the shape of the output: ops of one element take tensors of any shape with as many. */
function alike(w: OnnxWriter, use: Use, name: string): string {
  const value = use.inputs[name], { out } = use.outputs;
  const same = value.shape.length === out.length && value.shape.every((size, i) => isSame(size, out[i]));
  return w.read(same ? value : w.reshape(value, out));
}

export const ELEMENTWISE_FORMS: Readonly<Record<string, Form>> = {
  relu: activation("relu"),
  gelu: activation("gelu"),
  quickGelu: activation("quickGelu"),
  add: form((w, use) => {
    const x = scaled(w, alike(w, use, "x"), attribute(use, "alpha"));
    return w.op("Add", [x, scaled(w, alike(w, use, "y"), attribute(use, "beta"))]);
  }),
  scale: form((w, use) => w.op("Mul", [w.read(use.inputs.x), w.float(attribute(use, "factor"))])),
  multiplyByExp: form((w, { inputs: { x, s } }) => w.op("Mul", [w.read(x), w.op("Exp", [w.read(s)])])),
  sigmoidGate: form((w, use) => {
    const gate = w.op("Add", [w.op("Sigmoid", [alike(w, use, "logit")]), w.float(0.5)]);
    const gated = w.op("Mul", [alike(w, use, "x"), gate]);
    return use.inputs.residual ? w.op("Add", [gated, alike(w, use, "residual")]) : gated;
  }),
  siluMultiply: form((w, use) => {
    const gate = alike(w, use, "gate");
    return w.op("Mul", [w.op("Mul", [gate, w.op("Sigmoid", [gate])]), alike(w, use, "x")]);
  }),
  // All arithmetic is f32 in the file.
  cast: form((w, { inputs: { x } }) => w.read(x)),
};
