/**
 * Frame preprocessing on the GPU: 8-bit frames of any size in, normalised planar floats out. Resizes are exact to the bit in
 * the 8-bit stages, and so is the normalisation, which is a table lookup. The definition is `transformFrame` and
 * `normaliseFrame` in `data/transforms/apply.ts`. So are the pixel operations that come before (`frames/pixel_ops.ts`).
 * Transforms in floats, DiST's, agree with `transformClip` there within a tolerance (`frames/float_kernels.ts`).
 *
 * Clips pass one after the other through two scratch buffers, each as large as one clip.
 */
import unpackSource from "./frames/unpack.wgsl" with { type: "text" };
import resampleSource from "./frames/resample.wgsl" with { type: "text" };
import gatherSource from "./frames/gather.wgsl" with { type: "text" };
import gatherF16Source from "./frames/gather_f16.wgsl" with { type: "text" };
import { type FrameTransform, isFloatTransform } from "../pixels/float_transform.ts";
import { floatToHalf } from "../lib/half.ts";
import { noiseTable } from "../pixels/noise.ts";
import { CLIP_STATISTICS, normalisationTable } from "../pixels/normalise.ts";
import { ResampleCache } from "../pixels/resample.ts";
import { MemoryLedger } from "./device.ts";
import { BINDING_ALIGNMENT as ALIGNMENT } from "./graph.ts";
import { packParams } from "./shader.ts";
import { bufferBytes, checkOptions, framePrepBytes, type FramePrepOptions } from "./frames/options.ts";
import { createGroup, createKernel, type Kernel, type Launcher, pictureGrid } from "./frames/kernel.ts";
import { planClip, type ResamplePass, TablePacker } from "./frames/passes.ts";
import { FloatKernels, floatRefusal } from "./frames/float_kernels.ts";
import { PixelOpKernels } from "./frames/pixel_ops.ts";

export { framePrepBytes, type FramePrepOptions } from "./frames/options.ts";

/** One clip: its frames one after the other, rows of packed red, green, blue bytes. */
export interface FrameClip {
  frames: Uint8Array;
  width: number;
  height: number;
  transform: FrameTransform;
}

const UNPACK_WG = 64;
const MAX_WORKGROUPS = 65535;
/** Remembered output places of one buffer: two suffice for double buffering. */
const MAX_TARGETS = 16;

