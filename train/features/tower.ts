/**
 * The frozen tower alone on a GPU, for extraction: decoded frames in, what training would otherwise compute anew every epoch
 * out. It lives in the GPU's Worker like a session.
 */

import type { Gpu } from "../../gpu/device.ts";
import { Arena, Program, Residency } from "../../gpu/executor.ts";
import { createFramePrep, type FrameClip, type FramePrep, framePrepBytes } from "../../gpu/frames.ts";
import { bytesOf, Graph, resident, sizeOf, type Tensor } from "../../gpu/graph.ts";
import { align, type Plan, planGraph, TooLargeError } from "../../gpu/plan.ts";
import { PipelineCache } from "../../gpu/shader.ts";
import { WeightStream } from "../../gpu/stream.ts";
import { AdapterError } from "../../lib/errors.ts";
import { toHalfArray } from "../../lib/half.ts";
import { CLIP_STATISTICS } from "../../pixels/normalise.ts";
import { createPrng } from "../../lib/random.ts";
import { picturesOf, type VideoModel } from "../../models/video_model.ts";
import { prepareFrames } from "../runtime/frame_upload.ts";
import { formatBytes } from "../../lib/text.ts";
import { alignedBytes } from "../runtime/programs.ts";
import { OutOfMemoryError, prepOptions, type SessionOptions } from "../runtime/session_plan.ts";

const MAP_READ = 0x1, COPY_DST = 0x8;

/** Options of a tower. */
export type TowerOptions =
  & Pick<SessionOptions, "limits" | "streamFrozen" | "augmentation">
  & { largestFrame: { width: number; height: number }; /** Clips of a batch, at most. */ clips: number };

/** What a tower gives of one clip. */
export interface ClipFeatures {
  /** The prepared pictures before normalisation, `[pictures S S 3]`. */
  pixels: Uint8Array<ArrayBuffer>;
  /** Output of each tapped block, `[T N C]`, as the bytes of halves. */
  taps: Uint8Array<ArrayBuffer>[];
}

/** A recorded and planned tower. */
export interface TowerPlan {
  frames: Tensor;
  taps: Tensor[];
  plan: Plan;
  /** Clips of a batch. */
  clips: number;
  /** GPU bytes it allocates. */
  bytes: number;
  /** Host memory of streamed weights. */
  hostBytes: number;
}

/** Records, plans and adds up. Needs no device. */
export function planTower(
  model: VideoModel,
  options: TowerOptions,
  gpu: Pick<Gpu, "environment">,
): TowerPlan {
  const { clips, limits, streamFrozen } = options, size = model.config.backbone.imageSize;
  const g = new Graph();
  const frames = resident("input", "frames", [clips * picturesOf(model), 3, size, size]);
  if (bytesOf(frames) > limits.maxBindingBytes) throw new TooLargeError(frames, limits.maxBindingBytes);
  const taps = model.recordTaps(g, frames);
  taps.forEach((tap, k) => g.output(`tap.${model.tapped[k]}`, tap));
  const plan = planGraph(g, { limits });
  const stream = streamFrozen ? WeightStream.bytesFor(model.weights.blocks()) : { gpu: 0, host: 0 };
  const bytes = stream.gpu + alignedBytes(residentWeights(model, options)) + alignedBytes([frames]) +
    Arena.sizesFor([plan]).reduce((a, b) => a + b, 0) + Program.uniformBytes(gpu, plan) +
    framePrepBytes(prepOptions(model, framesOptions(options))) + alignedBytes([frames, ...taps]);
  return { frames, taps, plan, clips, bytes, hostBytes: stream.host };
}

/**
 * Plans the largest batch, of `options.clips` or half as many and so on, that the adapter can hold.
 *
 * @param options.freeBytes Bytes that the adapter has free; null where nobody can tell.
 * @throws {AdapterError} when it cannot hold one clip.
 */
export function planFittingTower(
  model: VideoModel,
  options: TowerOptions & { freeBytes: number | null },
  gpu: Pick<Gpu, "environment">,
): TowerPlan {
  const { freeBytes, limits, clips } = options;
  let against: string;
  try {
    const planned = planTower(model, options, gpu);
    if (freeBytes === null || planned.bytes <= freeBytes) return planned;
    against = `the plan needs ${formatBytes(planned.bytes)}, the adapter has ${formatBytes(freeBytes)}`;
  } catch (error) {
    if (!(error instanceof TooLargeError)) throw error;
    against = `"${error.tensor.label}" needs ${formatBytes(bytesOf(error.tensor))} in one piece, ` +
      `the adapter allows ${formatBytes(limits.maxBindingBytes)}`;
  }
  if (clips > 1) return planFittingTower(model, { ...options, clips: Math.floor(clips / 2) }, gpu);
  throw new AdapterError(
    `Cannot extract features one clip at a time: ${against}; use precision=f16 or frozen=stream`,
  );
}

/** A tower on a GPU. */
export class Tower {
  readonly model: VideoModel;
  readonly planned: TowerPlan;
  readonly #gpu: Gpu;
  readonly #residency: Residency;
  readonly #program: Program;
  readonly #options: TowerOptions;
  #prep: FramePrep;
  /** Buffers that the results are read back through: the frames, then the taps. */
  readonly #staging: GPUBuffer[];

