/**
 * Kernel families: a launch that several kernels can do, of which the fastest right one is chosen by measurement
 * (`choose.ts`) or, where nothing was measured, by a fixed estimate. A choice is kept under adapter, kernel texts and shape
 * range; where it is kept (a file, the browser's storage) is the caller's matter.
 */

import type { KernelAdapter, KernelEnvironment } from "../graph.ts";

export type { KernelAdapter } from "../graph.ts";

/** A GPU that has nothing but what WebGPU guarantees, and on which nothing was measured. */
export const PLAIN_GPU: KernelEnvironment = {
  features: new Set(),
  isSoftware: false,
  vendor: "",
  architecture: "",
  description: "",
  workgroupBytes: 16384,
  workgroupInvocations: 256,
  subgroupSizes: null,
  choices: new Map(),
};

/** A kernel ready to be launched: bindings are in order from `@group(0) @binding(0)`, "params" is a uniform buffer. */
export interface BuiltKernel {
  readonly label: string;
  readonly code: string;
  readonly entryPoint: "main";
  readonly bindings: readonly string[];
  readonly params: Uint32Array<ArrayBuffer>;
  readonly workgroups: readonly [number, number, number];
}

/** One way to do a launch. */
export interface KernelVariant<S> {
  readonly name: string;
  build(spec: S): BuiltKernel;
}

/** A launch that several kernels can do. `S` says everything that a kernel's text or speed depends on. */
export interface KernelFamily<S> {
  /** Begins every key of its choices. */
  readonly name: string;
  /** The variants that can run on this adapter, most promising first: without a measurement the first one runs. */
  candidates(spec: S, adapter: KernelAdapter): KernelVariant<S>[];
  /** Names the range of shapes that share a choice. */
  shapeKey(spec: S): string;
}

/** Sizes within one power-of-two step (with two half steps) share a choice. */
export function sizeRange(size: number): number {
  return Math.round(2 * Math.log2(size));
}

/** 53-bit FNV-like hash of a text, enough to notice that a kernel's source has changed. */
function hashText(text: string): string {
  let high = 0xdeadbeef;
  let low = 0x41c6ce57;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    high = Math.imul(high ^ unit, 0x9e3779b1);
    low = Math.imul(low ^ unit, 0x5f356495);
  }
  return (high >>> 0).toString(16) + (low >>> 0).toString(16);
}

/**
 * The key of a choice: adapter, candidates, and what in the spec matters to speed. Of the candidates all names count and the texts of
 * three spread over them, because making all texts would take a second at every start.
 */
export function tuneKey<S>(
  family: KernelFamily<S>,
  spec: S,
  { adapterKey, candidates }: { adapterKey: string; candidates: readonly KernelVariant<S>[] },
): string {
  // In an order that does not depend on sizes within the range, as that of the estimate does.
  const ordered = candidates.toSorted((a, b) => a.name < b.name ? -1 : 1), last = ordered.length - 1;
  const texts = [...new Set([0, last >> 1, last])].map((i) => ordered[i]?.build(spec).code);
  const sources = hashText([...ordered.map(({ name }) => name), ...texts].join("\n"));
  return `${adapterKey}|${family.name}|${sources}|${family.shapeKey(spec)}`;
}

/** Names the adapter and its driver in keys. */
export function adapterKeyOf(
  adapter: Pick<KernelAdapter, "vendor" | "architecture" | "description">,
): string {
  return [adapter.vendor, adapter.architecture, adapter.description].join("/");
}

/** Kernels made so far for an environment: layers are alike, and a choice estimates every candidate. */
const made = new WeakMap<KernelEnvironment, Map<string, BuiltKernel>>();

/**
 * The kernel of a launch: of the measured variant where there is one, else of the fixed default of the adapter's kind. Equal launches
 * in one environment share it.
 *
 * @param options.chosenBy What the variant is chosen by, where not by the whole of `spec`.
 * @throws {RangeError} when no variant can run on the adapter.
 */
export function chosenKernel<S>(
  family: KernelFamily<S>,
  spec: S,
  environment: KernelEnvironment,
  { chosenBy = spec }: { chosenBy?: S } = {},
): BuiltKernel {
  environment.onChoice?.(family.name, chosenBy);
  let known = made.get(environment);
  if (!known) made.set(environment, known = new Map());
  const id = family.name + JSON.stringify(spec);
  let kernel = known.get(id);
  if (!kernel) known.set(id, kernel = chosenVariant(family, chosenBy, environment).build(spec));
  return kernel;
}

/** The measured choice for a launch where there is one, else the default. */
function chosenVariant<S>(
  family: KernelFamily<S>,
  spec: S,
  environment: KernelEnvironment,
): KernelVariant<S> {
  const { choices } = environment, candidates = family.candidates(spec, environment);
  const name = choices.size === 0
    ? undefined
    : choices.get(tuneKey(family, spec, { adapterKey: adapterKeyOf(environment), candidates }));
  return candidates.find((candidate) => candidate.name === name) ??
    defaultOf(family, spec, candidates, environment);
}

/** A fixed sensible choice per kind of adapter and shape, used where nothing was measured. */
export function defaultVariant<S>(
  family: KernelFamily<S>,
  spec: S,
  adapter: KernelAdapter,
): KernelVariant<S> {
  return defaultOf(family, spec, family.candidates(spec, adapter), adapter);
}

function defaultOf<S>(
  family: KernelFamily<S>,
  spec: S,
  candidates: readonly KernelVariant<S>[],
  adapter: KernelAdapter,
): KernelVariant<S> {
  if (candidates.length > 0) return candidates[0];
  throw new RangeError(
    `Cannot choose a kernel of "${family.name}": one must run on the adapter, its features are ` +
      `[${[...adapter.features].join(", ")}] and the launch is ${
        JSON.stringify(spec)
      }; f16 needs "shader-f16"`,
  );
}
