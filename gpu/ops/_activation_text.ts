/** WGSL of the activations that a matrix product can end with. */

import geluSource from "./gelu.wgsl" with { type: "text" };
import quickGeluDxSource from "./quick_gelu_dx.wgsl" with { type: "text" };
import reluSource from "./relu.wgsl" with { type: "text" };
import type { ACTIVATIONS } from "./activation_functions.ts";

/**
 * Declares `fn gelu`, `fn quick_gelu` or `fn relu`. The elementwise QuickGELU (`quick_gelu.wgsl`) also serves values whose
 * exponential overflows; this one leaves out what it takes, because a tile repeats the text for every element.
 */
export const ACTIVATION_WGSL: Readonly<Record<keyof typeof ACTIVATIONS, string>> = {
  gelu: functionText(geluSource, "erf") + functionText(geluSource, "gelu"),
  quickGelu: "fn quick_gelu(x: f32) -> f32 { return x / (1.0 + exp(-1.702 * x)); }\n",
  relu: functionText(reluSource, "relu"),
};

/** Declares `fn gelu_slope`, `fn quick_gelu_slope` or `fn relu_slope`, the derivative. */
export function slopeText(activation: keyof typeof ACTIVATIONS): string {
  if (activation === "gelu") return functionText(geluSource, "erf") + functionText(geluSource, "gelu_slope");
  return activation === "relu"
    ? functionText(reluSource, "relu_slope")
    : functionText(quickGeluDxSource, "quick_gelu_slope");
}

/** The text of one function of a shader. */
function functionText(source: string, name: string): string {
  const text = new RegExp(`^fn ${name}\\([^]*?\\n}\\n`, "m").exec(source)?.[0];
  if (text === undefined) {
    throw new Error(`Cannot take function "${name}" from a shader: it must be declared there`);
  }
  return text;
}
