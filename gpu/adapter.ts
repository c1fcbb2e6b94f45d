/** What an adapter is called. Every list, page, file and message takes its name from here. */

/** The part of an adapter's information that its name is made of. */
export type AdapterIdentity = Pick<GPUAdapterInfo, "vendor" | "architecture" | "device" | "description">;

/** Makers by the numbers that PCI and Khronos gave them, which some implementations state in place of a name. */
const VENDORS: Readonly<Record<number, string>> = {
  0x1002: "AMD",
  0x1010: "Imagination",
  0x106b: "Apple",
  0x10de: "NVIDIA",
  0x13b5: "Arm",
  0x1414: "Microsoft",
  0x1ae0: "Google",
  0x5143: "Qualcomm",
  0x8086: "Intel",
  0x10005: "Mesa",
};

const isNumber = (text: string) => /^(0x[0-9a-f]+|\d+)$/i.test(text);

/** The maker's name, also where the implementation states its number; "" where it states nothing. */
export function adapterVendor({ vendor }: Pick<AdapterIdentity, "vendor">): string {
  return isNumber(vendor) ? VENDORS[Number(vendor)] ?? vendor : vendor;
}

/**
 * A readable name: the description, which is the product's name in full; else the device, unless that is the number it has on its bus;
 * else maker and architecture, all that browsers tell.
 */
export function adapterName(info: AdapterIdentity): string {
  const named = [info.description, info.device].map((text) => text.trim())
    .find((text) => text !== "" && !isNumber(text));
  if (named !== undefined) return named;
  return [adapterVendor(info), info.architecture].filter(Boolean).join(" ") || "unknown adapter";
}

/** Whether the adapter computes on the CPU. */
export function isSoftwareAdapter(info: AdapterIdentity): boolean {
  return /llvmpipe|lavapipe|softpipe|swiftshader|software|basic render/i.test(
    `${info.vendor} ${info.architecture} ${info.device} ${info.description}`,
  );
}

/**
 * Lanes of a subgroup of a software adapter: llvmpipe names its vector width, "llvmpipe (LLVM 15.0.6, 256 bits)".
 * 0 where the adapter has no subgroups or does not tell.
 */
export function softwareLanes(
  adapter: { readonly description: string; readonly features: ReadonlySet<string> },
): number {
  const bits = /(\d+) bits/.exec(adapter.description)?.[1];
  return adapter.features.has("subgroups") && bits !== undefined ? Number(bits) / 32 : 0;
}
