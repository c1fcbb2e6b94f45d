/** What a model in evaluation mode gives: the collected outputs of clips, and its queries. Both wait for the GPU. */

import { bytesOf, type Tensor } from "../../gpu/graph.ts";
import type { Command } from "../../gpu/runtime.ts";
import { type BatchCommands, tapMemory } from "./batch_commands.ts";
import type { DeviceModel } from "./device_model.ts";
import type { InputValues } from "./objective.ts";
import { bytesOfClips } from "./programs.ts";
import { PROGRAMS, type SessionClip, type SessionOptions, type SessionPlan } from "./session_plan.ts";

/** Outputs by name, row-major. */
type Outputs = Record<string, Float32Array>;

/** Answers of a loaded model. */
export class Answers {
  readonly #loaded: DeviceModel;
  readonly #planned: SessionPlan;
  readonly #options: Pick<SessionOptions, "collects" | "evalClips">;
  readonly #commands: BatchCommands;

  constructor(
    loaded: DeviceModel,
    { planned, options, commands }: {
      planned: SessionPlan;
      options: Pick<SessionOptions, "collects" | "evalClips">;
      commands: BatchCommands;
    },
  ) {
    this.#loaded = loaded;
    this.#planned = planned;
    this.#options = options;
    this.#commands = commands;
  }

  /**
   * What the model gives for clips: the collected outputs by name, `[clips …]`. Stored taps are given away.
   *
   * @param inputs What the clips bring besides frames, where the model reads it.
   */
  async evaluate(
    clips: readonly SessionClip[],
    inputs: Readonly<Record<string, InputValues>> = {},
  ): Promise<Outputs> {
    await this.#loaded.fitUploads(clips);
    const commands = [
      ...Object.entries(inputs).map(([name, values]) =>
        this.#commands.write(this.#commands.input(name), values)
      ),
      ...this.#commands.frames(clips),
    ];
    return await this.#evaluate(commands, clips.length, tapMemory(clips));
  }

  /** `evaluate` on frames that are floats already, `[clips*T 3 H W]`. */
  evaluateFrames(frames: Float32Array, clips: number): Promise<Outputs> {
    return this.#evaluate([this.#commands.write(this.#planned.programs.frames, frames)], clips, []);
  }

  async #evaluate(commands: Command[], clips: number, given: ArrayBuffer[]): Promise<Outputs> {
    const { evaluation: { g } } = this.#planned.programs, { collects, evalClips } = this.#options;
    const outputs = collects.map((name) => [name, g.outputs.get(name)!] as const);
    return await this.#run(PROGRAMS.evaluation, {
      commands,
      outputs,
      given,
      bytes: (tensor) => bytesOfClips(tensor, clips, evalClips),
    });
  }

  /**
   * Asks one of the session's queries.
   *
   * @param values Inputs by name; those left out keep what they were given before.
   */
  async ask(name: string, values: Readonly<Record<string, InputValues>>): Promise<Outputs> {
    const query = this.#planned.programs.queries.get(name);
    if (!query) throw new RangeError(`Cannot ask "${name}": the session has no such query`);
    const commands: Command[] = Object.entries(values).map(([input, given]) =>
      this.#loaded.writeCommand(query.inputs[input], given)
    );
    return await this.#run(PROGRAMS.query(name), {
      commands,
      outputs: [...query.g.outputs],
      given: [],
      bytes: bytesOf,
    });
  }

  /** Runs a program behind what loads it, and reads its outputs. @param options.bytes How much of each. */
  async #run(
    program: string,
    { commands, outputs, given, bytes }: {
      commands: Command[];
      outputs: readonly (readonly [string, Tensor])[];
      given: ArrayBuffer[];
      bytes: (tensor: Tensor) => number;
    },
  ): Promise<Outputs> {
    const reads = outputs.map(([, tensor]): Command => ({
      do: "read",
      from: this.#loaded.addressOf(tensor, program),
      bytes: bytes(tensor),
    }));
    const results = await this.#loaded.device.submit(
      [...commands, { do: "run", program }, ...reads],
      given,
    );
    return Object.fromEntries(outputs.map(([name], i) => [name, new Float32Array(results[i].buffer)]));
  }
}
