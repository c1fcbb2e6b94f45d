/** From WGSL text and named constants to a compute pipeline, with errors that show the numbered source. */

import { makeShaderDataDefinitions, makeStructuredView, type StructDefinition } from "webgpu-utils";
import type { Dispatch } from "./op.ts";

/**
 * Replaces tunable constants and storage types in a WGSL source.
 *
 * @throws {Error} when a name that is to be set has no `const NAME: u32 = …u;` or `alias NAME = …;` line.
 */
export function specialise(dispatch: Pick<Dispatch, "label" | "source" | "constants" | "aliases">): string {
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
  return usesF16 && !code.includes("enable f16;") ? `enable f16;\n${code}` : code;
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

const layouts = new Map<string, StructDefinition>();

/**
 * The bytes of a shader's uniform `params`, fields set by name.
 *
 * @throws {Error} on an unknown or a missing field.
 */
export function packParams(label: string, source: string, params: Dispatch["params"]): ArrayBuffer {
  if (params instanceof ArrayBuffer) return params;
  let layout = layouts.get(source);
  if (!layout) {
    const definition = makeShaderDataDefinitions(uniformDeclaration(source)).uniforms.params;
    if (!definition) throw new Error(`Cannot set uniforms of shader "${label}": it has no uniform "params"`);
    layout = definition as unknown as StructDefinition;
    layouts.set(source, layout);
  }
  const view = makeStructuredView(layout as never);
  const fields = Object.keys(view.views as Record<string, unknown>);
  for (const name of fields) {
    if (!(name in params)) {
      throw new Error(`Cannot set uniforms of shader "${label}": field "${name}" must be given`);
    }
  }
  for (const name of Object.keys(params)) {
    if (!fields.includes(name)) {
      throw new Error(`Cannot set uniforms of shader "${label}": there is no field "${name}"`);
    }
  }
  view.set(params);
  return view.arrayBuffer as ArrayBuffer;
}

/** The `struct Params` and the uniform of a source: all the parser needs, which does not know every form of a function. */
function uniformDeclaration(source: string): string {
  const struct = /^struct Params \{[^}]*\}/m.exec(source)?.[0] ?? "";
  const variable = /^@group\(\d+\) @binding\(\d+\) var<uniform> params: Params;/m.exec(source)?.[0] ?? "";
  return `${struct}\n${variable}\n`;
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
      const module = this.#device.createShaderModule({ label, code });
      pipeline = this.#device.createComputePipeline({
        label,
        layout: "auto",
        compute: { module, entryPoint },
      });
      this.#pipelines.set(key, pipeline);
    }
    return pipeline;
  }

  get size(): number {
    return this.#pipelines.size;
  }
}

/** Source with line numbers, for compile errors. */
export function numbered(code: string): string {
  return code.split("\n").map((line, i) => `${String(i + 1).padStart(4)} | ${line}`).join("\n");
}
