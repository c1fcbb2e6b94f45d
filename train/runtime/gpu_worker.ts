/** The Worker that owns the GPU: it waits for the GPU so that nobody else has to. Speaks the calls of `worker_channel.ts`. */

import { type Gpu, openGpu } from "../../gpu/device.ts";
import { AdapterError } from "../../lib/errors.ts";
import { createModel, type ModelSpec } from "../../models/mod.ts";
import { type ClipFeatures, planFittingTower, Tower, type TowerOptions } from "../features/tower.ts";
import { freeMemory, planFittingSession, refusedError } from "./fit.ts";
import { Session } from "./session.ts";
import { OutOfMemoryError, type SessionOptions } from "./session_plan.ts";
import type { TunedChoices } from "./tuned.ts";
import type { OpenedTower } from "../features/client.ts";
import type { OpenedSession } from "./session_client.ts";
import type { WorkerCall, WorkerReply } from "./worker_channel.ts";

/** What the Worker holds: a session, or a tower for extraction. */
let session: Session | null = null, tower: Tower | null = null;

/** Options without what only the device knows. */
export type RemoteSessionOptions = Omit<SessionOptions, "limits"> & {
  /** Clips that one video of the batch becomes, for advice on a batch that fits. */
  clipsPerVideo: number;
  /** Measured kernel choices of this machine. */
  choices?: TunedChoices;
};

/** The same of a tower. */
export type RemoteTowerOptions = Omit<TowerOptions, "limits"> & { choices?: TunedChoices };

/** Opens the GPU; refuses an adapter that cannot store what the model reads as halves. */
async function openFor(spec: ModelSpec, choices: TunedChoices | undefined): Promise<Gpu> {
  const gpu = await openGpu({ choices });
  const halves = spec.backboneDtype === "f16"
    ? { what: "precision f16", instead: "precision=f32" }
    : spec.taps === "stored"
    ? { what: "data.features", instead: "data.features=null" }
    : null;
  if (halves && !gpu.features.has("shader-f16")) {
    gpu[Symbol.dispose]();
    throw new AdapterError(
      `Cannot use ${halves.what} on adapter "${gpu.name}": it must have the feature shader-f16; use ${halves.instead}`,
    );
  }
  return gpu;
}

async function open(
  spec: ModelSpec,
  { clipsPerVideo, choices, ...remote }: RemoteSessionOptions,
): Promise<OpenedSession> {
  const gpu = await openFor(spec, choices), model = createModel(spec);
  const limits = { maxBindingBytes: gpu.maxBindingBytes, maxBufferBytes: gpu.maxBufferBytes };
  const options = { ...remote, limits };
  try {
    const plan = planFittingSession(model, options, gpu, { freeBytes: await freeMemory(gpu), clipsPerVideo });
    session = await Session.open(gpu, model, options, plan);
  } catch (error) {
    gpu[Symbol.dispose]();
    if (!(error instanceof OutOfMemoryError)) throw error;
    throw refusedError(model, options, gpu, { neededBytes: error.neededBytes, clipsPerVideo });
  }
  return {
    adapter: gpu.name,
    memory: session.memory,
    allocatedBytes: session.allocatedBytes,
    launches: session.launches,
  };
}

async function openTower(
  spec: ModelSpec,
  { choices, ...remote }: RemoteTowerOptions,
): Promise<OpenedTower> {
  const gpu = await openFor(spec, choices), model = createModel(spec);
  const limits = { maxBindingBytes: gpu.maxBindingBytes, maxBufferBytes: gpu.maxBufferBytes };
  const options = { ...remote, limits };
  try {
    const planned = planFittingTower(model, { ...options, freeBytes: await freeMemory(gpu) }, gpu);
    tower = await Tower.open(gpu, model, options, planned);
  } catch (error) {
    gpu[Symbol.dispose]();
    throw error;
  }
  return { adapter: gpu.name, allocatedBytes: tower.allocatedBytes, clips: tower.planned.clips };
}

async function handle({ method, args }: WorkerCall): Promise<unknown> {
  if (method === "open") return await open(...(args as Parameters<typeof open>));
  if (method === "openTower") return await openTower(...(args as Parameters<typeof openTower>));
  if (session) return await handleSession(session, { method, args });
  if (tower) return await handleTower(tower, { method, args });
  throw new Error(`Cannot call "${method}": the session must be open`);
}

async function handleSession(session: Session, { method, args }: Omit<WorkerCall, "id">): Promise<unknown> {
  switch (method) {
    case "step":
      return await session.step(...(args as Parameters<Session["step"]>));
    case "initialise":
      return session.initialise(...(args as Parameters<Session["initialise"]>));
    case "write":
      return session.write(...(args as Parameters<Session["write"]>));
    case "restoreSteps":
      return session.restoreSteps(...(args as [number, number]));
    case "read":
      return await session.read(...(args as Parameters<Session["read"]>));
    case "growUploads":
      return session.growUploads(...(args as Parameters<Session["growUploads"]>));
    case "readLosses":
      return await session.readLosses();
    case "evaluate":
      return await session.evaluate(...(args as Parameters<Session["evaluate"]>));
    case "close":
      await session.finish();
      return close();
    default:
      throw new Error(`Cannot call "${method}": a session has no such call`);
  }
}

async function handleTower(tower: Tower, { method, args }: Omit<WorkerCall, "id">): Promise<unknown> {
  switch (method) {
    case "initialise":
      return tower.initialise(...(args as Parameters<Tower["initialise"]>));
    case "write":
      return tower.write(...(args as Parameters<Tower["write"]>));
    case "taps":
      return await tower.run(...(args as Parameters<Tower["run"]>));
    case "close":
      return close();
    default:
      throw new Error(`Cannot call "${method}": a tower has no such call`);
  }
}

function close(): void {
  session?.[Symbol.dispose]();
  tower?.[Symbol.dispose]();
  session = tower = null;
}

/** What this file uses of the Worker's global scope; the project is checked against the window's. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<WorkerCall>) => void) | null;
  postMessage(message: WorkerReply, transfer?: Transferable[]): void;
}

const scope = self as unknown as WorkerScope;

scope.onmessage = async (event: MessageEvent<WorkerCall>) => {
  const { id, method } = event.data;
  try {
    const value = await handle(event.data);
    // Features move to the caller; a copy of them would cost as much as reading them back.
    const moved = method === "taps" ? (value as ClipFeatures[]) : [];
    reply({ id, value }, moved.flatMap(({ pixels, taps }) => [pixels, ...taps].map(({ buffer }) => buffer)));
  } catch (error) {
    const { name, message, stack, exitCode } = error as Error & { exitCode?: number };
    reply({ id, error: { name, message, stack, exitCode } });
  }
};

function reply(message: WorkerReply, transfer: Transferable[] = []): void {
  scope.postMessage(message, transfer);
}
