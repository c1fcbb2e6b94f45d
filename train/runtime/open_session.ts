/** Opening a session in a Worker of its own, on whatever adapter there is, or saying in one line why it cannot be. */

import { AdapterError } from "../../lib/errors.ts";
import type { TellStage } from "../../lib/stage.ts";
import { ALONE, type World } from "../../mpi/world.ts";
import type { VideoModel } from "../../models/video_model.ts";
import { type FittingSession, planFittingSession } from "./fit.ts";
import { chooseKernels } from "./device/choose_kernels.ts";
import { compileKernels, kernelsOf } from "./device/compile.ts";
import type { ChoosingDevice } from "./device/device.ts";
import { RemoteDevice } from "./device/remote_device.ts";
import { lowerPlans } from "./device_model.ts";
import { agreedFit, cardsOf } from "./ranks/cards.ts";
import { Session } from "./session.ts";
import type { SessionOptions } from "./session_plan.ts";
import type { TunedChoices } from "./device/tuned.ts";

/** What a model needs halves for, and what to say instead. */
export interface HalvesNeed {
  readonly what: string;
  readonly instead: string;
  /** Also multiply them as such, where that is measured to be faster. */
  readonly multiplies?: boolean;
}

/** Refuses an adapter that cannot store what the model reads as halves, and lets others multiply them where they are to. */
export function requireHalves(device: Pick<ChoosingDevice, "info" | "adopt">, need: HalvesNeed | null): void {
  if (!need) return;
  const { name, environment } = device.info;
  if (environment.features.has("shader-f16")) return device.adopt({ multipliesHalves: need.multiplies });
  throw new AdapterError(
    `Cannot use ${need.what} on adapter "${name}": it must have the feature shader-f16; use ${need.instead}`,
  );
}

/** Times that a session is planned anew for half the memory, where an adapter has less than it says. */
const TRIES_AFTER_REFUSAL = 4;

/** An open session, and what stands against running whole batches at once; null where they do. */
export interface OpenedSession {
  readonly session: Session;
  readonly against: string | null;
  /** What there is to say of the cards of several ranks. */
  readonly cards: readonly string[];
}

/** How a device's compiling is told. */
export function compilingStage(tell: TellStage | undefined): RemoteDevice["onCompile"] {
  return tell && ((done, of) => tell({ what: "compiling", done, of, unit: "pipelines" }));
}

/** What opening a session needs to know beside its options. */
export interface OpenOptions {
  /** Clips that one video of the batch becomes, for advice on a batch that fits. */
  clipsPerVideo: number;
  halves: HalvesNeed | null;
  choices?: TunedChoices;
  /** Told what is being done: planning, compiling. */
  stage?: TellStage;
  /** A device that was opened ahead; it is the session's from now on. */
  early?: EarlyDevice;
  /** Ends it before the session is open: between two kernels that are compiled. One alone, never one of several ranks. */
  signal?: AbortSignal;
  /** The ranks that the session is one of; one alone by default. */
  world?: World;
}

/**
 * A device that is opened ahead, so that what it lacks is told before data is made or looked at, and that may compile what a session will
 * most likely run meanwhile. Whatever it guesses wrong, the session compiles when it is opened.
 */
export class EarlyDevice implements AsyncDisposable {
  readonly #device: Promise<RemoteDevice>;
  readonly #choices: TunedChoices | undefined;
  #compiled: Promise<void> = Promise.resolve();
  readonly #closing = new AbortController();
  #told: TellStage | undefined;
  #isTaken = false;

  private constructor(device: Promise<RemoteDevice>, choices: TunedChoices | undefined) {
    this.#device = device;
    this.#choices = choices;
  }