  /** Allocates and compiles everything. Weights are zeros until they are written. */
  static async open(gpu: Gpu, model: VideoModel, options: TowerOptions, planned: TowerPlan): Promise<Tower> {
    gpu.device.pushErrorScope("out-of-memory");
    const residency = new Residency(gpu), arena = new Arena(gpu), pipelines = new PipelineCache(gpu.device);
    if (options.streamFrozen) residency.stream = new WeightStream(gpu, model.weights.blocks());
    residency.allocate("frozen_weights", residentWeights(model, options));
    residency.allocate("inputs", [planned.frames]);
    arena.allocate([planned.plan]);
    const program = await Program.prepare(gpu, planned.plan, { arena, residency, pipelines });
    const tower = new Tower(gpu, model, options, { planned, residency, program });
    if (await gpu.device.popErrorScope()) throw new OutOfMemoryError(gpu.name, planned.bytes);
    return tower;
  }

  private constructor(
    gpu: Gpu,
    model: VideoModel,
    options: TowerOptions,
    parts: { planned: TowerPlan; residency: Residency; program: Program },
  ) {
    this.model = model;
    this.planned = parts.planned;
    this.#gpu = gpu;
    this.#residency = parts.residency;
    this.#program = parts.program;
    this.#options = { ...options, clips: parts.planned.clips };
    this.#prep = this.#createPrep(options.largestFrame);
    this.#staging = [parts.planned.frames, ...parts.planned.taps].map((tensor) =>
      gpu.memory.create("feature_readback", align(bytesOf(tensor)), MAP_READ | COPY_DST)
    );
  }

  /** Bytes of GPU memory in use. */
  get allocatedBytes(): number {
    return this.#gpu.memory.allocatedBytes;
  }

  /** Draws the frozen weights as a session of this seed does. */
  initialise(seed: number): void {
    for (const { tensor, shape, init, place } of this.model.weights.of("frozen")) {
      this.#residency.write(tensor, init(sizeOf(shape), createPrng(seed, place)));
    }
  }

  /** Writes a frozen weight. */
  write(name: string, values: Float32Array): void {
    this.#residency.write(this.model.weights.get(name)!.tensor, values);
  }

  #createPrep(largestFrame: { width: number; height: number }): FramePrep {
    const options = prepOptions(this.model, framesOptions({ ...this.#options, largestFrame }));
    return createFramePrep(this.#gpu.device, { ...options, memory: this.#gpu.memory });
  }

  /** Makes room for frames larger than those that were looked at before. */
  #fitUploads(clips: readonly FrameClip[]): void {
    const { maxWidth, maxHeight } = this.#prep.options;
    const needed = { width: maxWidth, height: maxHeight };
    for (const { width, height, transform: { resize } } of clips) {
      needed.width = Math.max(needed.width, width, resize?.width ?? 0);
      needed.height = Math.max(needed.height, height, resize?.height ?? 0);
    }
    if (needed.width === maxWidth && needed.height === maxHeight) return;
    this.#prep.destroy();
    this.#prep = this.#createPrep(needed);
  }

  /** Runs the tower on a batch and reads back what it gives. Waits for the GPU. */
  async run(clips: readonly FrameClip[]): Promise<ClipFeatures[]> {
    this.#gpu.assertAlive();
    const { device } = this.#gpu, { frames, taps, clips: most } = this.planned;
    const home = this.#residency.find(frames), tensors = [frames, ...taps];
    this.#fitUploads(clips);
    let encoder = device.createCommandEncoder({ label: "features" });
    prepareFrames({ device, prep: this.#prep }, encoder, clips, home);
    encoder = await this.#program.encode(encoder, "tower");
    const sizes = tensors.map((tensor) => bytesOf(tensor) / most * clips.length);
    tensors.forEach((tensor, i) => {
      const { buffer, offset } = i === 0 ? home : this.#program.locate(tensor);
      encoder.copyBufferToBuffer(buffer, offset, this.#staging[i], 0, Math.ceil(sizes[i] / 4) * 4);
    });
    device.queue.submit([encoder.finish()]);
    await Promise.all(this.#staging.map((staging) => staging.mapAsync(MAP_READ)));
    const ranges = this.#staging.map((staging) => staging.getMappedRange());
    const part = (i: number, clip: number) => {
      const bytes = sizes[i] / clips.length;
      return ranges[i].slice(clip * bytes, (clip + 1) * bytes);
    };
    const features = clips.map((_, clip) => ({
      pixels: pixelsOf(new Float32Array(part(0, clip)), this.model.config.backbone.imageSize),
      taps: taps.map(({ dtype }, k) => {
        const bytes = part(k + 1, clip);
        return new Uint8Array(dtype === "f16" ? bytes : toHalfArray(new Float32Array(bytes)).buffer);
      }),
    }));
    for (const staging of this.#staging) staging.unmap();
    this.#gpu.assertAlive();
    return features;
  }

  [Symbol.dispose](): void {
    this.#gpu[Symbol.dispose]();
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

/** Frozen weights that stay on the GPU. */
function residentWeights(model: VideoModel, { streamFrozen }: Pick<TowerOptions, "streamFrozen">): Tensor[] {
  return model.weights.of("frozen").filter(({ block }) => block === null || !streamFrozen)
    .map(({ tensor }) => tensor);
}

function framesOptions({ clips, largestFrame, augmentation }: TowerOptions) {
  return { trainClips: [], evalClips: clips, largestFrame, augmentation };
}
