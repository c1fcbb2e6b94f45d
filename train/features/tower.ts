/**
 * The frozen tower alone on a GPU, for extraction: decoded frames in, what training would otherwise compute anew every epoch
 * out.
 */

import type { TellStage } from "../../lib/stage.ts";
import type { FrameClip, FramePrepOptions } from "../../gpu/frames.ts";
import { bytesOf, Graph, resident, type Tensor } from "../../gpu/graph.ts";
import { Layout } from "../../gpu/layout.ts";
import { uniformBytes } from "../../gpu/lower.ts";
import type { KernelEnvironment } from "../../gpu/op.ts";
import { align, type Plan, planGraph, type PlanLimits, TooLargeError } from "../../gpu/plan.ts";
import type { Command } from "../../gpu/runtime.ts";
import { AdapterError } from "../../lib/errors.ts";
import { toHalfArray } from "../../lib/half.ts";
import { CLIP_STATISTICS } from "../../pixels/normalise.ts";
import { picturesOf, type VideoModel } from "../../models/video_model.ts";
import type { Device } from "../runtime/device/device.ts";
import type { PictureForm } from "./pictures.ts";
import { DeviceModel, frameOf } from "../runtime/device_model.ts";
import { describeLimit, obstacleTo } from "../runtime/fit.ts";
import {
  checkedPrepBytes,
  expectedPrep,
  type FrameOptions,
  type FrameSize,
} from "../runtime/frame_buffers.ts";
import { compilingStage, type HalvesNeed, requireHalves } from "../runtime/open_session.ts";
import { chooseKernels } from "../runtime/device/choose_kernels.ts";
import { RemoteDevice } from "../runtime/device/remote_device.ts";
import type { TunedChoices } from "../runtime/device/tuned.ts";

/** Options of a tower. */
export interface TowerOptions extends FrameOptions {
  readonly limits: PlanLimits;
  /** Keep frozen blocks in host memory and bring each to the GPU while the one before it runs. */
  readonly streamFrozen?: boolean;
  /** How pictures are given back. Default "U8". */
  readonly form?: PictureForm;
}

/** What a tower gives of one clip. */
export interface ClipFeatures {
  /** The prepared pictures before normalisation, `[pictures S S 3]`; of a tower whose form is F32 the bytes of `[pictures 3 S S]`. */
  pixels: Uint8Array<ArrayBuffer>;
  /** Output of each tapped block, `[T N C]`, as the bytes of halves. */
  taps: Uint8Array<ArrayBuffer>[];
}

/** A recorded and planned tower. */
export interface TowerPlan {
  frames: Tensor;
  taps: Tensor[];
  plan: Plan;
  layout: Layout;
  /** How decoded frames are prepared. */
  prep: FramePrepOptions;
  readbackBytes: number;
  /** Clips of a batch. */
  clips: number;
  form: PictureForm;
  /** GPU bytes it allocates. */
  bytes: number;
  /** Host memory of streamed weights. */
  hostBytes: number;
}

const PROGRAM = "tower";

/** Records, plans and adds up. Needs no device. */
export function planTower(
  model: VideoModel,
  options: TowerOptions,
  environment: KernelEnvironment,
): TowerPlan {
  const { clips, limits, streamFrozen } = options, size = model.config.backbone.imageSize;
  const prep = expectedPrep(model, options, limits), prepBytes = checkedPrepBytes(prep, limits);
  const g = new Graph();
  const frames = resident("input", "frames", [clips * picturesOf(model), 3, size, size]);
  const taps = model.recordTaps(g, frames);
  taps.forEach((tap, k) => g.output(`tap.${model.tapped[k]}`, tap));
  const plan = planGraph(g, { limits }), layout = new Layout(limits);
  const frozen = model.weights.of("frozen"), blocks = streamFrozen ? model.weights.blocks() : [];
  if (blocks.length > 0) layout.streamBlocks("frozen_weights", blocks);
  layout.allocate(
    "frozen_weights",
    frozen.filter(({ block }) => block === null || !streamFrozen).map(({ tensor }) => tensor),
  );
  layout.allocate("inputs", [frames]);
  layout.allocateArena([plan]);
  const readbackBytes = [frames, ...taps].reduce((sum, tensor) => sum + align(bytesOf(tensor)), 0);
  return {
    frames,
    taps,
    plan,
    layout,
    prep,
    readbackBytes,
    clips,
    form: options.form ?? "U8",
    bytes: layout.bytesOf() + uniformBytes(environment, plan) + prepBytes + readbackBytes,
    hostBytes: layout.stream?.blockBytes.reduce((a, b) => a + b, 0) ?? 0,
  };
}

/**
 * Plans the largest batch, of `options.clips` or half as many and so on, that the adapter can hold.
 *
 * @param fit.freeBytes Bytes that the adapter has free; null where nobody can tell.
 * @throws {AdapterError} when it cannot hold one clip.
 */
