/** A batch on its way to the device: what it brings, its frames and its stored taps, as commands. */

import { bytesOf, DTYPE_BYTES, type Tensor } from "../../gpu/graph.ts";
import type { Command } from "../../gpu/runtime.ts";
import { picturesOf, tapShape } from "../../models/video_model.ts";
import { type DeviceModel, frameOf, memoryOf } from "./device_model.ts";
import type { InputValues } from "./objective.ts";
import { bytesOfClips, type RecordedPrograms } from "./programs.ts";
import type { SessionClip } from "./session_plan.ts";

/** Makes the commands that load a batch, or a part of one, into a session's inputs. */
export class BatchCommands {
  readonly #loaded: DeviceModel;
  readonly #programs: Pick<RecordedPrograms, "frames" | "inputs" | "taps">;

  constructor(loaded: DeviceModel, programs: Pick<RecordedPrograms, "frames" | "inputs" | "taps">) {
    this.#loaded = loaded;
    this.#programs = programs;
  }

  /** Writes what a batch brings; everything that was declared must be there. */
  inputs(values: Readonly<Record<string, InputValues>>, clips: number): Command[] {
    const { inputs, frames } = this.#programs, most = frames.shape[0] / picturesOf(this.#loaded.model);
    for (const name of Object.keys(values)) this.input(name);
    return Object.entries(inputs).map(([name, tensor]) => {
      const expected = bytesOfClips(tensor, clips, most) / DTYPE_BYTES[tensor.dtype],
        given = values[name]?.length ?? 0;
      if (given !== expected) {
        throw new RangeError(
          `Cannot train on a batch: input "${name}" must have ${expected} values, current number is ${given}`,
        );
      }
      return this.write(tensor, values[name]);
    });
  }

  /** An input by name. */
  input(name: string): Tensor {
    const tensor = this.#programs.inputs[name];
    if (tensor) return tensor;
    throw new RangeError(`Cannot use a batch: it brings "${name}", which is none of the session's inputs`);
  }

  /** Writes the leading values of a resident tensor. */
  write(tensor: Tensor, values: InputValues): Command {
    const bytes = new Uint8Array(values.buffer as ArrayBuffer, values.byteOffset, values.byteLength);
    return { do: "write", to: this.#loaded.addressOf(tensor), bytes };
  }

  /** Uploads frames, decoded or prepared, and taps where they are stored. */
  frames(clips: readonly SessionClip[]): Command[] {
    const { frames } = this.#programs;
    return [
      ...clips.flatMap((clip, place) => this.#taps(clip, place)),
      ...clips.some(({ planes }) => planes)
        ? clips.map((clip, place) => this.#placed(clip, place))
        : [{ do: "frames", clips: clips.map(frameOf), to: this.#loaded.addressOf(frames) } as const],
    ];
  }

  /** Writes the prepared frames of one clip, or prepares its decoded ones. */
  #placed(clip: SessionClip, place: number): Command {
    const { frames } = this.#programs;
    const clipBytes = bytesOf(frames) / frames.shape[0] * picturesOf(this.#loaded.model);
    const to = shifted(this.#loaded.addressOf(frames), place * clipBytes);
    const { planes: bytes } = clip;
    if (!bytes) return { do: "frames", clips: [frameOf(clip)], to };
    if (bytes.length === clipBytes) return { do: "write", to, bytes };
    throw new RangeError(
      `Cannot use a clip: its prepared frames must have ${clipBytes} bytes, current length is ${bytes.length}`,
    );
  }

  /** @throws {RangeError} when the clip has more, fewer or other taps than the model reads. */
  #taps({ taps: given = [] }: SessionClip, place: number): Command[] {
    const { taps } = this.#programs, [rows] = tapShape(this.#loaded.model, 1);
    if (given.length !== taps.length) {
      throw new RangeError(
        `Cannot use a clip: it must come with ${taps.length} taps, current number is ${given.length}`,
      );
    }
    return taps.map((tap, k) => {
      const clipBytes = bytesOf(tap) / tap.shape[0] * rows;
      if (given[k].length !== clipBytes) {
        throw new RangeError(
          `Cannot use a clip: "${tap.label}" must have ${clipBytes} bytes, current length is ${
            given[k].length
          }`,
        );
      }
      return { do: "write", to: shifted(this.#loaded.addressOf(tap), place * clipBytes), bytes: given[k] };
    });
  }
}

/** A place so many bytes behind another. */
export function shifted<A extends { offset: number }>(address: A, bytes: number): A {
  return { ...address, offset: address.offset + bytes };
}

/** The memory of stored taps and frames: moved to a Worker, because a copy of them would cost more than the step's other data. */
export function tapMemory(clips: readonly SessionClip[]): ArrayBuffer[] {
  return memoryOf(clips.flatMap(({ taps = [], planes }) => planes ? [...taps, planes] : taps));
}
