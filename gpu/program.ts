/** A lowered program on a device: pipelines, bind groups and uniforms are made once, and a run only encodes the launches. */

import type { Collectives, MemoryRange } from "./ranks/collective.ts";
import type { Gpu } from "./device.ts";
import type { LaunchSpec, ProgramSpec } from "./lower.ts";
import type { StepRecorder } from "./profiling/recorder.ts";
import { numbered, type PipelineCache } from "./shader.ts";
import type { BlockStream } from "./stream.ts";

const UNIFORM = 0x40, COPY_DST = 0x8;

interface Launch {
  label: string;
  pipeline: GPUComputePipeline;
  bindGroup: GPUBindGroup;
  grid: readonly [number, number, number];
  block: number | undefined;
  sumOverRanks: MemoryRange | undefined;
}

/** What a program is made with. */
export interface ProgramParts {
  /** By their numbers in the layout. */
  buffers: readonly GPUBuffer[];
  pipelines: PipelineCache;
  stream: BlockStream | null;
  /** null: there are no other ranks. */
  collectives?: Collectives | null;
}

/** Launches under way: their program's name, and who looks. */
interface Part {
  readonly label: string;
  readonly recorder: StepRecorder | null;
}

/** A program ready to run. */
export class Program {
  readonly #gpu: Gpu;
  readonly #stream: BlockStream | null;
  readonly #launches: readonly Launch[];
  readonly #uniforms: GPUBuffer | null;
  readonly #buffers: readonly GPUBuffer[];
  readonly #collectives: Collectives | null;

  private constructor(gpu: Gpu, parts: ProgramParts & { launches: Launch[]; uniforms: GPUBuffer | null }) {
    this.#gpu = gpu;
    this.#buffers = parts.buffers;
    this.#collectives = parts.collectives ?? null;
    this.#launches = parts.launches;
    this.#uniforms = parts.uniforms;
    this.#stream = parts.stream;
  }

  /**
   * Makes everything a run needs.
   *
   * @throws {Error} with the numbered source when a shader does not compile.
   */
  static async prepare(gpu: Gpu, spec: ProgramSpec, parts: ProgramParts): Promise<Program> {
    const { device } = gpu, { kernels, launches: specs } = spec;
    const bytes = spec.uniforms.length;
    const uniforms = bytes > 0 ? gpu.memory.create("uniforms", bytes, UNIFORM | COPY_DST) : null;
    const launches: Launch[] = [];
    for (const launch of specs) {
      const { label, grid, block, sumOverRanks } = launch, { code, entryPoint } = kernels[launch.kernel];
      device.pushErrorScope("validation");
      const pipeline = parts.pipelines.get(label, code, entryPoint);
      const bindGroup = device.createBindGroup({
        label,
        layout: pipeline.getBindGroupLayout(0),
        entries: entriesOf(launch, uniforms!, parts.buffers),
      });
      const error = await device.popErrorScope();
      if (error) throw new Error(`Cannot prepare ${label}: ${error.message}\n${numbered(code)}`);
      launches.push({ label, pipeline, bindGroup, grid, block, sumOverRanks });
    }
    if (uniforms) device.queue.writeBuffer(uniforms, 0, spec.uniforms);
    return new Program(gpu, { ...parts, launches, uniforms });
  }

  get launchCount(): number {
    return this.#launches.length;
  }

  /**
   * Encodes all launches, in one compute pass; with streamed weights, one pass and one submission a block, each block's weights
   * being copied while the block before it runs.
   *
   * @param recorder Notes when what happened; null: nobody looks.
   * @returns The encoder to go on with: another one when parts had to be submitted.
   */
  async encode(
    encoder: GPUCommandEncoder,
    label = "program",
    recorder: StepRecorder | null = null,
  ): Promise<GPUCommandEncoder> {
    const stream = this.#stream, { queue } = this.#gpu.device;
    const starts = this.#blockStarts(), part = { label, recorder };
    if (!stream || starts.length === 0) {
      return await this.#encodeSummed(encoder, part, 0, this.#launches.length);
    }
    const running: Promise<void>[] = [];
    const upload = (block: number) => {
      const end = recorder?.begin("upload block", stream.bytesOf(block));
      stream.upload(block);
      end?.();
    };
    upload(starts[0].block);
    for (const [i, { at }] of starts.entries()) {
      const end = starts[i + 1]?.at ?? this.#launches.length;
      encoder = await this.#encodeSummed(encoder, part, i === 0 ? 0 : at, end);
      if (i === starts.length - 1) break;
      const submitted = recorder?.begin("submit");
      queue.submit([encoder.finish()]);
      submitted?.();
      encoder = this.#gpu.device.createCommandEncoder({ label });
      // Copies wait in host memory until the GPU takes them: no more than two blocks may wait.
      const waited = recorder?.begin("wait");
      running.push(queue.onSubmittedWorkDone());
      if (i > 0) await running[i - 1];
      waited?.();
      upload(starts[i + 1].block);
    }
    return encoder;
  }

