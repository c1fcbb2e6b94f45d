/** Attention's kernels for hardware forced one by one, on the case tables and on sizes that their blocks are made for. */

import { Graph } from "../../gpu/graph.ts";
import { type KernelAdapter, type KernelEnvironment, OPS } from "../../gpu/op.ts";
import "../../gpu/ops/mod.ts";
import { ATTENTION, type AttentionPass, type AttentionUse } from "../../gpu/ops/attention_kernel.ts";
import { OP_CASES } from "../../gpu/cases/all.ts";
import { declareInputs, type OpCase } from "../../gpu/cases/op_case.ts";
import type { Gpu } from "../../gpu/device.ts";
import { launchesOf } from "./launches.ts";
import { checkOp } from "./op_check.ts";

/** Ops of the passes. */
export const PASS_OPS: Readonly<Record<AttentionPass, string>> = {
  forward: "attention",
  backwardQuery: "attentionBackwardQuery",
  backwardKey: "attentionBackwardKey",
};

const above = (_: number, normal: () => number) => 3 + Math.abs(normal());
const rows = (B: number, Q: number, S: number, D: number) => ({ q: [B, Q, D], kv: [B, S, 2 * D] });

/** More cases of `attention`: odd row counts around the blocks, with what the gradients of such sizes need. */
const MORE: readonly OpCase[] = [
  { name: "many heads of 8 frames", inputs: rows(5, 8, 8, 24), attrs: { heads: 3 } },
  { name: "many heads of 16 frames, two of 3 heads", inputs: rows(3, 16, 16, 16), attrs: { heads: 2 } },
  {
    name: "head size 88, causal, rows without a query",
    inputs: rows(1, 37, 35, 88),
    attrs: { heads: 1, causal: true, queryStart: 2 },
  },
  { name: "head size 80, more rows than a block", inputs: rows(1, 70, 67, 80), attrs: { heads: 1 } },
  {
    name: "f16 in and out, head size 32, causal",
    inputs: rows(1, 41, 39, 64),
    dtypes: { q: "f16", kv: "f16" },
    attrs: { heads: 2, dtype: "f16", causal: true },
  },
];

/** The backward passes on operands of their own. */
function backwardCases(dtype: "f32" | "f16"): Record<"backwardQuery" | "backwardKey", OpCase[]> {
  const make = (name: string, [B, Q, S, D, heads, skipped]: number[], causal = false) => {
    const O = Q - skipped, statistics = [B, heads, O];
    const shared = { ...rows(B, Q, S, D), lse: statistics, dout: [B, O, D] };
    const rest = {
      values: { lse: above },
      attrs: { heads, queryStart: skipped, causal },
      ...(dtype === "f16" && { dtypes: { q: dtype, kv: dtype, out: dtype } }),
    };
    return {
      query: { name, inputs: { ...shared, out: [B, O, D] }, ...rest },
      key: { name, inputs: { ...shared, delta: statistics }, ...rest },
    };
  };
  const made = [
    make(`${dtype}, many heads of 8 frames`, [5, 8, 8, 24, 3, 0]),
    make(`${dtype}, more rows than a block, causal`, [1, 135, 133, 12, 1, 1], true),
    make(`${dtype}, head size 80`, [2, 33, 37, 80, 1, 0]),
  ];
  return {
    backwardQuery: made.map(({ query }) => query),
    backwardKey: made.map(({ key: { inputs: { ...inputs }, ...rest } }) => ({ inputs, ...rest })),
  };
}

const f32 = backwardCases("f32"), f16 = backwardCases("f16");

/** All cases of a pass but those for measuring. */
export const CASES: Readonly<Record<AttentionPass, readonly OpCase[]>> = {
  forward: [...OP_CASES.get("attention")!.filter(({ bench }) => !bench), ...MORE],
  backwardQuery: [...OP_CASES.get("attentionBackwardQuery")!, ...f32.backwardQuery, ...f16.backwardQuery]
    .filter(({ bench }) => !bench),
  backwardKey: [...OP_CASES.get("attentionBackwardKey")!, ...f32.backwardKey, ...f16.backwardKey]
    .filter(({ bench }) => !bench),
};

/** An environment in which every use of a family runs the variant of that name, where it is a candidate. */
export function forcing(
  environment: KernelEnvironment,
  names: Readonly<Record<string, string>>,
): KernelEnvironment {
  class Forced extends Map<string, string> {
    override get(key: string): string | undefined {
      return Object.entries(names).find(([family]) => key.includes(`|${family}|`))?.[1];
    }
  }
  return { ...environment, isSoftware: false, choices: new Forced([["", ""]]) };
}

/** What a case asks of a pass's family. */
export function useOfCase(pass: AttentionPass, each: OpCase): AttentionUse {
  const g = new Graph(), op = OPS.get(PASS_OPS[pass])!;
  g.record(op, declareInputs(op, each), each.attrs);
  return launchesOf(g.nodes)[0].spec as AttentionUse;
}

/** Names of all variants of a pass that run on any of its cases. */
export function variantNames(pass: AttentionPass, adapter: KernelAdapter): string[] {
  const hardware = { ...adapter, isSoftware: false };
  return [
    ...new Set(
      CASES[pass].flatMap((each) =>
        ATTENTION[pass].candidates(useOfCase(pass, each), hardware).map(({ name }) => name)
      ),
    ),
  ].sort();
}

/** Checks a variant on a case. @returns Whether it can run it. */
export async function checkForced(
  { device, environment }: Pick<Gpu, "device" | "environment">,
  { pass, name, each }: { pass: AttentionPass; name: string; each: OpCase },
): Promise<boolean> {
  const hardware = { ...environment, isSoftware: false }, family = ATTENTION[pass];
  const halves = Object.values(each.dtypes ?? {}).includes("f16");
  if (halves && !environment.features.has("shader-f16")) return false;
  if (!family.candidates(useOfCase(pass, each), hardware).some((variant) => variant.name === name)) {
    return false;
  }
  try {
    await checkOp(
      { device, environment: forcing(environment, { [family.name]: name }) },
      OPS.get(PASS_OPS[pass])!,
      [
        { ...each, gradient: "none" },
      ],
    );
  } catch (error) {
    (error as Error).message = `${name}: ${(error as Error).message}`;
    throw error;
  }
  return true;
}
