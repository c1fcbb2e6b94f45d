/**
 * Replays a recorded case of a system: eval and train forward, gradients, statistics and three optimiser steps. Over 400 lines, because
 * the groups of a case are judged one after the other on one session.
 */

import type { Recompute } from "../../gpu/autodiff.ts";
import type { Gpu } from "../../gpu/device.ts";
import { createModel } from "../../models/mod.ts";
import { isIgnored } from "../../models/params.ts";
import { originalName, ownName } from "../../models/parts/file_names.ts";
import type { CaseForm, System } from "../../models/system.ts";
import type { VideoModel } from "../../models/video_model.ts";
import { DataError } from "../../lib/errors.ts";
import { LocalDevice } from "../runtime/device/device.ts";
import { type ClassTextValues, writeClassTexts } from "../files/class_text_values.ts";
import { Session } from "../runtime/session.ts";
import type { BatchInputs } from "../runtime/objective.ts";
import { type GroupRates, ratesOf, RULES } from "../runtime/update_rules.ts";
import { averageViews } from "../tasks/class_metrics.ts";
import { taskOf } from "../tasks/registry.ts";
import type { TaskRecipe } from "../tasks/task.ts";
import type { ReferenceCase } from "./reference.ts";
import { type CaseBatch, type CaseTask, PLAIN_CASES } from "./case_task.ts";
import { compareGroup, type GroupResult, type Pair } from "./compare.ts";
import { readCaseTexts } from "./class_texts_case.ts";
import { RETRIEVAL_CASES } from "./retrieval_case.ts";

const OUTPUT_TOLERANCE = 1e-4, GRADIENT_TOLERANCE = 1e-3;
/** Norms of the gradients before they are clipped, one a step. */
const GRADIENT_NORMS = "train.grad_norms";
/** What a text tower gave of the classes' texts, under its recorded name: a constant of the model. */
const TEXT_FEATURES = "act.text_embedding";
/** Rounding of three updates of a weight in f32, as a share of it. */
const ROUNDING = 2 ** -21;
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

/** How the cases of a task are recorded, where they are not plain. */
const CASE_TASKS: Readonly<Record<string, CaseTask>> = { retrieval: RETRIEVAL_CASES };

/** A case and whose it is. */
interface CaseParts {
  reference: ReferenceCase;
  system: System;
  form: CaseForm<object>;
  task: CaseTask;
  /** What batches of the system's task bring. */
  inputs: BatchInputs;
  /** Rate of every group in the recorded steps. */
  rates: GroupRates;
  /** What the model keeps of the texts of its classes; null: nothing. */
  texts: ClassTextValues | null;
}

/** Replays the case and compares every group it holds. */
export async function replayVideoCase(
  gpu: Gpu,
  reference: ReferenceCase,
  options: { system: System; form: CaseForm<object>; recompute: Recompute },
): Promise<GroupResult[]> {
  const { system, form } = options, task = CASE_TASKS[system.task] ?? PLAIN_CASES;
  const { training, collects } = taskOf(system.task);
  const { config, case: label } = reference.description, { batch, optimizer } = config;
  const model = createModel({ system: system.id, sizes: form.sizes(config, label), backboneDtype: "f32" });
  const texts = await readCaseTexts(gpu, reference, { model, system }); // before another model is on the GPU
  const device = new LocalDevice(gpu), { limits } = device.info;
  const { rule, eps } = RULES[system.optimizer ?? "adamw"];
  const { betas = [optimizer.b1, optimizer.b2], e = eps, max_grad_norm: clipGradNorm = null } = optimizer;
  const lr = lrOf(optimizer);
  const rates = { rule, options: { betas, eps: e }, groups: form.groups(config) };
  const { inputs, objective } = training(recipeOfCase(reference, { system, form }));
  try {
    const session = await Session.open(device, model, {
      inputs,
      objective,
      optimizer: rates,
      collects,
      queries: task.queries?.(model, batch),
      leftAlone: system.leftAlone,
      trainClips: [batch],
      keepsOutputs: true,
      evalClips: batch,
      recompute: options.recompute,
      accumulation: 1,
      clipGradNorm,
      limits,
      largestFrame: null,
      keepActivations: reference.names("act.").length > 0,
    });
    const parts = { reference, system, form, task, inputs, rates: ratesOf(rates, lr), texts };
    return await new Replay(session, parts).run();
  } finally {
    await device[Symbol.asyncDispose]();
  }
}

