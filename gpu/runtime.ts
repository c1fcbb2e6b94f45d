/**
 * A device that holds named programs and the memory they share, driven by plain data: what to allocate, then lists of commands.
 * It knows no model and no task, so it runs on any thread; whoever records the programs may be on another one.
 */

import type { BatchMix } from "../pixels/batch_mix.ts";
import { AdapterError } from "../lib/errors.ts";
import { Collectives, type MemoryRange, type Ranks } from "./ranks/collective.ts";
import type { Gpu } from "./device.ts";
import { createFramePrep, type FrameClip, type FramePrep, type FramePrepOptions } from "./frames.ts";
import { FrameMix } from "./frames/mix.ts";
import type { Address, BufferSpec, StreamSpec } from "./layout.ts";
import { compileKernels } from "./compile.ts";
import type { KernelSpec, ProgramSpec } from "./lower.ts";
import type { KernelEnvironment } from "./op.ts";
import { align, type PlanLimits } from "./plan.ts";
import type { StepRecorder } from "./profiling/recorder.ts";
import { Program } from "./program.ts";
import { PipelineCache } from "./shader.ts";
import { BlockStream } from "./stream.ts";

const STORAGE = 0x80, COPY_SRC = 0x4, COPY_DST = 0x8, MAP_READ = 0x1;

/** What a device says about itself, as plain data. */
export interface DeviceInfo {
  /** One line naming the adapter. */
  readonly name: string;
  readonly environment: KernelEnvironment;
  readonly limits: PlanLimits;
  /** Bytes that the adapter has free; null where nobody can tell. */
  readonly freeBytes: number | null;
}

/** A place that holds finished frames, `[clips T 3 S S]`, with the side and the number of the frames of a clip. */
export interface FrameTarget extends Address {
  readonly bytes: number;
  readonly frames: number;
  readonly size: number;
}

/** All that a device holds. Allocated and compiled once; running it allocates nothing. */
export interface DeviceSetup {
  readonly buffers: readonly BufferSpec[];
  readonly stream: StreamSpec | null;
  readonly programs: Readonly<Record<string, ProgramSpec>>;
  /** Bytes of the buffer that results come back through. */
  readonly readbackBytes: number;
  /** How decoded frames are prepared; null: they are written as finished floats. */
  readonly frames: FramePrepOptions | null;
  /** The frames that are mixed with the batch in reversed order; null: none are. */
  readonly mix: FrameTarget | null;
}

/** One thing for a device to do. */
export type Command =
  | { readonly do: "write"; readonly to: Address; readonly bytes: Uint8Array }
  | { readonly do: "clear"; readonly at: Address; readonly bytes: number }
  | { readonly do: "copy"; readonly from: Address; readonly to: Address; readonly bytes: number }
  /** Uploads decoded frames and prepares them into consecutive places. */
  | { readonly do: "frames"; readonly clips: readonly FrameClip[]; readonly to: Address }
  /** Mixes the first clips of the frames that `DeviceSetup.mix` names. */
  | { readonly do: "mix"; readonly clips: number; readonly mix: BatchMix }
  | { readonly do: "run"; readonly program: string }
  /** Its bytes are among the results. Waits for the GPU: ask for many at once, and not in every step. */
  | { readonly do: "read"; readonly from: Address; readonly bytes: number }
  /** Waits until the GPU has done all that was queued. */
  | { readonly do: "wait" }
  /** Sums memory over ranks, or gives that of the first one to all; nothing where there are no others. Waits for the GPU and for them. */
  | { readonly do: "sum" | "broadcast"; readonly ranges: readonly MemoryRange[]; readonly what: string };

/** The adapter granted less memory than was asked for. */
export class OutOfMemoryError extends AdapterError {
  override name = "OutOfMemoryError";
  constructor(adapter: string, neededBytes: number) {
    super(`Cannot allocate ${neededBytes} bytes on adapter "${adapter}": its memory must be free`);
  }
}

/** Programs on a device. */
export class Runtime {
  readonly #gpu: Gpu;
  #buffers: GPUBuffer[] = [];
  #stream: BlockStream | null = null;
  #staging: GPUBuffer | null = null;
  #prep: FramePrep | null = null;
  #mix: FrameMix | null = null;
  readonly #programs = new Map<string, Program>();
  readonly #collectives: Collectives | null;
  /** Notes what is done, while there is one. */
  recorder: StepRecorder | null = null;
  #lastSubmit: Promise<unknown> = Promise.resolve();

