/** How much memory an adapter has free, as far as it can be told before allocating. */

import { adapterVendor } from "../../../gpu/adapter.ts";
import type { Gpu } from "../../../gpu/device.ts";

/** Share of the host's free memory that a software adapter may take: the program and its decoders need the rest. */
const SOFTWARE_SHARE = 0.9;

/** Bytes that an adapter has free; null where nobody can tell before allocating. */
export async function freeMemory(gpu: Pick<Gpu, "isSoftware" | "name" | "info">): Promise<number | null> {
  if (gpu.isSoftware) return Math.floor(SOFTWARE_SHARE * Deno.systemMemoryInfo().available);
  if (!/nvidia/i.test(`${adapterVendor(gpu.info)} ${gpu.name}`)) return null;
  try {
    const { success, stdout } = await new Deno.Command("nvidia-smi", {
      args: ["--query-gpu=name,memory.free", "--format=csv,noheader,nounits"],
      stderr: "null",
    }).output();
    return success ? parseNvidiaFree(new TextDecoder().decode(stdout), gpu.name) : null;
  } catch {
    return null; // without nvidia-smi the adapter is asked by allocating
  }
}

/**
 * Free bytes from nvidia-smi's lines of "name, MiB". Of several cards of one name the freest counts: which of them WebGPU
 * opened cannot be told, and a run that may work is not refused.
 */
export function parseNvidiaFree(text: string, adapter: string): number | null {
  const cards = text.split("\n").flatMap((line) => {
    const [, name, free] = /^(.*),\s*(\d+)\s*$/.exec(line) ?? [];
    return name ? [{ name, bytes: Number(free) * 2 ** 20 }] : [];
  });
  const same = cards.filter(({ name }) => name === adapter);
  const counted = same.length > 0 ? same : cards;
  return counted.length > 0 ? Math.max(...counted.map(({ bytes }) => bytes)) : null;
}
