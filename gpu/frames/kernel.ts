/** Pipelines of the frame preparation, with explicit layouts: their uniforms and some buffers are bound at changing offsets. */

/** A pipeline and the layouts of its bind groups. */
export interface Kernel {
  label: string;
  source: string;
  pipeline: GPUComputePipeline;
  groups: GPUBindGroupLayout[];
}

/** What is bound: a uniform and a dynamic storage buffer take their offset at the launch. */
export type Binding = "uniform" | "storage" | "dynamicStorage";

/** One launch of a kernel. */
export interface Launch {
  group: GPUBindGroup;
  grid: [number, number, number];
  /** Offsets of dynamic storage bindings. */
  dynamic?: number[];
  /** Second bind group, for kernels that write the result. */
  output?: GPUBindGroup;
}

/** Records one launch with its uniforms. */
export type Launcher = (kernel: Kernel, params: Record<string, number>, launch: Launch) => void;

/** Kernels by device and text: each is made once, however often the preparation is. */
const kernels = new WeakMap<GPUDevice, Map<string, Kernel>>();

/** The kernel of a source, made at the first request from the kinds of its bindings, by group. */
export function createKernel(
  device: GPUDevice,
  label: string,
  options: { source: string; bindings: Binding[][]; entryPoint?: string },
): Kernel {
  let known = kernels.get(device);
  if (!known) kernels.set(device, known = new Map());
  const { source, bindings, entryPoint = "main" } = options;
  const key = `${entryPoint}\n${JSON.stringify(bindings)}\n${source}`;
  let kernel = known.get(key);
  if (!kernel) known.set(key, kernel = makeKernel(device, label, { source, bindings, entryPoint }));
  return kernel;
}

function makeKernel(
  device: GPUDevice,
  label: string,
  { source, bindings, entryPoint }: { source: string; bindings: Binding[][]; entryPoint: string },
): Kernel {
  const groups = bindings.map((entries, group) =>
    device.createBindGroupLayout({
      label: `${label}/group${group}`,
      entries: entries.map((kind, binding) => ({
        binding,
        visibility: GPUShaderStage.COMPUTE,
        buffer: {
          type: kind === "uniform" ? "uniform" : "storage",
          hasDynamicOffset: kind !== "storage",
        },
      })),
    })
  );
  const pipeline = device.createComputePipeline({
    label,
    layout: device.createPipelineLayout({ label, bindGroupLayouts: groups }),
    compute: { module: device.createShaderModule({ label, code: source }), entryPoint },
  });
  return { label, source, pipeline, groups };
}

/** Binds buffers to one of a kernel's groups, in the order of its bindings. */
export function createGroup(
  device: GPUDevice,
  kernel: Kernel,
  options: { group: number; buffers: GPUBufferBinding[] },
): GPUBindGroup {
  return device.createBindGroup({
    label: `${kernel.label}/group${options.group}`,
    layout: kernel.groups[options.group],
    entries: options.buffers.map((resource, binding) => ({ binding, resource })),
  });
}

/** Workgroup of the kernels that run over pictures. */
const WG_X = 16, WG_Y = 4;

/** Workgroups for `count` pictures. */
export function pictureGrid(width: number, height: number, count: number): [number, number, number] {
  return [Math.ceil(width / WG_X), Math.ceil(height / WG_Y), count];
}