  /** @param ranks The other ranks; null: there are none. */
  constructor(gpu: Gpu, ranks: Ranks | null = null) {
    this.#gpu = gpu;
    this.#collectives = ranks && new Collectives(gpu.device, ranks);
  }

  /** Makes pipelines ahead of `load`, which then finds them there. @throws {Error} when one does not compile */
  compile(kernels: readonly KernelSpec[]): Promise<void> {
    return compileKernels(this.#gpu, kernels);
  }

  /**
   * Allocates everything, and compiles what is not compiled yet. Memory starts as zeros.
   *
   * @returns Bytes allocated.
   * @throws {OutOfMemoryError} when the adapter has not the memory.
   */
  async load(setup: DeviceSetup): Promise<number> {
    const { device, memory } = this.#gpu;
    device.pushErrorScope("out-of-memory");
    this.#buffers = setup.buffers.map(({ label, bytes }) =>
      memory.create(label, bytes, STORAGE | COPY_SRC | COPY_DST)
    );
    const buffers = this.#buffers, pipelines = PipelineCache.of(device), collectives = this.#collectives;
    this.#stream = setup.stream && new BlockStream(device.queue, setup.stream, buffers);
    if (setup.readbackBytes > 0) {
      this.#staging = memory.create("readback", setup.readbackBytes, MAP_READ | COPY_DST);
    }
    if (setup.frames) this.#prep = createFramePrep(device, { ...setup.frames, memory });
    if (setup.mix) {
      const { buffer, offset, bytes, frames, size } = setup.mix;
      this.#mix = new FrameMix(device, {
        target: { buffer: buffers[buffer], offset, size: bytes },
        frames,
        size,
        memory,
      });
    }
    for (const [name, spec] of Object.entries(setup.programs)) {
      this.#programs.set(
        name,
        await Program.prepare(this.#gpu, spec, { buffers, pipelines, stream: this.#stream, collectives }),
      );
    }
    const allocated = memory.allocatedBytes;
    if (await device.popErrorScope()) throw new OutOfMemoryError(this.#gpu.name, allocated);
    return allocated;
  }

  /**
   * Makes the preparation of frames anew for others than it was made for. This is the one allocation after `load`.
   *
   * @returns Bytes allocated now.
   */
  setFrames(options: FramePrepOptions): number {
    this.#prep?.destroy();
    this.#prep = createFramePrep(this.#gpu.device, { ...options, memory: this.#gpu.memory });
    return this.#gpu.memory.allocatedBytes;
  }

  /**
   * Does the commands in order.
   *
   * @returns The bytes of its reads, in order.
   */
  submit(commands: readonly Command[]): Promise<Uint8Array<ArrayBuffer>[]> {
    if (this.#collectives === null) return this.#submit(commands);
    // Exchanges wait in the midst of a submission: the next one must not overtake it.
    const done = this.#lastSubmit.then(() => this.#submit(commands));
    this.#lastSubmit = done.catch(() => {});
    return done;
  }

  async #submit(commands: readonly Command[]): Promise<Uint8Array<ArrayBuffer>[]> {
    this.#gpu.assertAlive();
    const { device } = this.#gpu, { queue } = device;
    let encoder: GPUCommandEncoder | null = null;
    const open = () => encoder ??= device.createCommandEncoder({ label: "commands" });
    const { recorder } = this;
    const flush = () => {
      if (!encoder) return;
      const end = recorder?.begin("submit");
      queue.submit([encoder.finish()]);
      end?.();
      encoder = null;
    };
    const reads = this.#placeReads(commands);
    let read = 0;
    for (const command of commands) {
      const end = recorder?.begin(...describeCommand(command));
      switch (command.do) {
        case "write":
          // The queue writes before what is only encoded so far.
          flush();
          this.#write(command.to, command.bytes);
          break;
        case "clear":
          open().clearBuffer(this.#buffers[command.at.buffer], command.at.offset, command.bytes);
          break;
        case "copy":
          this.#copy(open(), command);
          break;
        case "frames":
          encoder = this.#prepareFrames(open(), command);
          break;
        case "mix":
          this.#mix!.encode(open(), command.clips, command.mix);
          break;
        case "run":
          encoder = await this.program(command.program).encode(open(), command.program, recorder);
          break;
        case "read": {
          const { buffer, offset } = command.from;
          open().copyBufferToBuffer(
            this.#buffers[buffer],
            offset,
            reads.staging!,
            reads.starts[read++],
            wholeWords(command.bytes),
          );
          break;
        }
        case "wait":
          flush();
          await queue.onSubmittedWorkDone();
          break;
        case "sum":
        case "broadcast":
          flush();
          await this.#collectives?.[command.do](command.ranges, this.#buffers, command.what);
          break;
      }
      end?.();
    }
    flush();
    const taken = reads.staging ? recorder?.begin("wait") : undefined;
    const results = reads.staging ? await this.#take(reads, commands) : [];
    taken?.();
    this.#gpu.assertAlive();
    return results;
  }

  /** A program by its name, for profiles. */
  program(name: string): Program {
    const program = this.#programs.get(name);
    if (program) return program;
    const names = [...this.#programs.keys()].join(", ") || "none";
    throw new RangeError(`Cannot run program "${name}": it must be one of those loaded (${names})`);
  }

  /** Waits for the GPU and frees all memory. The device itself stays open. */
  async unload(): Promise<void> {
    await this.#gpu.device.queue.onSubmittedWorkDone();
    this.#collectives?.[Symbol.dispose]();
    this.#gpu.memory[Symbol.dispose]();
    this.#programs.clear();
    this.#buffers = [];
  }

  #write({ buffer, offset, block }: Address, bytes: Uint8Array): void {
    if (block !== undefined) return this.#stream!.store(block, offset, bytes);
    this.#gpu.device.queue.writeBuffer(this.#buffers[buffer], offset, bytes as Uint8Array<ArrayBuffer>);
  }

  #copy(
    encoder: GPUCommandEncoder,
    { from, to, bytes }: { from: Address; to: Address; bytes: number },
  ): void {
    encoder.copyBufferToBuffer(
      this.#buffers[from.buffer],
      from.offset,
      this.#buffers[to.buffer],
      to.offset,
      bytes,
    );
  }

  /** What does not fit the upload buffers with the last part is submitted first. */
  #prepareFrames(
    encoder: GPUCommandEncoder,
    { clips, to }: { clips: readonly FrameClip[]; to: Address },
  ): GPUCommandEncoder {
    const { device } = this.#gpu, prep = this.#prep!, most = prep.options.clips;
    for (let first = 0; first < clips.length; first += most) {
      const offset = to.offset + first * prep.clipBytes;
      prep.encode(encoder, clips.slice(first, first + most), { buffer: this.#buffers[to.buffer], offset });
      if (first + most >= clips.length) break;
      device.queue.submit([encoder.finish()]);
      encoder = device.createCommandEncoder({ label: "frames" });
    }
    return encoder;
  }

  /** Where each read comes back; what does not fit the buffer for it gets one of its own. */
  #placeReads(commands: readonly Command[]): { staging: GPUBuffer | null; starts: number[] } {
    const starts: number[] = [];
    let total = 0;
    for (const command of commands) {
      if (command.do !== "read") continue;
      starts.push(total);
      total += align(command.bytes);
    }
    if (starts.length === 0) return { staging: null, starts };
    if (this.#staging && total <= this.#staging.size) return { staging: this.#staging, starts };
    const usage = MAP_READ | COPY_DST;
    return { staging: this.#gpu.device.createBuffer({ label: "readback", size: total, usage }), starts };
  }

  async #take(
    { staging, starts }: { staging: GPUBuffer | null; starts: readonly number[] },
    commands: readonly Command[],
  ): Promise<Uint8Array<ArrayBuffer>[]> {
    const sizes = commands.flatMap((command) => (command.do === "read" ? [command.bytes] : []));
    await staging!.mapAsync(MAP_READ);
    const bytes = staging!.getMappedRange();
    const results = sizes.map((size, i) => new Uint8Array(bytes.slice(starts[i], starts[i] + size)));
    staging!.unmap();
    if (staging !== this.#staging) staging!.destroy();
    return results;
  }
}

/** What a command is called in a recording, and the bytes that it hands to the queue. */
function describeCommand(command: Command): [what: string, bytes?: number] {
  switch (command.do) {
    case "run":
      return [`encode ${command.program}`];
    case "write":
      return ["write", command.bytes.length];
    case "wait":
      return ["wait"];
    case "sum":
    case "broadcast":
      return ["wait for ranks"];
    default:
      return [`encode ${command.do}`];
  }
}

/** Copies take whole words. */
function wholeWords(bytes: number): number {
  return Math.ceil(bytes / 4) * 4;
}
