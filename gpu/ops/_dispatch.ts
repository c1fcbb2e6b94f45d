/** The two shapes of kernel that most ops share: one invocation per element, and a few lanes per row. */

import type { Tensor } from "../graph.ts";
import { type Dispatch, grid1d, type KernelEnvironment, type KernelParams } from "../op.ts";

/** What both shapes need. `tensors` in binding order; a binding `x` that is not u32 has its storage type as `x_t`. */
interface Launch {
  tensors: Readonly<Record<string, Tensor>>;
  params?: KernelParams;
}

/** One invocation per element of a flat index below `count`. `params.count` is filled in. */
export function flatDispatch(
  label: string,
  source: string,
  options: Launch & { count: number; wgSize?: number; entryPoint?: string },
): Dispatch {
  const { tensors, params, count, wgSize = 256, entryPoint } = options;
  return {
    label,
    source,
    entryPoint,
    constants: { WG_SIZE: wgSize },
    aliases: storageTypes(source, tensors),
    tensors: Object.values(tensors),
    params: { count, ...params },
    grid: grid1d(Math.ceil(count / wgSize)),
  };
}

/**
 * `rows` rows of `columns` elements, reduced by the lanes of a workgroup. On a software adapter a row belongs to one
 * invocation, because barriers are slow there and its SIMD lanes are invocations.
 */
export function rowDispatch(
  label: string,
  source: string,
  options: Launch & { rows: number; columns: number; environment: KernelEnvironment },
): Dispatch {
  const { tensors, rows, columns, environment } = options;
  const [ROWS, LANES] = environment.isSoftware ? [16, 1] : columns > 64 ? [1, 64] : [4, 16];
  return {
    label,
    source,
    constants: { ROWS, LANES },
    aliases: storageTypes(source, tensors),
    tensors: Object.values(tensors),
    params: { rows, columns },
    grid: grid1d(Math.ceil(rows / ROWS)),
  };
}

/** Bindings whose storage type a kernel leaves open have an alias line; the others are f32 or u32 by contract. */
function storageTypes(
  source: string,
  tensors: Readonly<Record<string, Tensor>>,
): Record<string, "f32" | "f16"> {
  const types: Record<string, "f32" | "f16"> = {};
  for (const [name, tensor] of Object.entries(tensors)) {
    const open = source.includes(`alias ${name}_t = `);
    if (tensor.dtype === "u32" ? open : !open && tensor.dtype !== "f32") {
      throw new TypeError(
        `Cannot launch a kernel: its binding "${name}" must be ${
          open ? "f32 or f16" : "f32"
        }, current type is ${tensor.dtype}`,
      );
    }
    if (open) types[`${name}_t`] = floatType(tensor);
  }
  return types;
}

/** The storage type of a tensor of floats. */
export function floatType({ label, dtype }: Tensor): "f32" | "f16" {
  if (dtype === "u32") {
    throw new TypeError(`Cannot launch a kernel: "${label}" must hold floats, current type is u32`);
  }
  return dtype;
}
