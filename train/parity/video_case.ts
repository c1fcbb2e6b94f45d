/** Replays a recorded case of a system: eval and train forward, gradients, statistics and three optimiser steps. */

import type { Gpu } from "../../gpu/device.ts";
import { createModel } from "../../models/mod.ts";
import { isIgnored } from "../../models/params.ts";
import type { CaseForm, System } from "../../models/system.ts";
import type { VideoModel } from "../../models/video_model.ts";
import { DataError } from "../../lib/errors.ts";
import { LocalDevice } from "../runtime/device/device.ts";
import { Session } from "../runtime/session.ts";
import type { InputValues } from "../runtime/objective.ts";
import { ADAMW, ratesOf } from "../runtime/update_rules.ts";
import { taskOf } from "../tasks/registry.ts";
import type { Task, TaskRecipe } from "../tasks/task.ts";
import type { ReferenceCase } from "./case.ts";
import { compareGroup, type GroupResult, type Pair } from "./compare.ts";

const OUTPUT_TOLERANCE = 1e-4, GRADIENT_TOLERANCE = 1e-3;
/** Recorded optimiser steps. */
const STEPS = 3;
/** Weights move by about lr a step whatever the gradient; this share of it is the room for rounding in Adam's quotient. */
const STEP_SHARE = 0.1;
/** Room around a recorded gradient that is itself noisy: its error, ours of the same kind, and a margin. */
const NOISE_FACTOR = 3;
/** Gradients below this share of their tensor's largest are rounding noise: recorded ones differ by more from f64. */
const NOISE_SHARE = 1e-5;
/**
 * Error of a gradient after the first step, as a share of its tensor's largest: rounding and the noise steps of other
 * weights. (Two PyTorch runs of one case in f32 differed by 1e-3 in the second step; measured on a CPU, 2026-11.)
 */
const LATER_NOISE_SHARE = 3e-4;
/**
 * How far logits after the steps may be from the recorded ones, in units of the recorded f32-against-f64 error. That error
 * is itself one draw of the noise that Adam makes of zero gradients: of six EVA cases one was 4.4 times as far.
 */
const AFTER_FACTOR = 10;

/** A case and whose it is. */
interface CaseParts {
  reference: ReferenceCase;
  system: System;
  form: CaseForm<object>;
  task: Task;
}

/** Replays the case and compares every group it holds. */
export async function replayVideoCase(
  gpu: Gpu,
  reference: ReferenceCase,
  options: { system: System; form: CaseForm<object>; recompute: boolean },
): Promise<GroupResult[]> {
  const { system, form } = options, task = taskOf(system.task);
  const { config, case: label } = reference.description, { batch, optimizer } = config;
  const model = createModel({ system: system.id, sizes: form.sizes(config, label), backboneDtype: "f32" });
  const device = new LocalDevice(gpu), { limits } = device.info;
  const rates = { rule: ADAMW, options: { betas: optimizer.betas, eps: 1e-8 }, groups: form.groups(config) };
  const { mixes: _, ...training } = task.training(recipeOfCase(config));
  try {
    const session = await Session.open(device, model, {
      ...training,
      optimizer: rates,
      collects: task.collects,
      leftAlone: system.leftAlone,
      trainClips: [batch],
      evalClips: batch,
      recompute: options.recompute,
      accumulation: 1,
      clipGradNorm: null,
      limits,
      largestFrame: null,
      keepActivations: reference.names("act.").length > 0,
    });
    return await new Replay(session, { reference, system, form, task }, ratesOf(rates, optimizer.lr)).run();
  } finally {
    await device[Symbol.asyncDispose]();
  }
}

/** What a task reads of a recipe, from a case. */
// deno-lint-ignore no-explicit-any -- JSON from outside
function recipeOfCase(config: any): TaskRecipe {
  const { num_classes, optimizer: { smoothing } } = config;
  return {
    data: { num_classes, balance: "none" },
    solver: { smoothing, mixup: false },
    seed: 0,
  } as TaskRecipe;
}

class Replay {
  readonly #session: Session;
  readonly #model: VideoModel;
  readonly #case: ReferenceCase;
  readonly #form: CaseForm<object>;
  readonly #task: Task;
  readonly #rates: Readonly<Record<string, number>>;
  readonly #batch: number;
  readonly #results: GroupResult[] = [];

