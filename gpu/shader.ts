/** From WGSL text and named constants to a compute pipeline, with errors that show the numbered source. */

import type { Dispatch } from "./op.ts";
import { type UniformLayout, uniformLayout, writeUniform } from "./uniforms.ts";

/**
 * Stands among a device's features where its WGSL wants `enable subgroups;` before the use of any, as browsers do. Deno's compiler
 * does not know the line.
 */
export const ENABLES_SUBGROUPS = "enable subgroups";

/**
 * Replaces tunable constants and storage types in a WGSL source.
 *
 * @param features Of the device, which decide what must be enabled.
 * @throws {Error} when a name that is to be set has no `const NAME: u32 = …u;` or `alias NAME = …;` line.
 */
export function specialise(
  dispatch: Pick<Dispatch, "label" | "source" | "constants" | "aliases">,
  features: ReadonlySet<string> = new Set(),
): string {
  let code = dispatch.source;
  for (const [name, value] of Object.entries(dispatch.constants ?? {})) {
    const line = { pattern: new RegExp(`const ${name}: u32 = \\d+u;`), label: dispatch.label, name };
    code = replaceLine(code, line, `const ${name}: u32 = ${value}u;`);
  }
  let usesF16 = false;
  for (const [name, type] of Object.entries(dispatch.aliases ?? {})) {
    const line = { pattern: new RegExp(`alias ${name} = \\w+;`), label: dispatch.label, name };
    code = replaceLine(code, line, `alias ${name} = ${type};`);
    usesF16 ||= type === "f16";
  }
  if (usesF16 && !code.includes("enable f16;")) code = `enable f16;\n${code}`;
  return features.has(ENABLES_SUBGROUPS) && /\bsubgroup[A-Z]/.test(code)
    ? `enable subgroups;\n${code}`
    : code;
}

function replaceLine(
  code: string,
  { pattern, label, name }: { pattern: RegExp; label: string; name: string },
  text: string,
): string {
  if (!pattern.test(code)) {
    throw new Error(`Cannot specialise shader "${label}": it has no line to set "${name}"`);
  }
  return code.replace(pattern, text);
}

/**
 * A source in which what was read through one storage binding is read through another, of the same place and type.
 *
 * @throws {Error} when one of them is no storage array.
 */
export function mergeBindings(
  code: string,
  { label, from, into }: { label: string; from: number; into: number },
): string {
  const declaration = (binding: number) => {
    const found = new RegExp(`@binding\\(${binding}\\) var<storage, read_write> (\\w+): array<.+>;.*\\n`)
      .exec(code);
    if (!found) {
      throw new Error(`Cannot merge bindings of shader "${label}": ${binding} must be a storage array`);
    }
    return found;
  };
  const gone = declaration(from), kept = declaration(into);
  const at = gone.index - "@group(0) ".length;
  const rest = code.slice(0, at) + code.slice(gone.index + gone[0].length);
  return rest.replaceAll(new RegExp(`\\b${gone[1]}\\[`, "g"), `${kept[1]}[`);
}

const layouts = new Map<string, UniformLayout>();

/**
 * The bytes of a shader's uniform `params`, fields set by name.
 *
 * @throws {Error} on an unknown or a missing field.
 */
export function packParams(label: string, source: string, params: Dispatch["params"]): ArrayBuffer {
  if (params instanceof ArrayBuffer) return params;
  let layout = layouts.get(source);
  if (!layout) {
    const read = uniformLayout(source);
    if (!read) throw new Error(`Cannot set uniforms of shader "${label}": it has no uniform "params"`);
    layouts.set(source, layout = read);
  }
  const { fields, bytes } = layout;
  for (const name of Object.keys(params)) {
    if (!fields.some((field) => field.name === name)) {
      throw new Error(`Cannot set uniforms of shader "${label}": there is no field "${name}"`);
    }
  }
  const packed = new ArrayBuffer(bytes), view = new DataView(packed);
  for (const field of fields) {
    const value = params[field.name];
    if (value === undefined) {
      throw new Error(`Cannot set uniforms of shader "${label}": field "${field.name}" must be given`);
    }
    writeUniform(view, field, value);
  }
  return packed;
}

/** Compute pipelines of a device by code and entry point: each is made once, whoever asks. */
export class PipelineCache {
  static readonly #caches = new WeakMap<GPUDevice, PipelineCache>();
  readonly #device: GPUDevice;
  readonly #pipelines = new Map<string, GPUComputePipeline>();

  /** The cache of a device. */
  static of(device: GPUDevice): PipelineCache {
    const known = PipelineCache.#caches.get(device);
    if (known) return known;
    const cache = new PipelineCache(device);
    PipelineCache.#caches.set(device, cache);
    return cache;
  }

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** Whether the pipeline is there. */
  has(code: string, entryPoint = "main"): boolean {
    return this.#pipelines.has(`${entryPoint}\n${code}`);
  }

  /** The pipeline of `code`, made at the first request. What is wrong with it comes out of the device's error scope. */
  get(label: string, code: string, entryPoint = "main"): GPUComputePipeline {
    const key = `${entryPoint}\n${code}`;
    let pipeline = this.#pipelines.get(key);
    if (!pipeline) {
      pipeline = this.#device.createComputePipeline(this.#described(label, code, entryPoint));
      this.#pipelines.set(key, pipeline);
    }
    return pipeline;
  }

  /**
   * Makes the pipeline of `code` on a thread of the platform's, where it has some: calls need not wait for each other.
   *
   * @throws {Error} with what is wrong with it.
   */
  async make(label: string, code: string, entryPoint = "main"): Promise<void> {
    if (this.has(code, entryPoint)) return;
    const described = this.#described(label, code, entryPoint);
    this.#pipelines.set(`${entryPoint}\n${code}`, await this.#device.createComputePipelineAsync(described));
  }

  #described(label: string, code: string, entryPoint: string): GPUComputePipelineDescriptor {
    const module = this.#device.createShaderModule({ label, code });
    return { label, layout: "auto", compute: { module, entryPoint } };
  }

  get size(): number {
    return this.#pipelines.size;
  }
}

/** Source with line numbers, for compile errors. */
export function numbered(code: string): string {
  return code.split("\n").map((line, i) => `${String(i + 1).padStart(4)} | ${line}`).join("\n");
}