export function planFittingTower(
  model: VideoModel,
  options: TowerOptions,
  fit: { environment: KernelEnvironment; freeBytes: number | null },
): TowerPlan {
  let against: string;
  try {
    const planned = planTower(model, options, fit.environment);
    const obstacle = obstacleTo({ total: planned.bytes }, fit.freeBytes);
    if (obstacle === null) return planned;
    against = obstacle;
  } catch (error) {
    if (!(error instanceof TooLargeError)) throw error;
    against = describeLimit(error);
  }
  const { clips } = options;
  if (clips > 1) return planFittingTower(model, { ...options, clips: Math.floor(clips / 2) }, fit);
  throw new AdapterError(
    `Cannot extract features one clip at a time: ${against}; use precision=f16 or frozen=stream`,
  );
}

/**
 * Opens a tower in a Worker of its own.
 *
 * @throws {AdapterError} when there is no adapter, or it cannot hold one clip.
 */
export async function openTower(
  model: VideoModel,
  options: Omit<TowerOptions, "limits">,
  more: { halves: HalvesNeed | null; choices?: TunedChoices; stage?: TellStage },
): Promise<Tower> {
  const { choices, stage } = more;
  const device = await RemoteDevice.open({ choices: choices?.known, onCompile: compilingStage(stage) });
  try {
    requireHalves(device, more.halves);
    const planned = planFittingTower(model, { ...options, limits: device.info.limits }, device.info);
    await chooseKernels(device, [planned.plan], { choices, stage });
    return await Tower.open(device, model, planned);
  } catch (error) {
    await device[Symbol.asyncDispose]();
    throw error;
  }
}

/** A tower on a device. Closing it frees the device. Use with `await using`. */
export class Tower implements AsyncDisposable {
  readonly model: VideoModel;
  readonly planned: TowerPlan;
  readonly #loaded: DeviceModel;

  /** Allocates and compiles everything. Weights are zeros until they are written. */
  static async open(device: Device, model: VideoModel, planned: TowerPlan): Promise<Tower> {
    const { layout, plan, readbackBytes, prep: frames } = planned;
    const parts = { layout, plans: { [PROGRAM]: plan }, readbackBytes, frames };
    return new Tower(await DeviceModel.load(device, model, parts), planned);
  }

  private constructor(loaded: DeviceModel, planned: TowerPlan) {
    this.model = loaded.model;
    this.planned = planned;
    this.#loaded = loaded;
  }

  /** One line naming the adapter. */
  get adapter(): string {
    return this.#loaded.device.info.name;
  }

  /** Bytes of GPU memory in use. */
  get allocatedBytes(): number {
    return this.#loaded.allocatedBytes;
  }

  /** The largest frame that it can take. */
  get frameRoom(): FrameSize | null {
    return this.#loaded.frameRoom;
  }

  /** Clips of a batch, at most: as many as asked for, or as the adapter can hold. */
  get clips(): number {
    return this.planned.clips;
  }

  /** Draws the frozen weights as a session of this seed does. */
  initialise(seed: number): Promise<void> {
    return this.#loaded.initialise(seed, ["frozen"]);
  }

  /** Writes a frozen weight. The values are given away. */
  write(name: string, values: Float32Array): Promise<void> {
    return this.#loaded.write(this.model.weights.get(name)!.tensor, values);
  }

  /** Runs the tower on a batch and reads back what it gives. Waits for the GPU. */
  async run(clips: readonly FrameClip[]): Promise<ClipFeatures[]> {
    const { frames, taps, clips: most, form } = this.planned, size = this.model.config.backbone.imageSize;
    await this.#loaded.fitUploads(clips);
    const home = this.#loaded.addressOf(frames);
    const read = (tensor: Tensor): Command => ({
      do: "read",
      from: this.#loaded.addressOf(tensor, PROGRAM),
      bytes: bytesOf(tensor) / most * clips.length,
    });
    const [planes, ...outputs] = await this.#loaded.device.submit([
      { do: "frames", clips: clips.map(frameOf), to: home },
      { do: "run", program: PROGRAM },
      ...[frames, ...taps].map(read),
    ]);
    const part = ({ buffer, length }: Uint8Array<ArrayBuffer>, clip: number) =>
      buffer.slice(clip * length / clips.length, (clip + 1) * length / clips.length);
    return clips.map((_, clip) => ({
      pixels: form === "F32"
        ? new Uint8Array(part(planes, clip))
        : pixelsOf(new Float32Array(part(planes, clip)), size),
      taps: taps.map(({ dtype }, k) => {
        const bytes = part(outputs[k], clip);
        return new Uint8Array(dtype === "f16" ? bytes : toHalfArray(new Float32Array(bytes)).buffer);
      }),
    }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#loaded.device[Symbol.asyncDispose]();
  }
}

/**
 * The 8-bit pictures that normalised planes were made of: `[F 3 S S]` to `[F S S 3]`. Exact, because neighbouring levels lie
 * some ten thousand roundings apart.
 */
export function pixelsOf(planes: Float32Array, size: number): Uint8Array<ArrayBuffer> {
  const { mean, std } = CLIP_STATISTICS, area = size * size;
  const pixels = new Uint8Array(planes.length);
  for (let picture = 0; picture < planes.length; picture += 3 * area) {
    for (let channel = 0; channel < 3; channel++) {
      const from = picture + channel * area, scale = 255 * std[channel], shift = 255 * mean[channel];
      for (let i = 0; i < area; i++) {
        pixels[picture + 3 * i + channel] = Math.round(planes[from + i] * scale + shift);
      }
    }
  }
  return pixels;
}
