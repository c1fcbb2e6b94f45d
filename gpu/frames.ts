/**
 * Frame preprocessing on the GPU: 8-bit frames of any size in, normalised planar floats out. Resizes are exact to the bit in
 * the 8-bit stages, and so is the normalisation, which is a table lookup. The definition is `transformFrame` and
 * `normaliseFrame` in `data/transforms.ts`.
 *
 * Clips pass one after the other through two scratch buffers, each as large as one clip.
 */
import unpackSource from "./frames/unpack.wgsl" with { type: "text" };
import resampleSource from "./frames/resample.wgsl" with { type: "text" };
import gatherSource from "./frames/gather.wgsl" with { type: "text" };
import gatherF16Source from "./frames/gather_f16.wgsl" with { type: "text" };
import type { ClipTransform } from "../lib/clip_transform.ts";
import { floatToHalf } from "../lib/half.ts";
import { CLIP_STATISTICS, normalisationTable, type PixelStatistics } from "../lib/normalise.ts";
import { ResampleCache } from "../lib/resample.ts";
import { MemoryLedger } from "./device.ts";
import { packParams } from "./shader.ts";
import {
  ALIGNMENT,
  bufferBytes,
  checkOptions,
  framePrepBytes,
  type FramePrepOptions,
} from "./frames/options.ts";
import { planClip, type ResamplePass, TablePacker } from "./frames/passes.ts";

export { framePrepBytes, type FramePrepOptions } from "./frames/options.ts";

/** One clip: its frames one after the other, rows of packed red, green, blue bytes. */
export interface FrameClip {
  frames: Uint8Array;
  width: number;
  height: number;
  transform: ClipTransform;
}

const UNPACK_WG = 64;
const WG_X = 16, WG_Y = 4;
const MAX_WORKGROUPS = 65535;
/** Remembered output places of one buffer: two suffice for double buffering. */
const MAX_TARGETS = 16;

/** Bits of the normalised levels, one word each. */
function levelWords(statistics: PixelStatistics, outType: "f32" | "f16"): Uint32Array<ArrayBuffer> {
  const values = normalisationTable(statistics);
  if (outType === "f32") return new Uint32Array(values.buffer as ArrayBuffer);
  return Uint32Array.from(values, floatToHalf);
}

/** A pipeline and the layouts of its bind groups. */
interface Kernel {
  label: string;
  source: string;
  pipeline: GPUComputePipeline;
  groups: GPUBindGroupLayout[];
}

type Binding = "uniform" | "storage" | "dynamicStorage";

function createKernel(device: GPUDevice, label: string, source: string, bindings: Binding[][]): Kernel {
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
    compute: { module: device.createShaderModule({ label, code: source }), entryPoint: "main" },
  });
  return { label, source, pipeline, groups };
}

function createGroup(
  device: GPUDevice,
  kernel: Kernel,
  group: number,
  buffers: GPUBufferBinding[],
): GPUBindGroup {
  return device.createBindGroup({
    label: `${kernel.label}/group${group}`,
    layout: kernel.groups[group],
    entries: buffers.map((resource, binding) => ({ binding, resource })),
  });
}

/** Turns batches of decoded clips into network input. Everything it needs is allocated at construction. */
export class FramePrep {
  readonly options: Readonly<FramePrepOptions>;
  readonly allocatedBytes: number;
  /** Bytes of one clip in the output. */
  readonly clipBytes: number;
  readonly #device: GPUDevice;
  readonly #memory: Pick<MemoryLedger, "create" | "destroy">;
  readonly #bytes: ReturnType<typeof bufferBytes>;
  readonly #raw: GPUBuffer;
  readonly #tables: GPUBuffer;
  readonly #params: GPUBuffer;
  readonly #buffers: GPUBuffer[];
  readonly #unpack: Kernel;
  readonly #resample: Kernel;
  readonly #gather: Kernel;
  readonly #unpackGroup: GPUBindGroup;
  /** By the scratch buffer that is read. */
  readonly #resampleGroups: GPUBindGroup[];
  readonly #gatherGroups: GPUBindGroup[];
  readonly #targets = new WeakMap<GPUBuffer, Map<number, GPUBindGroup[]>>();
  readonly #cache = new ResampleCache();
  readonly #packer: TablePacker;
  readonly #paramBytes: Uint8Array<ArrayBuffer>;
  #destroyed = false;

