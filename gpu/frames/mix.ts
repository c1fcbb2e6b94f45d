/** Mixup and CutMix on prepared clips, in place. The definition is `mixClips` in `data/transforms/mixup.ts`. */
import mixSource from "./mix.wgsl" with { type: "text" };
import type { BatchMix } from "../../pixels/batch_mix.ts";
import type { MemoryLedger } from "../device.ts";
import { packParams } from "../shader.ts";
import { createGroup, createKernel, type Kernel, pictureGrid } from "./kernel.ts";

/** GPU bytes that a mixer allocates. */
export const FRAME_MIX_BYTES = 256;

/** Mixes f32 batches `[clips T 3 S S]` that begin at a place in a buffer. */
export class FrameMix {
  readonly #device: GPUDevice;
  readonly #params: GPUBuffer;
  readonly #kernel: Kernel;
  readonly #group: GPUBindGroup;
  readonly #shape: { size: number; frames: number };

  /** @param options.target Where batches are, a multiple of 256 bytes from the buffer's start, up to the end of the largest. */
  constructor(
    device: GPUDevice,
    options: {
      target: { buffer: GPUBuffer; offset: number; size: number };
      size: number;
      frames: number;
      memory: Pick<MemoryLedger, "create">;
    },
  ) {
    const { target, memory, size, frames } = options;
    this.#device = device;
    this.#shape = { size, frames };
    this.#params = memory.create(
      "frames.mix",
      FRAME_MIX_BYTES,
      GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    );
    this.#kernel = createKernel(device, "frames.mix", {
      source: mixSource,
      bindings: [["uniform", "storage"]],
    });
    this.#group = createGroup(device, this.#kernel, {
      group: 0,
      buffers: [{ buffer: this.#params, size: FRAME_MIX_BYTES }, target],
    });
  }

  /** Records the mix of the first `clips` clips; submit it before the next call. */
  encode(encoder: GPUCommandEncoder, clips: number, mix: BatchMix): void {
    const pairs = Math.floor(clips / 2);
    if (pairs === 0) return;
    const { size, frames } = this.#shape, planes = frames * 3;
    const box = mix.kind === "cutMix" ? mix.box : { x: 0, y: 0, width: 0, height: 0 };
    const params = packParams(this.#kernel.label, this.#kernel.source, {
      size,
      planes,
      clips,
      weight: mix.weight,
      rest: 1 - mix.weight,
      cut: mix.kind === "cutMix" ? 1 : 0,
      left: box.x,
      top: box.y,
      right: box.x + box.width,
      bottom: box.y + box.height,
    });
    this.#device.queue.writeBuffer(this.#params, 0, params);
    const pass = encoder.beginComputePass({ label: "mix" });
    pass.setPipeline(this.#kernel.pipeline);
    pass.setBindGroup(0, this.#group, [0]);
    pass.dispatchWorkgroups(...pictureGrid(size, size, pairs * planes));
    pass.end();
  }
}