  /** First launch of every streamed block. */
  #blockStarts(): { block: number; at: number }[] {
    const starts: { block: number; at: number }[] = [];
    this.#launches.forEach(({ block, label }, at) => {
      const last = starts.at(-1)?.block ?? -1;
      if (block === undefined || block === last) return;
      if (block < last) {
        throw new Error(
          `Cannot stream weights: ${label} must not come back to block ${block} after block ${last}`,
        );
      }
      starts.push({ block, at });
    });
    return starts;
  }

  /** Encodes launches; where one is followed by a sum over ranks, submits what there is and sums. */
  async #encodeSummed(
    encoder: GPUCommandEncoder,
    part: Part,
    from: number,
    to: number,
  ): Promise<GPUCommandEncoder> {
    const collectives = this.#collectives, { device } = this.#gpu, { label } = part;
    for (let at = from; collectives !== null && at < to; at++) {
      const { sumOverRanks, label: what } = this.#launches[at];
      if (!sumOverRanks) continue;
      this.#encodePart(encoder, part, from, at + 1);
      device.queue.submit([encoder.finish()]);
      await collectives.sum([sumOverRanks], this.#buffers, `the sums of ${what}`);
      encoder = device.createCommandEncoder({ label });
      from = at + 1;
    }
    this.#encodePart(encoder, part, from, to);
    return encoder;
  }

  #encodePart(encoder: GPUCommandEncoder, { label, recorder }: Part, from: number, to: number): void {
    if (from === to) return;
    // Only whole passes can be timed.
    const each = recorder?.timesLaunches ? 1 : to - from;
    for (let at = from; at < to; at += each) {
      const timestampWrites = recorder?.timeLaunch(label, at, this.#launches[at].label);
      const pass = encoder.beginComputePass({ label, timestampWrites });
      this.encodeLaunches(pass, at, at + each);
      pass.end();
    }
  }

  /** Encodes some of the launches into a pass. */
  encodeLaunches(pass: GPUComputePassEncoder, from: number, to: number): void {
    let current: GPUComputePipeline | null = null;
    for (const launch of this.#launches.slice(from, to)) {
      if (launch.pipeline !== current) pass.setPipeline(current = launch.pipeline);
      pass.setBindGroup(0, launch.bindGroup);
      pass.dispatchWorkgroups(...launch.grid);
    }
  }

  /** Encodes and submits one run. */
  async run(): Promise<void> {
    this.#gpu.assertAlive();
    const encoder = await this.encode(this.#gpu.device.createCommandEncoder());
    this.#gpu.device.queue.submit([encoder.finish()]);
  }

  /** Labels of the launches in order, for profiles and tests. */
  labels(): string[] {
    return this.#launches.map((launch) => launch.label);
  }

  [Symbol.dispose](): void {
    if (this.#uniforms) this.#gpu.memory.destroy(this.#uniforms);
  }
}

function entriesOf(
  { params, bindings }: LaunchSpec,
  uniforms: GPUBuffer,
  buffers: readonly GPUBuffer[],
): GPUBindGroupEntry[] {
  return [
    {
      binding: params.binding,
      resource: { buffer: uniforms, offset: params.offset, size: params.bytes },
    },
    ...bindings.map(({ binding, buffer, offset, bytes }) => ({
      binding,
      resource: { buffer: buffers[buffer], offset, size: bytes },
    })),
  ];
}
