/** What a session exchanges with those of other ranks, as commands; none in a world of one. */

import type { MemoryRange } from "../../../gpu/ranks/collective.ts";
import { bytesOf, type Tensor } from "../../../gpu/graph.ts";
import type { Command } from "../../../gpu/runtime.ts";
import type { World } from "../../../mpi/world.ts";
import type { DeviceModel } from "../device_model.ts";
import { addsGradients } from "../gradients.ts";
import type { SessionOptions, SessionPlan, TrainBatch } from "../session_plan.ts";

/** Commands of a session that is one of several. */
export class RankCommands {
  readonly #loaded: DeviceModel;
  readonly #options: SessionOptions;
  readonly #planned: SessionPlan;
  readonly #world: World;

  constructor(
    loaded: DeviceModel,
    { options, planned, world }: { options: SessionOptions; planned: SessionPlan; world: World },
  ) {
    this.#loaded = loaded;
    this.#options = options;
    this.#planned = planned;
    this.#world = world;
  }

  /** What comes behind a batch: the sum of gradients where it completes a step, and of losses where they are watched. */
  endOfBatch(step: number, { completes }: { completes: boolean }): Command[] {
    const { gradients, before, programs: { lastLoss } } = this.#planned;
    if (this.#world.size === 1 || !completes && before === null) return [];
    const summed = [...completes ? [gradients!] : [], ...before === null ? [] : [lastLoss]];
    return [{
      do: "sum",
      ranges: summed.map((one) => this.#range(one)),
      what: `the gradients of step ${step}`,
    }];
  }

  /** What comes behind an update: the first rank's weights where the same sums may give others. */
  endOfUpdate(step: number): Command[] {
    return this.#drifts ? [this.#sharing([this.#planned.parameters], `the weights of step ${step}`)] : [];
  }

  /** Before an evaluation: running statistics are those of the first rank, and so are weights that may differ. */
  align(): Command[] {
    if (this.#world.size === 1) return [];
    const { parameters, statistics } = this.#planned;
    return [this.#sharing([statistics, ...this.#drifts ? [parameters] : []], "the evaluation")];
  }

  /** Brings a sum of gradients under way to the first rank. */
  collect(): Command[] {
    if (this.#world.size === 1) return [];
    const sum: Command = {
      do: "sum",
      ranges: [this.#range(this.#planned.gradients!)],
      what: "the gradients of a state",
    };
    return [sum, ...this.ofFirstAlone()];
  }

  /** A sum of gradients under way counts on the first rank alone. */
  ofFirstAlone(): Command[] {
    return this.#world.rank > 0 ? [this.#zero(this.#planned.gradients!)] : [];
  }

  /** In place of a batch of which this rank has no clip. */
  withoutClips(): Command[] {
    const { gradients, before, programs: { lastLoss } } = this.#planned;
    return [
      ...addsGradients(this.#options) ? [] : [this.#zero(gradients!)],
      ...before === null ? [] : [this.#zero(lastLoss)],
    ];
  }

  /** Around the outputs of a batch, of which each rank has its own rows: first nothing is there, then the sum is all of them. */
  gathering(
    batch: TrainBatch,
    tensors: Iterable<Tensor>,
  ): { clear: Command[]; sum: (what: string) => Command[] } {
    if (!batch.whole) return { clear: [], sum: () => [] };
    const ranges = [...tensors].map((tensor) => this.#range(tensor));
    return {
      clear: ranges.map((at): Command => ({ do: "clear", at, bytes: at.bytes })),
      sum: (what) => [{ do: "sum", ranges, what }],
    };
  }

  get #drifts(): boolean {
    return this.#options.ranks?.mixed ?? false;
  }

  #sharing(tensors: readonly Tensor[], what: string): Command {
    const ranges = tensors.map((tensor) => this.#range(tensor)).filter(({ bytes }) => bytes > 0);
    return { do: "broadcast", ranges, what };
  }

  #zero(tensor: Tensor): Command {
    return { do: "clear", at: this.#loaded.addressOf(tensor), bytes: bytesOf(tensor) };
  }

  #range(tensor: Tensor): MemoryRange {
    return { ...this.#loaded.addressOf(tensor), bytes: bytesOf(tensor) };
  }
}

/** Places of clips in the whole batch, from those in this rank's. */
export function placesOf(part: readonly number[], { whole }: Pick<TrainBatch, "whole">): readonly number[] {
  return whole ? part.map((place) => whole.places[place]) : part;
}
