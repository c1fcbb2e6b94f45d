/**
 * From a plan to plain data that a device can run without knowing the graph: shader texts, uniforms, and a list of launches with
 * the places they read and write. It crosses to a Worker as it is.
 */

import type { MemoryRange } from "./ranks/collective.ts";
import { baseOf, bytesOf } from "./graph.ts";
import type { Address, Layout } from "./layout.ts";
import { type Dispatch, type KernelEnvironment, MAX_GRID } from "./op.ts";
import { align, type Plan } from "./plan.ts";
import { mergeBindings, packParams, specialise } from "./shader.ts";

/** A pipeline to make, and what it takes to launch it. */
export interface KernelSpec {
  /** Of its first launch, for messages. */
  readonly label: string;
  readonly code: string;
  readonly entryPoint: string;
  /** The uniform. */
  readonly params: { readonly binding: number; readonly bytes: number };
  /** Numbers of the storage bindings. */
  readonly storage: readonly number[];
}

/** What tells pipelines apart: equal texts give one. */
export function kernelKey({ code, entryPoint }: Pick<KernelSpec, "code" | "entryPoint">): string {
  return `${entryPoint}\n${code}`;
}

/** One kernel launch. */
export interface LaunchSpec {
  /** For messages and profiles: "layerNorm.forward". */
  readonly label: string;
  /** Its number among the program's kernels. */
  readonly kernel: number;
  readonly grid: readonly [number, number, number];
  /** Bytes of the uniform, and where they begin among the program's uniforms. */
  readonly params: { readonly binding: number; readonly offset: number; readonly bytes: number };
  /** Storage bindings in order. */
  readonly bindings: readonly (Address & { readonly bytes: number; readonly binding: number })[];
  /** The streamed block whose weights it reads. */
  readonly block?: number;
  /** What is summed over ranks after it. */
  readonly sumOverRanks?: MemoryRange;
}

/** A program as plain data. */
export interface ProgramSpec {
  readonly kernels: readonly KernelSpec[];
  /** All uniforms, each at a binding boundary. */
  readonly uniforms: Uint8Array<ArrayBuffer>;
  readonly launches: readonly LaunchSpec[];
}

/** The dispatches of a plan in order. */
export function* dispatchesOf(environment: KernelEnvironment, plan: Plan): Generator<Dispatch> {
  for (const { node } of plan.steps) yield* node.op.dispatches({ ...node, environment });
}

/** Reads that overlap hide how long a GPU's memory takes. A CPU's kernels wait for none, and only grow by it. */
function withOverlap(dispatch: Dispatch, { isSoftware }: KernelEnvironment): Dispatch {
  if (!isSoftware || !dispatch.source.includes("const OVERLAP: u32")) return dispatch;
  return { ...dispatch, constants: { ...dispatch.constants, OVERLAP: 0 } };
}

/**
 * Lowers a plan for an adapter.
 *
 * @throws {RangeError} naming a launch whose grid WebGPU does not allow.
 */
export function lowerPlan(plan: Plan, layout: Layout, environment: KernelEnvironment): ProgramSpec {
  const kernels: KernelSpec[] = [], numbers = new Map<string, number>();
  const launches: LaunchSpec[] = [], uniforms: Uint8Array[] = [];
  let offset = 0;
  for (const dispatch of dispatchesOf(environment, plan)) {
    const { label, grid, entryPoint = "main" } = dispatch;
    if (grid.some((n) => n > MAX_GRID || n < 1)) {
      throw new RangeError(
        `Cannot launch ${label}: a grid must be 1 to ${MAX_GRID} in every dimension, current grid is [${grid}]`,
      );
    }
    const params = new Uint8Array(packParams(label, dispatch.source, dispatch.params));
    const at = dispatch.paramsBinding ?? 0;
    const places = dispatch.tensors.map((tensor, i) => ({
      ...layout.locate(plan, tensor),
      bytes: Math.ceil(bytesOf(tensor) / 4) * 4,
      binding: i < at ? i : i + 1,
    }));
    let code = specialise(withOverlap(dispatch, environment), environment.features);
    // One place may be bound once alone.
    for (const [i, tensor] of dispatch.tensors.entries()) {
      const before = plan.inPlace.get(tensor);
      const gone = before && dispatch.tensors.findIndex((other) => baseOf(other) === before);
      if (gone === undefined || gone < 0) continue;
      code = mergeBindings(code, { label, from: gone < at ? gone : gone + 1, into: i < at ? i : i + 1 });
      places.splice(places.findIndex(({ binding }) => binding === (gone < at ? gone : gone + 1)), 1);
    }
    const key = kernelKey({ code, entryPoint }), bindings = places;
    let kernel = numbers.get(key);
    if (kernel === undefined) {
      const uniform = { binding: at, bytes: params.length }, storage = bindings.map(({ binding }) => binding);
      kernel = kernels.push({ label, code, entryPoint, params: uniform, storage }) - 1;
      numbers.set(key, kernel);
    }
    launches.push({
      label,
      kernel,
      grid,
      params: { binding: at, offset, bytes: params.length },
      bindings,
      block: bindings.find(({ block }) => block !== undefined)?.block,
      sumOverRanks: dispatch.sumOverRanks && {
        ...layout.locate(plan, dispatch.sumOverRanks),
        bytes: bytesOf(dispatch.sumOverRanks),
      },
    });
    uniforms.push(params);
    offset += align(params.length);
  }
  const bytes = new Uint8Array(offset);
  uniforms.forEach((params, i) => bytes.set(params, launches[i].params.offset));
  return { kernels, uniforms: bytes, launches };
}

/** Bytes of uniforms that a plan takes on an adapter. */
export function uniformBytes(environment: KernelEnvironment, plan: Plan): number {
  let bytes = 0;
  for (const { label, source, params } of dispatchesOf(environment, plan)) {
    bytes += align(packParams(label, source, params).byteLength);
  }
  return bytes;
}