/** Bits of every value that the result can hold, one word each: the normalised levels, then the noise of erased parts. */
function valueWords(options: FramePrepOptions): Uint32Array<ArrayBuffer> {
  const levels = normalisationTable(options.statistics ?? CLIP_STATISTICS);
  const values = Float32Array.of(...levels, ...options.erase ? noiseTable() : []);
  if (options.outType === "f32") return new Uint32Array(values.buffer);
  return Uint32Array.from(values, floatToHalf);
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
  /** null where transforms have no pixel operations. */
  readonly #pixelOps: PixelOpKernels | null = null;
  readonly #floats: FloatKernels;
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
    const values = create("values", bytes.values, STORAGE | COPY_DST);
    this.#params = create("params", bytes.params, GPUBufferUsage.UNIFORM | COPY_DST);
    const means = create("means", bytes.means, STORAGE);
    this.#buffers = [this.#raw, ...scratch, this.#tables, values, means, this.#params];
    device.queue.writeBuffer(values, 0, valueWords(options));
    this.#packer = new TablePacker(bytes.tables / 4);
    this.#paramBytes = new Uint8Array(bytes.params);

    const params = { buffer: this.#params, size: ALIGNMENT };
    if (options.pixelOps) {
      const tables = create("pixelOpTables", bytes.pixelOps.tables, STORAGE | COPY_DST);
      const counts = create("levelCounts", bytes.pixelOps.counts, STORAGE);
      this.#buffers.push(tables, counts);
      this.#pixelOps = new PixelOpKernels(device, {
        params,
        scratch,
        tables,
        counts,
        frames: options.frames,
      });
    }
    const { size, frames, statistics = CLIP_STATISTICS } = options;
    const shared = { params, scratch, tables: this.#tables, values, means };
    this.#floats = new FloatKernels(device, { ...shared, size, frames, statistics });
    this.#unpack = createKernel(device, "frames.unpack", {
      source: unpackSource,
      bindings: [["uniform", "dynamicStorage", "storage"]],
    });
    this.#resample = createKernel(device, "frames.resample", {
      source: resampleSource,
      bindings: [["uniform", "storage", "storage", "storage"]],
    });
    this.#gather = createKernel(device, `frames.gather/${options.outType}`, {
      source: options.outType === "f16" ? gatherF16Source : gatherSource,
      bindings: [["uniform", "storage", "storage"], ["storage"]],
    });
    const raw = { buffer: this.#raw, size: bytes.clip };
    const group = (kernel: Kernel, ...buffers: GPUBufferBinding[]) =>
      createGroup(device, kernel, { group: 0, buffers: [params, ...buffers] });
    this.#unpackGroup = group(this.#unpack, raw, { buffer: scratch[0] });
    this.#resampleGroups = [0, 1].map((from) =>
      group(this.#resample, { buffer: this.#tables }, { buffer: scratch[from] }, {
        buffer: scratch[1 - from],
      })
    );
    this.#gatherGroups = scratch.map((buffer) => group(this.#gather, { buffer: values }, { buffer }));
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
    const { size, frames } = this.options;
    const plans = clips.map(({ width, height, transform }) => {
      // Every operation moves the frames to the other scratch buffer.
      const buffer = (transform.pixelOps?.length ?? 0) % 2 as 0 | 1;
      return isFloatTransform(transform)
        ? { transform, buffer }
        : { transform, ...planClip({ width, height, transform }, { size, cache: this.#cache, buffer }) };
    });
    const outputs = this.#outputGroups(target, clips.length);
    this.#packer.clear();
    this.#pixelOps?.clear();
    let slot = 0;
    const pass = encoder.beginComputePass({ label: "frames" });
    const launch: Launcher = (kernel, params, options) => {
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
      this.#pixelOps?.encode(clip.transform.pixelOps ?? [], clip, launch);
      const plan = plans[index];
      const planesOrigin = (target.offset + index * this.clipBytes) % ALIGNMENT / 4;
      if (!("source" in plan)) {
        const { width, height } = clip, packer = this.#packer, output = outputs[index];
        const { buffer } = plan;
        this.#floats.encode(plan.transform, { width, height, buffer, packer, planesOrigin, output }, launch);
        return;
      }
      const { resample, source } = plan;
      for (const one of resample) {
        launch(this.#resample, this.#resampleParams(one), {
          group: this.#resampleGroups[one.from.buffer],
          grid: pictureGrid(one.width, one.height, frames),
        });
      }
      const { flip, grey, erase } = plan.transform;
      const box = erase?.box ?? { x: 0, y: 0, width: 0, height: 0 };
      const columnsOut = this.options.outType === "f16" ? size / 2 : size;
      launch(this.#gather, {
        size,
        source_origin: source.origin,
        source_row: source.row,
        source_frame: source.frame,
        flip: flip ? 1 : 0,
        grey: grey ? 1 : 0,
        planes_origin: planesOrigin,
        erase_left: box.x,
        erase_top: box.y,
        erase_right: box.x + box.width,
        erase_bottom: box.y + box.height,
        erase_seed: erase ? erase.seed >>> 0 : 0,
      }, {
        group: this.#gatherGroups[source.buffer],
        grid: pictureGrid(columnsOut, size, frames),
        output: outputs[index],
      });
    });
    pass.end();
    const { queue } = this.#device;
    this.#pixelOps?.upload(queue);
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
      const buffers = [{ buffer: target.buffer, offset, size }];
      groups.push(createGroup(this.#device, this.#gather, { group: 1, buffers }));
    }
    return groups;
  }

  #checkBatch(clips: readonly FrameClip[], target: { buffer: GPUBuffer; offset: number }): void {
    if (this.#destroyed) {
      throw new Error("Cannot prepare frames: the preparation must not have been destroyed");
    }
    const { clips: maxClips, frames, maxWidth, maxHeight, pixelOps: maxOps = 0, erase = false } =
      this.options;
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
      const isFloat = isFloatTransform(transform);
      const resized = isFloat ? { width, height } : transform.resize ?? { width, height };
      const misfit = isFloat ? floatRefusal(transform, { width, height }, this.options.size) : null;
      if (misfit !== null) throw new RangeError(`Cannot prepare clip ${index}: ${misfit}`);
      if (isFloat && this.options.outType !== "f32") {
        throw new RangeError(
          `Cannot prepare clip ${index}: the output of its transform in floats must be f32, current value is f16`,
        );
      }
      const ops = transform.pixelOps?.length ?? 0;
      if (ops > maxOps || transform.erase && !erase) {
        throw new RangeError(
          `Cannot prepare clip ${index}: its transform must have at most ${maxOps} pixel operations and ` +
            `${erase ? "may" : "must not"} erase, current number is ${ops}${
              transform.erase ? " and it erases" : ""
            }`,
        );
      }
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