/** What a task reads of a recipe, from a case. */
function recipeOfCase(
  { description: { config, case: label } }: ReferenceCase,
  { system, form }: Pick<CaseParts, "system" | "form">,
): TaskRecipe {
  const { num_classes, optimizer: { smoothing, label_smoothing } } = config;
  return {
    system: system.id,
    precision: "f32",
    data: { num_classes, balance: "none" },
    solver: { smoothing: smoothing ?? label_smoothing, mixup: false },
    seed: 0,
    ...form.recipe?.(config, label),
  } as TaskRecipe;
}

/** The rate of the recorded steps, before the factors of groups. */
const lrOf = ({ lr, base_lr = NaN }: { lr?: number; base_lr?: number }) => lr ?? base_lr;

class Replay {
  readonly #session: Session;
  readonly #model: VideoModel;
  readonly #case: ReferenceCase;
  readonly #parts: CaseParts;
  readonly #batch: number;
  readonly #results: GroupResult[] = [];

  constructor(session: Session, parts: CaseParts) {
    this.#session = session;
    this.#model = session.model;
    this.#case = parts.reference;
    this.#parts = parts;
    this.#batch = parts.reference.description.config.batch;
  }

  async run(): Promise<GroupResult[]> {
    this.#memory();
    await this.#loadState();
    const { task, inputs } = this.#parts;
    const batch = await task.read(this.#case, { inputs });
    await this.#evaluation("eval", batch);
    const norms = [await this.#step(batch)];
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
      for (let i = 1; i < STEPS; i++) norms.push(await this.#step(batch));
      losses.push(...await this.#session.readLosses());
      await this.#gradientNorms(norms);
      await this.#afterSteps(losses);
      const known = this.#case.description.float32_against_float64?.eval_after_logits_max_abs ?? 0;
      await this.#evaluation("eval_after", batch, Math.max(OUTPUT_TOLERANCE, AFTER_FACTOR * known));
    }
    return this.#results;
  }

  /** One step. Returns the norm of its gradient, where the case records it. */
  async #step({ frames, ...batch }: CaseBatch): Promise<number> {
    await this.#session.stepOnFrames(frames, batch, this.#parts.rates);
    if (!this.#case.has(GRADIENT_NORMS)) return NaN;
    const names = this.#model.weights.of("trained").map(({ name }) => name);
    let squares = 0;
    for (const values of (await this.#session.read(names, "gradient")).values()) {
      for (const value of values) squares += value * value;
    }
    return Math.sqrt(squares);
  }

  /** Compares what an evaluation gives with what is recorded under `prefix`. */
  async #evaluation(prefix: string, batch: CaseBatch, tolerance = OUTPUT_TOLERANCE): Promise<void> {
    if (this.#case.names(`${prefix}.`).length === 0) return;
    const outputs = await this.#parts.task.evaluate(this.#session, batch);
    for (const [name, values] of Object.entries(outputs)) {
      await this.#output(`${prefix}.${name}`, values, tolerance);
    }
    // A head that gives shares of classes in evaluations.
    const { logits } = outputs, K = logits?.length / this.#batch;
    if (!logits) return;
    const clips = Array.from({ length: this.#batch }, (_, i) => logits.subarray(i * K, (i + 1) * K));
    await this.#output(
      `${prefix}.probabilities`,
      clips.flatMap((one) => [...averageViews([one])]),
      tolerance,
    );
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
    const { texts } = this.#parts;
    await writeClassTexts(this.#session, texts);
    const known = new Set(this.#model.weights.list.map((weight) => weight.name));
    for (const { name, shape } of this.#model.weights.list) {
      if (texts?.has(name)) continue;
      const stored = `state.${this.#recorded(name)}`;
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
      const bare = this.#own(name.slice("state.".length));
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

  /** A weight's name in the case. */
  #recorded(name: string): string {
    return originalName(this.#parts.system.files, name);
  }

  /** The name here of a weight of the case. */
  #own(recorded: string): string {
    return ownName(this.#parts.system.files, recorded) ?? recorded;
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
    const names = this.#case.names("train.").filter((name) => name !== GRADIENT_NORMS)
      .map((name) => name.slice("train.".length)).filter((name) => name !== "loss");
    const outputs = await this.#session.readOutputs(this.#batch, names);
    for (const [name, values] of outputs) await this.#output(`train.${name}`, values);
    await this.#output("train.loss", [loss]);
  }

  async #activations(): Promise<void> {
    const names = this.#case.names("act.");
    if (names.length === 0) return;
    const outputs = await this.#session.readOutputs(
      this.#batch,
      names.filter((name) => name !== TEXT_FEATURES),
    );
    const { classTexts } = this.#model;
    if (classTexts && names.includes(TEXT_FEATURES)) {
      const read = await this.#session.read([classTexts.features]);
      outputs.set(TEXT_FEATURES, read.get(classTexts.features)! as Float32Array<ArrayBuffer>);
    }
    for (const name of names) {
      const recorded = { shape: this.#case.shapeOf(name), config: this.#case.description.config };
      const { toRecorded, computed = (_, values) => values } = this.#parts.form;
      const expected = computed(name, await this.#case.read(name), recorded);
      const actual = toRecorded(name, outputs.get(name)!, recorded);
      this.#compare(name, [{ name, actual, expected }], { tolerance: OUTPUT_TOLERANCE, by: "relative" });
    }
  }

  async #gradients(): Promise<void> {
    // A constant that has a gradient there is not updated there either.
    const isConstant = (name: string) => this.#model.weights.get(this.#own(name))?.kind === "constant";
    const skipped = this.#nullGradients();
    const names = this.#case.names("grad.").map((name) => name.slice("grad.".length)).filter((name) =>
      !skipped.has(name) && !isConstant(name)
    );
    const values = await this.#session.read(names.map((name) => this.#own(name)), "gradient");
    const pairs: Pair[] = [];
    for (const name of names) {
      const noise = this.#case.description.noisy_gradients?.[name] ?? 0;
      pairs.push({
        name,
        actual: values.get(this.#own(name))!,
        expected: await this.#case.read(`grad.${name}`),
        tolerance: Math.max(GRADIENT_TOLERANCE, NOISE_FACTOR * noise),
      });
    }
    this.#compare("grad", pairs, { tolerance: GRADIENT_TOLERANCE, by: "relative" });
  }

  /** Compares weights and statistics now with the recorded ones under `prefix`. @param toleranceOf Of single tensors. */
  async #weights(
    prefix: string,
    recorded: readonly string[],
    judgement: { tolerance: number; by: "absolute" | "relative" },
    toleranceOf: (name: string, expected: Float32Array) => number = () => judgement.tolerance,
  ): Promise<void> {
    const names = recorded.filter((name) => this.#model.weights.get(this.#own(name)));
    const values = await this.#session.read(names.map((name) => this.#own(name)));
    const pairs: Pair[] = [];
    for (const name of names) {
      const expected = await this.#case.read(`${prefix}${name}`);
      pairs.push({
        name,
        actual: values.get(this.#own(name))!,
        expected,
        tolerance: toleranceOf(name, expected),
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
    const largest = largestOf(gradient);
    return mask.map((keep, i) => {
      const size = Math.abs(gradient[i]) / largest;
      return keep === 0 || !(size >= share) ? 0 : STEP_SHARE / (STEP_SHARE + LATER_NOISE_SHARE / size);
    });
  }

  async #gradientNorms(norms: readonly number[]): Promise<void> {
    if (!this.#case.has(GRADIENT_NORMS)) return;
    const expected = await this.#case.read(GRADIENT_NORMS);
    this.#compare(GRADIENT_NORMS, [{
      name: GRADIENT_NORMS,
      actual: norms.slice(0, expected.length),
      expected,
    }], {
      tolerance: GRADIENT_TOLERANCE,
      by: "relative",
    });
  }

  async #afterSteps(losses: readonly number[]): Promise<void> {
    await this.#output("step.losses", losses);
    const names = this.#case.names("step3.").map((name) => name.slice("step3.".length));
    const skipped = this.#nullGradients();
    const { weights } = this.#model;
    const trained = names.filter((name) =>
      weights.get(this.#own(name))?.kind === "trained" && !skipped.has(name)
    );
    const moves = STEP_SHARE * STEPS, lr = lrOf(this.#case.description.config.optimizer);
    await this.#weights("step3.", trained, { tolerance: moves * lr, by: "absolute" }, (name, expected) => {
      const rate = this.#parts.rates[weights.get(this.#own(name))!.group];
      return Math.max(moves * rate, ROUNDING * largestOf(expected));
    });
  }
}

function largestOf(values: Float32Array): number {
  return values.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
}