  constructor(device: GPUDevice, options: FramePrepOptions) {
    checkOptions(device, options);
    this.options = options;
    this.#device = device;
    this.#memory = options.memory ?? new MemoryLedger(device);
    const bytes = this.#bytes = bufferBytes(options);
    this.allocatedBytes = framePrepBytes(options);
    this.clipBytes = options.frames * 3 * options.size ** 2 * (options.outType === "f16" ? 2 : 4);

    const STORAGE = GPUBufferUsage.STORAGE, COPY_DST = GPUBufferUsage.COPY_DST;
    const create = (name: string, sizeBytes: number, usage: number) =>
      this.#memory.create(`frames.${name}`, sizeBytes, usage);
    this.#raw = create("raw", bytes.raw, STORAGE | COPY_DST);
    const scratch = [create("scratch0", bytes.scratch, STORAGE), create("scratch1", bytes.scratch, STORAGE)];
    this.#tables = create("tables", bytes.tables, STORAGE | COPY_DST);
    const levels = create("levels", bytes.levels, STORAGE | COPY_DST);
    this.#params = create("params", bytes.params, GPUBufferUsage.UNIFORM | COPY_DST);
    this.#buffers = [this.#raw, ...scratch, this.#tables, levels, this.#params];
    device.queue.writeBuffer(levels, 0, levelWords(options.statistics ?? CLIP_STATISTICS, options.outType));
    this.#packer = new TablePacker(bytes.tables / 4);
    this.#paramBytes = new Uint8Array(bytes.params);

    this.#unpack = createKernel(device, "frames.unpack", unpackSource, [[
      "uniform",
      "dynamicStorage",
      "storage",
    ]]);
    this.#resample = createKernel(device, "frames.resample", resampleSource, [
      ["uniform", "storage", "storage", "storage"],
    ]);
    const gather = options.outType === "f16" ? gatherF16Source : gatherSource;
    this.#gather = createKernel(device, `frames.gather/${options.outType}`, gather, [
      ["uniform", "storage", "storage"],
      ["storage"],
    ]);
    const params = { buffer: this.#params, size: ALIGNMENT };
    const raw = { buffer: this.#raw, size: bytes.clip };
    this.#unpackGroup = createGroup(device, this.#unpack, 0, [params, raw, { buffer: scratch[0] }]);
    this.#resampleGroups = [0, 1].map((from) =>
      createGroup(device, this.#resample, 0, [
        params,
        { buffer: this.#tables },
        { buffer: scratch[from] },
        { buffer: scratch[1 - from] },
      ])
    );
    this.#gatherGroups = scratch.map((buffer) =>
      createGroup(device, this.#gather, 0, [params, { buffer: levels }, { buffer }])
    );
  }

  /**
   * Uploads a batch and records its work. The result, `[clips T 3 S S]`, is there when the encoder's commands have run.
   * Submit them before the next call: uploads go to the same buffers.
   *
   * @param target Storage buffer for the result and the byte at which it begins, a multiple of 4.
   * @throws {RangeError} when the batch or a frame is larger than the options allow; nothing is recorded then.
   */
  encode(
    encoder: GPUCommandEncoder,
    clips: readonly FrameClip[],
    target: { buffer: GPUBuffer; offset: number },
  ): void {
    this.#checkBatch(clips, target);
    const { size } = this.options;
    const plans = clips.map((clip) => planClip(clip, { size, cache: this.#cache }));
    const outputs = this.#outputGroups(target, clips.length);
    this.#packer.clear();
    let slot = 0;
    const pass = encoder.beginComputePass({ label: "frames" });
    const launch = (kernel: Kernel, params: Record<string, number>, options: {
      group: GPUBindGroup;
      grid: [number, number, number];
      dynamic?: number[];
      output?: GPUBindGroup;
    }) => {
      const offset = slot++ * ALIGNMENT;
      this.#paramBytes.set(new Uint8Array(packParams(kernel.label, kernel.source, params)), offset);
      pass.setPipeline(kernel.pipeline);
      pass.setBindGroup(0, options.group, [offset, ...options.dynamic ?? []]);
      if (options.output) pass.setBindGroup(1, options.output);
      pass.dispatchWorkgroups(...options.grid);
    };
    clips.forEach((clip, index) => {
      const rawOffset = index * this.#bytes.clip;
      this.#upload(clip.frames, rawOffset);
      const groups = Math.ceil(clip.frames.length / 12);
      const workgroups = Math.ceil(groups / UNPACK_WG);
      const columns = Math.min(workgroups, MAX_WORKGROUPS);
      launch(this.#unpack, { groups, row: columns * UNPACK_WG }, {
        group: this.#unpackGroup,
        grid: [columns, Math.ceil(workgroups / columns), 1],
        dynamic: [rawOffset],
      });
      const { resample, source } = plans[index];
      for (const one of resample) {
        launch(this.#resample, this.#resampleParams(one), {
          group: this.#resampleGroups[one.from.buffer],
          grid: this.#grid(one.width, one.height),
        });
      }
      const { flip, grey } = clip.transform;
      const columnsOut = this.options.outType === "f16" ? size / 2 : size;
      launch(this.#gather, {
        size,
        source_origin: source.origin,
        source_row: source.row,
        source_frame: source.frame,
        flip: flip ? 1 : 0,
        grey: grey ? 1 : 0,
        planes_origin: (target.offset + index * this.clipBytes) % ALIGNMENT / 4,
      }, {
        group: this.#gatherGroups[source.buffer],
        grid: this.#grid(columnsOut, size),
        output: outputs[index],
      });
    });
    pass.end();
    const { queue } = this.#device;
    queue.writeBuffer(this.#params, 0, this.#paramBytes, 0, slot * ALIGNMENT);
    const { usedWords, words } = this.#packer;
    if (usedWords > 0) queue.writeBuffer(this.#tables, 0, words as Int32Array<ArrayBuffer>, 0, usedWords);
  }

  /** Frees the buffers. */
  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    for (const buffer of this.#buffers) this.#memory.destroy(buffer);
  }

  [Symbol.dispose](): void {
    this.destroy();
  }

  #grid(width: number, height: number): [number, number, number] {
    return [Math.ceil(width / WG_X), Math.ceil(height / WG_Y), this.options.frames];
  }

  #resampleParams(pass: ResamplePass): Record<string, number> {
    const { from, width, height, vertical, table, tableStart, tapOrigin } = pass;
    return {
      width,
      height,
      vertical: vertical ? 1 : 0,
      source_origin: from.origin,
      source_row: from.row,
      source_frame: from.frame,
      tap_origin: tapOrigin,
      table: this.#packer.add(table, tableStart, vertical ? height : width),
      table_row: table.stride,
    };
  }

  /** Copies the bytes of a clip; the queue takes whole words only, so a rest of one to three bytes goes padded. */
  #upload(frames: Uint8Array, offset: number): void {
    const { queue } = this.#device;
    const whole = frames.length - frames.length % 4;
    if (whole > 0) queue.writeBuffer(this.#raw, offset, frames as Uint8Array<ArrayBuffer>, 0, whole);
    if (whole === frames.length) return;
    const rest = new Uint8Array(4);
    rest.set(frames.subarray(whole));
    queue.writeBuffer(this.#raw, offset + whole, rest);
  }

  /** One bind group per clip at its place in the target, made at the first batch that goes there. */
  #outputGroups(target: { buffer: GPUBuffer; offset: number }, count: number): GPUBindGroup[] {
    let places = this.#targets.get(target.buffer);
    if (!places) this.#targets.set(target.buffer, places = new Map());
    if (places.size >= MAX_TARGETS && !places.has(target.offset)) places.clear();
    const groups = places.get(target.offset) ?? [];
    places.set(target.offset, groups);
    for (let index = groups.length; index < count; index++) {
      const begin = target.offset + index * this.clipBytes;
      const offset = begin - begin % ALIGNMENT;
      const size = begin + this.clipBytes - offset;
      groups.push(createGroup(this.#device, this.#gather, 1, [{ buffer: target.buffer, offset, size }]));
    }
    return groups;
  }

  #checkBatch(clips: readonly FrameClip[], target: { buffer: GPUBuffer; offset: number }): void {
    if (this.#destroyed) {
      throw new Error("Cannot prepare frames: the preparation must not have been destroyed");
    }
    const { clips: maxClips, frames, maxWidth, maxHeight } = this.options;
    if (clips.length < 1 || clips.length > maxClips) {
      throw new RangeError(
        `Cannot prepare frames: a batch must hold 1 to ${maxClips} clips, current value is ${clips.length}`,
      );
    }
    const end = target.offset + clips.length * this.clipBytes;
    if (target.offset < 0 || target.offset % 4 !== 0 || end > target.buffer.size) {
      throw new RangeError(
        `Cannot prepare frames: the target must begin at a multiple of 4 and hold ${clips.length} clips of ` +
          `${this.clipBytes} bytes, current offset is ${target.offset} of ${target.buffer.size}`,
      );
    }
    clips.forEach(({ frames: data, width, height, transform }, index) => {
      const resized = transform.resize ?? { width, height };
      if (Math.max(width, resized.width) > maxWidth || Math.max(height, resized.height) > maxHeight) {
        throw new RangeError(
          `Cannot prepare clip ${index}: frames must be at most ${maxWidth}x${maxHeight}, current size is ` +
            `${width}x${height} resized to ${resized.width}x${resized.height}`,
        );
      }
      if (data.length !== frames * width * height * 3) {
        throw new RangeError(
          `Cannot prepare clip ${index}: ${frames} frames of ${width}x${height} are ` +
            `${frames * width * height * 3} bytes, current length is ${data.length}`,
        );
      }
    });
  }
}

/**
 * Creates a frame preparation.
 *
 * @example
 * using prep = createFramePrep(device, { clips: 2, frames: 8, maxWidth: 340, maxHeight: 256, size: 224, outType: "f32" });
 * prep.encode(encoder, clips, { buffer, offset: 0 });
 */
export function createFramePrep(device: GPUDevice, options: FramePrepOptions): FramePrep {
  return new FramePrep(device, options);
}
