/** A model's weights, inputs and programs on a device: what sessions and towers share. */

import { isFloatTransform } from "../../pixels/float_transform.ts";
import type { FrameClip, FramePrepOptions } from "../../gpu/frames.ts";
import { bytesOf, sizeOf, type Tensor } from "../../gpu/graph.ts";
import type { Address, Layout } from "../../gpu/layout.ts";
import { lowerPlan, type ProgramSpec } from "../../gpu/lower.ts";
import type { KernelEnvironment } from "../../gpu/op.ts";
import { align, type Plan } from "../../gpu/plan.ts";
import type { Command, DeviceSetup } from "../../gpu/runtime.ts";
import { encodeValues, valuesOf } from "../../gpu/values.ts";
import { transferOf } from "../../lib/shared_bytes.ts";
import { createPrng } from "../../lib/random.ts";
import type { WeightKind } from "../../models/params.ts";
import type { VideoModel } from "../../models/video_model.ts";
import { compileKernels, kernelsOf } from "./device/compile.ts";
import type { Device } from "./device/device.ts";
import { frameRoom, type FrameSize, prepOptions } from "./frame_buffers.ts";
import type { InputValues } from "./objective.ts";

/** What there is to load. */
export interface ModelParts {
  readonly layout: Layout;
  readonly plans: Readonly<Record<string, Plan>>;
  readonly readbackBytes: number;
  readonly frames: FramePrepOptions | null;
  readonly mix?: DeviceSetup["mix"];
}

/** A tensor to read: resident, or of a program that has run. */
export interface TensorAt {
  readonly tensor: Tensor;
  readonly at: Address;
}

/** Bytes of weights that are sent at once. */
const SENT_BYTES = 2 ** 26;
/** Bytes of results that are read at once. */
const READ_BYTES = 2 ** 28;

/** What a device needs to know of a model. */
export type LoadableModel = Pick<VideoModel, "weights" | "config" | "window">;

/** All programs of a model as plain data, by name. */
export function lowerPlans(
  { plans, layout }: Pick<ModelParts, "plans" | "layout">,
  environment: KernelEnvironment,
): Record<string, ProgramSpec> {
  return Object.fromEntries(
    Object.entries(plans).map(([name, plan]) => [name, lowerPlan(plan, layout, environment)]),
  );
}

/** A model on a device. */
export class DeviceModel<Model extends LoadableModel = VideoModel> {
  readonly model: Model;
  readonly device: Device;
  readonly #layout: Layout;
  readonly #plans: Readonly<Record<string, Plan>>;
  #frames: FramePrepOptions | null;
  #allocatedBytes: number;
  /** Kernel launches of each program. */
  readonly launches: Readonly<Record<string, number>>;
  /** Told when a frame larger than expected made the upload buffers grow. */
  onGrow: ((frame: FrameSize, allocatedBytes: number) => void) | null = null;

  /**
   * Lowers, allocates and compiles everything. Weights are zeros until they are written.
   *
   * @throws {OutOfMemoryError} when the adapter has not the memory; from a Worker an error of that name.
   */
  static async load<Model extends LoadableModel>(
    device: Device,
    model: Model,
    parts: ModelParts,
  ): Promise<DeviceModel<Model>> {
    const { layout, plans, readbackBytes, frames, mix = null } = parts;
    const programs = lowerPlans({ plans, layout }, device.info.environment);
    await compileKernels(device, kernelsOf(programs), device.stopsCompiling);
    const setup: DeviceSetup = {
      buffers: layout.buffers,
      stream: layout.stream,
      programs,
      readbackBytes,
      frames,
      mix,
    };
    const launches = Object.entries(programs).map(([name, { launches }]) => [name, launches.length] as const);
    const allocatedBytes = await device.load(setup);
    return new DeviceModel(device, model, parts, { allocatedBytes, launches: Object.fromEntries(launches) });
  }

  private constructor(
    device: Device,
    model: Model,
    { layout, plans, frames }: ModelParts,
    loaded: { allocatedBytes: number; launches: Record<string, number> },
  ) {
    this.device = device;
    this.model = model;
    this.#layout = layout;
    this.#plans = plans;
    this.#frames = frames;
    this.#allocatedBytes = loaded.allocatedBytes;
    this.launches = loaded.launches;
  }