  constructor(
    session: Session,
    { reference, form, task }: CaseParts,
    rates: Readonly<Record<string, number>>,
  ) {
    this.#session = session;
    this.#model = session.model;
    this.#case = reference;
    this.#form = form;
    this.#task = task;
    this.#rates = rates;
    this.#batch = reference.description.config.batch;
  }

  async run(): Promise<GroupResult[]> {
    this.#memory();
    await this.#loadState();
    const frames = await this.#case.read("input.frames"),
      batch = { clips: this.#batch, inputs: await this.#inputs() };
    const { lr } = this.#case.description.config.optimizer;
    await this.#evaluation("eval", frames);
    await this.#session.stepOnFrames(frames, batch, this.#rates);
    const losses = await this.#session.readLosses();
    await this.#trainOutputs(losses[0]);
    await this.#activations();
    await this.#gradients();
    await this.#weights(
      "after_forward.",
      this.#case.names("after_forward.").map((name) => name.slice("after_forward.".length)),
      { tolerance: OUTPUT_TOLERANCE, by: "relative" },
    );
    if (this.#case.has("step.losses") || this.#case.names("step3.").length > 0) {
      for (let i = 1; i < STEPS; i++) await this.#session.stepOnFrames(frames, batch, this.#rates);
      losses.push(...await this.#session.readLosses());
      await this.#afterSteps(losses, lr);
      const known = this.#case.description.float32_against_float64?.eval_after_logits_max_abs ?? 0;
      await this.#evaluation("eval_after", frames, Math.max(OUTPUT_TOLERANCE, AFTER_FACTOR * known));
    }
    return this.#results;
  }

  /** What batches bring besides frames, as recorded. */
  async #inputs(): Promise<Record<string, InputValues>> {
    const { inputs } = this.#task.training(recipeOfCase(this.#case.description.config));
    const values: Record<string, InputValues> = {};
    for (const [name, { dtype }] of Object.entries(inputs)) {
      const recorded = await this.#case.read(`input.${name}`);
      values[name] = dtype === "u32" ? Uint32Array.from(recorded) : recorded;
    }
    return values;
  }