  /**
   * Opens it.
   *
   * @param options.open Gives the device; the adapter's own in a Worker by default.
   * @throws {AdapterError} where there is no adapter, or it has not what the recipe needs.
   */
  static async open(
    { choices, halves, open = (options) => RemoteDevice.open(options) }:
      & Pick<OpenOptions, "choices" | "halves">
      & {
        open?: typeof RemoteDevice.open;
      },
  ): Promise<EarlyDevice> {
    const early: EarlyDevice = new EarlyDevice(
      open({ choices: choices?.known, onCompile: compilingStage((stage) => early.#told?.(stage)) }),
      choices,
    );
    try {
      requireHalves(await early.#device, halves);
      return early;
    } catch (error) {
      await early[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * Begins to compile; what goes wrong is told when the session is opened.
   *
   * @param options What the session will be opened with, as far as it is known.
   */
  compile(
    model: VideoModel,
    options: Omit<SessionOptions, "limits">,
    more: Pick<OpenOptions, "clipsPerVideo">,
  ): void {
    this.#compiled = this.#compile(model, options, more).catch(() => {});
  }

  /** Hands the device over when it has compiled. */
  async take(stage?: TellStage, signal?: AbortSignal): Promise<RemoteDevice> {
    this.#isTaken = true;
    this.#told = stage;
    const stop = () => this.#closing.abort();
    if (signal?.aborted) stop();
    signal?.addEventListener("abort", stop, { once: true });
    await this.#compiled;
    signal?.removeEventListener("abort", stop);
    const device = await this.#device;
    device.onCompile = undefined;
    return device;
  }

  get isTaken(): boolean {
    return this.#isTaken;
  }

  /** Closes the device where nobody has taken it. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isTaken) return;
    this.#isTaken = true;
    this.#closing.abort();
    await this.#compiled;
    await this.#device.then((device) => device[Symbol.asyncDispose](), () => {});
  }

  async #compile(
    model: VideoModel,
    options: Omit<SessionOptions, "limits">,
    { clipsPerVideo }: Pick<OpenOptions, "clipsPerVideo">,
  ): Promise<void> {
    const device = await this.#device, choices = this.#choices;
    const { info: { limits, environment, freeBytes } } = device;
    const fit = { environment, freeBytes, clipsPerVideo };
    const { plan } = planFittingSession(model, { ...options, limits }, fit);
    const { signal } = this.#closing, stage: TellStage = (stage) => this.#told?.(stage);
    await chooseKernels(device, Object.values(plan.plans), { choices, stage, signal });
    await compileKernels(device, kernelsOf(lowerPlans(plan, device.info.environment)), signal);
  }
}

/**
 * Opens a session. Where the adapter cannot hold the whole batch at once, with as many clips at once as it can.
 *
 * @throws {AdapterError} when there is no adapter, or it cannot hold the session one clip at a time.
 */
export async function openSession(
  model: VideoModel,
  options: Omit<SessionOptions, "limits">,
  more: OpenOptions,
): Promise<OpenedSession> {
  const { stage, early, choices, world = ALONE } = more;
  // Others would wait for a rank that has gone.
  const signal = world.size === 1 ? more.signal : undefined;
  let freeBytes = Infinity;
  for (let tries = 0;; tries++) {
    const device = early && !early.isTaken
      ? await early.take(stage, signal)
      : await RemoteDevice.open({ choices: choices?.known, world: world.forWorker });
    device.onCompile = compilingStage(stage);
    device.stopsCompiling = signal;
    let fitting: FittingSession | null = null;
    try {
      signal?.throwIfAborted();
      requireHalves(device, more.halves);
      const { info } = device;
      stage?.({ what: "planning" });
      const cards = await cardsOf(world, info);
      fitting = planFittingSession(model, { ...options, ...cards.options(options), limits: info.limits }, {
        environment: info.environment,
        freeBytes: Math.min(freeBytes, (info.freeBytes ?? Infinity) / cards.sharing),
        clipsPerVideo: more.clipsPerVideo,
      });
      fitting = await agreedFit(model, fitting, { world, environment: info.environment });
      await chooseKernels(device, Object.values(fitting.plan.plans), { choices, stage, signal, world });
      const session = await Session.open(device, model, fitting.options, fitting.plan, world);
      // What is compiled later, for a larger frame, belongs to a step that is to be ended.
      device.stopsCompiling = undefined;
      return { session, against: fitting.against, cards: cards.notes(session.memory.total) };
    } catch (error) {
      await device[Symbol.asyncDispose]();
      const refused = (error as Error).name === "OutOfMemoryError" && world.size === 1;
      if (!refused || fitting === null || tries === TRIES_AFTER_REFUSAL) throw error;
      // How much was free is not known; with half of it a try is worth while.
      freeBytes = fitting.plan.memory.total / 2;
    }
  }
}