  /** Bytes of GPU memory in use. */
  get allocatedBytes(): number {
    return this.#allocatedBytes;
  }

  /** The largest frame that the upload buffers may grow to; null where no frames are uploaded. */
  get frameRoom(): FrameSize | null {
    return this.#frames && frameRoom(this.model, this.#frames, this.device.info.limits);
  }

  /** Place of a resident tensor, or of a value while the named program runs. */
  addressOf(tensor: Tensor, program?: string): Address {
    return program === undefined
      ? this.#layout.find(tensor)
      : this.#layout.locate(this.#plans[program], tensor);
  }

  /**
   * Draws weights of some kinds from their declared distributions. One stream a weight, so adding weights changes no other.
   */
  async initialise(seed: number, kinds: readonly WeightKind[]): Promise<void> {
    let commands: WriteCommand[] = [], bytes = 0;
    const send = async () => {
      await this.device.submit(commands, memoryOf(commands.map((command) => command.bytes)));
      [commands, bytes] = [[], 0];
    };
    for (const { kind, tensor, shape, init, place } of this.model.weights.list) {
      if (!kinds.includes(kind)) continue;
      const write = this.writeCommand(tensor, init(sizeOf(shape), createPrng(seed, place)));
      commands.push(write);
      bytes += write.bytes.length;
      if (bytes >= SENT_BYTES) await send();
    }
    await send();
  }

  /** The command that writes a resident tensor. The values must be as many as its shape has. */
  writeCommand(tensor: Tensor, values: InputValues): WriteCommand {
    return { do: "write", to: this.#layout.find(tensor), bytes: encodeValues(tensor, values) };
  }

  /** Writes a resident tensor. The values are given away. */
  async write(tensor: Tensor, values: InputValues): Promise<void> {
    const command = this.writeCommand(tensor, values);
    await this.device.submit([command], memoryOf([command.bytes]));
  }

  /** Reads tensors, in as many parts as it takes. Waits for the GPU; ask for many at once. */
  async read(tensors: readonly TensorAt[]): Promise<Float32Array<ArrayBuffer>[]> {
    const results: Float32Array<ArrayBuffer>[] = [];
    const most = Math.min(READ_BYTES, this.device.info.limits.maxBufferBytes);
    for (let start = 0, end = 0; start < tensors.length; start = end) {
      let total = 0;
      do total += align(bytesOf(tensors[end++].tensor)); while (
        end < tensors.length && total + align(bytesOf(tensors[end].tensor)) <= most
      );
      const part = tensors.slice(start, end);
      const bytes = await this.device.submit(
        part.map(({ tensor, at }): Command => ({ do: "read", from: at, bytes: bytesOf(tensor) })),
      );
      part.forEach(({ tensor }, i) => results.push(valuesOf(tensor, bytes[i])));
    }
    return results;
  }

  /** Makes room for frames larger than those the upload buffers were made for. */
  async fitUploads(clips: readonly FrameClip[]): Promise<void> {
    if (!this.#frames) return;
    const { maxWidth, maxHeight, clips: most, pixelOps, erase } = this.#frames;
    const needed = { width: maxWidth, height: maxHeight };
    for (const { width, height, transform } of clips) {
      const resize = isFloatTransform(transform) ? null : transform.resize;
      needed.width = Math.max(needed.width, width, resize?.width ?? 0);
      needed.height = Math.max(needed.height, height, resize?.height ?? 0);
    }
    if (needed.width === maxWidth && needed.height === maxHeight) return;
    this.#frames = prepOptions(this.model, {
      clips: Math.max(most, clips.length),
      largestFrame: needed,
      augmentation: { pixelOps, erase },
    });
    this.#allocatedBytes = await this.device.setFrames(this.#frames);
    this.onGrow?.(needed, this.#allocatedBytes);
  }
}

/** What the preparation of frames reads of a clip. */
export function frameOf({ frames, width, height, transform }: FrameClip): FrameClip {
  return { frames, width, height, transform };
}

type WriteCommand = Command & { do: "write" };

/** The memory of arrays that a submission may take: of those that fill theirs, and are not shared. */
export function memoryOf(arrays: readonly Uint8Array[]): ArrayBuffer[] {
  return transferOf(arrays.filter(({ buffer, byteLength }) => byteLength === buffer.byteLength));
}