  /** Compares what an evaluation collects with what is recorded under `prefix`. */
  async #evaluation(prefix: string, frames: Float32Array, tolerance = OUTPUT_TOLERANCE): Promise<void> {
    const recorded = this.#task.collects.filter((name) => this.#case.has(`${prefix}.${name}`));
    if (recorded.length === 0) return;
    const outputs = await this.#session.evaluateFrames(frames, this.#batch);
    for (const name of recorded) await this.#output(`${prefix}.${name}`, outputs[name], tolerance);
  }

  /** The session holds exactly the bytes its plan said. */
  #memory(): void {
    const planned = this.#session.memory.total, difference = Math.abs(this.#session.allocatedBytes - planned);
    this.#results.push({
      case: this.#case.description.case,
      group: "gpu_bytes",
      max_abs: difference,
      max_rel: difference / planned,
      tolerance: 0,
      ok: difference === 0,
    });
  }

  async #loadState(): Promise<void> {
    const known = new Set(this.#model.weights.list.map((weight) => weight.name));
    for (const { name, shape } of this.#model.weights.list) {
      const stored = `state.${name}`;
      if (!this.#case.has(stored) || this.#case.shapeOf(stored).join() !== shape.join()) {
        const found = this.#case.has(stored) ? `[${this.#case.shapeOf(stored)}]` : "none";
        throw new DataError(
          `Cannot replay case "${this.#case.description.case}": "${stored}" must be [${shape}], current shape is ${found}`,
        );
      }
      this.#session.write(name, await this.#case.read(stored));
    }
    const counters = new Set(this.#model.weights.counters);
    const unused = this.#model.unusedInBackbone;
    for (const name of this.#case.names("state.")) {
      const bare = name.slice("state.".length);
      if (!known.has(bare) && !counters.has(bare) && !isIgnored(bare, unused)) {
        throw new DataError(
          `Cannot replay case "${this.#case.description.case}": "${name}" is not known to this model`,
        );
      }
    }
  }

  /** Weights whose true gradient is zero: what is recorded for them is rounding noise. */
  #nullGradients(): Set<string> {
    return new Set(this.#case.description.null_gradient_parameters ?? []);
  }

  #compare(
    group: string,
    pairs: Pair[],
    judgement: { tolerance: number; by: "absolute" | "relative" },
  ): void {
    if (pairs.length > 0) {
      this.#results.push(compareGroup(this.#case.description.case, group, pairs, judgement));
    }
  }

  async #output(name: string, actual: ArrayLike<number>, tolerance = OUTPUT_TOLERANCE): Promise<void> {
    if (this.#case.has(name)) {
      this.#compare(name, [{ name, actual, expected: await this.#case.read(name) }], {
        tolerance,
        by: "absolute",
      });
    }
  }

  async #trainOutputs(loss: number): Promise<void> {
    const names = this.#case.names("train.").map((name) => name.slice("train.".length)).filter((name) =>
      name !== "loss"
    );
    const outputs = await this.#session.readOutputs(this.#batch, names);
    for (const [name, values] of outputs) await this.#output(`train.${name}`, values);
    await this.#output("train.loss", [loss]);
  }

  async #activations(): Promise<void> {
    const names = this.#case.names("act.");
    if (names.length === 0) return;
    const outputs = await this.#session.readOutputs(this.#batch, names);
    for (const name of names) {
      const expected = await this.#case.read(name);
      const actual = this.#form.toRecorded(name, outputs.get(name)!, this.#case.shapeOf(name));
      this.#compare(name, [{ name, actual, expected }], { tolerance: OUTPUT_TOLERANCE, by: "relative" });
    }
  }

  async #gradients(): Promise<void> {
    const skipped = this.#nullGradients();
    const names = this.#case.names("grad.").map((name) => name.slice("grad.".length)).filter((name) =>
      !skipped.has(name)
    );
    const values = await this.#session.read(names, "gradient");
    const pairs: Pair[] = [];
    for (const name of names) {
      const noise = this.#case.description.noisy_gradients?.[name] ?? 0;
      pairs.push({
        name,
        actual: values.get(name)!,
        expected: await this.#case.read(`grad.${name}`),
        tolerance: Math.max(GRADIENT_TOLERANCE, NOISE_FACTOR * noise),
      });
    }
    this.#compare("grad", pairs, { tolerance: GRADIENT_TOLERANCE, by: "relative" });
  }

  /** Compares weights and statistics now with the recorded ones under `prefix`. */
  async #weights(
    prefix: string,
    recorded: readonly string[],
    judgement: { tolerance: number; by: "absolute" | "relative" },
  ): Promise<void> {
    const names = recorded.filter((name) => this.#model.weights.get(name));
    const values = await this.#session.read(names);
    const pairs: Pair[] = [];
    for (const name of names) {
      const expected = await this.#case.read(`${prefix}${name}`);
      pairs.push({
        name,
        actual: values.get(name)!,
        expected,
        mask: await this.#mask(prefix, name, expected.length),
      });
    }
    this.#compare(prefix.replace(/\.$/, ""), pairs, judgement);
  }

  /**
   * Which elements to compare: those the case determines (its own mask) whose recorded gradient is more than rounding noise.
   * Adam moves a weight by about lr whatever the size of its gradient, so noise around a true zero (an attention key's bias)
   * becomes a full-size step of arbitrary sign. For the same reason the error of an element with a small gradient counts less:
   * what Adam divides by is then no larger than the noise of the later steps.
   */
  async #mask(prefix: string, name: string, count: number): Promise<Float32Array> {
    const recorded = `${prefix.replace(/\.$/, "")}_mask.${name}`;
    const mask = this.#case.has(recorded)
      ? (await this.#case.read(recorded)).slice()
      : new Float32Array(count).fill(1);
    if (prefix !== "step3." || !this.#case.has(`grad.${name}`)) return mask;
    const gradient = await this.#case.read(`grad.${name}`);
    const known = this.#case.description.noisy_gradients?.[name] ?? 0;
    const share = Math.max(NOISE_SHARE, NOISE_FACTOR * known);
    const largest = gradient.reduce((max, g) => Math.max(max, Math.abs(g)), 0);
    return mask.map((keep, i) => {
      const size = Math.abs(gradient[i]) / largest;
      return keep === 0 || !(size >= share) ? 0 : STEP_SHARE / (STEP_SHARE + LATER_NOISE_SHARE / size);
    });
  }

  async #afterSteps(losses: readonly number[], lr: number): Promise<void> {
    await this.#output("step.losses", losses);
    const names = this.#case.names("step3.").map((name) => name.slice("step3.".length));
    const skipped = this.#nullGradients();
    const trained = names.filter((name) =>
      this.#model.weights.get(name)?.kind === "trained" && !skipped.has(name)
    );
    await this.#weights("step3.", trained, { tolerance: STEP_SHARE * STEPS * lr, by: "absolute" });
  }
}
